"""What the tests of all clusters share: a small suite, its records from this process, and how both are compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.executors import Executor
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.suite.scenario import Experiment

SUITE = """\
name: elsewhere
task: {data: digits, model: softmax, partition: iid}
federation: {clients: 7, rounds: 2}
adversary: {f: [0, 1]}
defenses: [mean, krum, merit_rank]
attacks: [sign_flip, non_finite]
seeds: 2
"""
"""One defense keeps ledgers, which have to come back as they are."""

DEADLY = '''\
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from robustfl.threats import Knowledge, UpdateAttack


@dataclass(frozen=True, kw_only=True)
class KillsOnce(UpdateAttack):
    """Kills the process in which it is played, but only the first time."""

    knowledge = Knowledge.OWN

    def craft(self, view):
        mark = Path(__file__).with_suffix(".mark")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return view.own.clone()


@dataclass(frozen=True, kw_only=True)
class KillsAlways(UpdateAttack):
    """Kills every process in which it is played."""

    def craft(self, view):
        os.kill(os.getpid(), signal.SIGKILL)
'''


class Told:
    """A progress that calls a function when the given number of records has been stored."""

    def __init__(self, number: int, then: Callable[[], object]) -> None:
        self.left, self.then = number, then

    def start(self, total: int, done: int) -> None:
        """Nothing to note."""

    def advance(self, record: Record) -> None:
        self.left -= 1
        if not self.left:
            self.then()


def experiment(folder: Path, text: str = SUITE) -> Experiment:
    path = folder / "suite.yaml"
    path.write_text(text)
    return read_experiment(str(path))


def play(
    suite: Experiment, out: Path, executor: Executor | None = None, progress: Any = None, *, workers: int = 0
) -> dict[str, Any]:
    """What is comparable of the records of a run, by trial.

    Without an executor it is played in this process, or by worker processes.
    """
    run_experiment(suite, RunOptions(out=out, workers=workers, checks=NO_CHECKS, executor=executor), progress)
    return comparable(out)


def comparable(out: Path) -> dict[str, Any]:
    records = read_records(out / "records.jsonl")
    return {r["trial"]: {k: v for k, v in r.items() if k not in ("time", "ran_on")} for r in records}


def ledgers(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "ledgers").glob("*"))}


def suite_of(*attacks: str) -> str:
    """One seed and one defense against these attacks."""
    return (
        "name: deadly\ntask: {data: digits, model: softmax, partition: iid}\nfederation: {clients: 5, rounds: 2}\n"
        f"adversary: {{f: [1]}}\ndefenses: [median]\nattacks: {list(attacks)}\nseeds: 1\n"
    )
