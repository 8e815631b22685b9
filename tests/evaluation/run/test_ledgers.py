"""Ledgers of a run: who has one, what they hold, kill and resume, and what is noticed when anything is changed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustfl import registry
from robustfl.errors import ParameterError, StoreError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.run import play as play_module
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.ledger_check import verify_run
from robustfl.evaluation.run.ledgers import Ledgers
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.federation.channels.dense import UpdatedModel
from robustfl.reputation import Decision, Ledger, read_entries
from robustfl.reputation import recorder as minutes
from tests.conftest import environment

SUITE: dict[str, Any] = {
    "name": "decisive",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 5, "rounds": 3},
    "adversary": {"f": [1]},
    "defenses": ["mean", "merit_rank", "rffl"],
    "attacks": ["non_finite(start_round=1)"],
    "seeds": 1,
}


def play(folder: Path, values: dict[str, Any] | None = None, **options: Any) -> None:
    run_experiment(Experiment(values or SUITE), RunOptions(out=folder, workers=0, checks=NO_CHECKS, **options), Quiet())


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of trials that have a ledger, by trial."""
    return {r["trial"]: r for r in read_records(folder / "records.jsonl") if "ledger" in r}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name.removesuffix(".ledger"): path.read_bytes() for path in (folder / "ledgers").iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decisive")
    play(folder)
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


# ------------------------------------------------------------------------------------------------- what is written


def test_trials_with_decisions_have_a_ledger_whose_head_is_in_the_record(finished: Path) -> None:
    records = recorded(finished)
    assert {record["labels"]["defense"] for record in records.values()} == {"MeritRank", "RFFL"}
    assert len(records) == 4
    assert set(files(finished)) == set(records)
    found = verify_run(finished)
    assert found.intact
    for trial, record in records.items():
        verdict = found.verdicts[trial]
        assert record["ledger"] == {"entries": verdict.entries, "head": verdict.head}


def test_a_ledger_holds_changes_and_how_everybody_stood_in_the_end(finished: Path) -> None:
    for trial, record in recorded(finished).items():
        entries = list(read_entries(finished / "ledgers" / f"{trial}.ledger"))
        assert {entry["client"] for entry in entries} == set("01234")
        if record["labels"]["attack"] == "none":
            assert [entry["round"] for entry in entries] == [3] * 5
            continue
        (bad,) = map(str, record["metrics"]["malicious"])
        told = [(entry["round"], entry["action"]) for entry in entries if entry["client"] == bad]
        assert told == [(2, "rejected"), (3, "rejected")]
        assert len(entries) == 6


def test_every_decision_on_request_and_none_on_request(finished: Path, tmp_path: Path) -> None:
    play(tmp_path / "all", ledgers="all")
    assert {record["ledger"]["entries"] for record in recorded(tmp_path / "all").values()} == {15}
    play(tmp_path / "none", ledgers="none")
    assert not (tmp_path / "none" / "ledgers").exists()
    for record in read_records(tmp_path / "none" / "records.jsonl"):
        with_ledger = recorded(finished).get(record["trial"], record)
        assert {**with_ledger, "time": None, "ledger": None} == {**record, "time": None, "ledger": None}


def test_a_run_without_decisions_has_no_folder(tmp_path: Path) -> None:
    play(tmp_path, {**SUITE, "defenses": ["mean"]})
    assert not (tmp_path / "ledgers").exists()
    with pytest.raises(StoreError, match="has no ledgers: no defense of its trials decides"):
        verify_run(tmp_path)
    with pytest.raises(StoreError, match="is no folder of a run"):
        verify_run(tmp_path / "elsewhere")


def test_fresh_sets_the_ledgers_aside(copied: Path) -> None:
    before = files(copied)
    Ledgers(copied).tidy()
    assert files(copied) == before
    (copied / "ledgers.1.bak").mkdir()
    Ledgers(copied).tidy(aside=True)
    assert {path.stem: path.read_bytes() for path in (copied / "ledgers.2.bak").iterdir()} == before
    play(copied, {**SUITE, "defenses": ["mean"]}, fresh=True)
    assert not (copied / "ledgers").exists()


def test_reports_say_where_the_ledgers_are(finished: Path) -> None:
    results = RunResults.load(finished)
    for name in ("html", "markdown"):
        assert "4 ledgers with " in registry.build("report", name).render(results)


# ------------------------------------------------------------------------------------------------- interruptions


def test_a_trial_that_fails_leaves_no_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(trace: Any, population: Any) -> None:
        raise RuntimeError("no measurements today")

    steps, taken = UpdatedModel.step, []

    def step(self: UpdatedModel, aggregate: Any) -> None:
        """Goes wrong in the second round of a trial, when there is something in the ledger."""
        taken.append(self)
        if taken.count(self) > 1:
            raise ZeroDivisionError
        steps(self, aggregate)

    with monkeypatch.context() as patch:
        patch.setattr(minutes, "AT_ONCE", 1)
        patch.setattr(UpdatedModel, "step", step)
        play(tmp_path, ledgers="all")
    assert files(tmp_path) == {}, "the folder is there, as something was written"
    with monkeypatch.context() as patch:
        patch.setattr(play_module, "_metrics", breaking)  # after the rounds: the ledger is whole, the trial is not
        play(tmp_path)
    with_ledger = verify_run(tmp_path)
    assert len(with_ledger.unrecorded) == 4
    assert with_ledger.intact
    assert "4 of them belong to no recorded trial" in with_ledger.summary()
    play(tmp_path)
    assert verify_run(tmp_path).unrecorded == ()


DIES = """
import os, signal, sys
from pathlib import Path
from robustfl.reputation import recorder as minutes
from tests.evaluation.run.test_ledgers import SUITE, play

played = minutes.LedgerRecorder._write
def deadly(self):
    ledger = played(self)
    if len(list(Path(sys.argv[1]).glob("ledgers/*.ledger"))) == 2:  # in the third trial
        os.kill(os.getpid(), signal.SIGKILL)
    return ledger
minutes.LedgerRecorder._write, minutes.AT_ONCE = deadly, 1
play(Path(sys.argv[1]), ledgers="all")
"""


@pytest.mark.slow
def test_a_killed_run_ends_with_the_ledgers_of_an_undisturbed_one(tmp_path: Path) -> None:
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    done = subprocess.run([sys.executable, "-c", DIES, str(killed)], env=environment(), check=False)
    assert done.returncode == -signal.SIGKILL
    found = files(killed)
    (draft,) = [name for name in found if name.endswith(".unfinished")]
    assert found[draft].count(b"\n") == 5, "a round of the third trial"
    assert recorded(killed).keys() == found.keys() - {draft}
    assert verify_run(killed).intact, "drafts are no ledgers"
    for folder in (killed, undisturbed):
        play(folder, ledgers="all")
    assert files(killed) == files(undisturbed)
    assert recorded(killed).keys() == files(killed).keys()
    assert verify_run(killed).summary() == verify_run(undisturbed).summary()


# ------------------------------------------------------------------------------------------------- tampering


def altered_byte(path: Path, trial: str) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(b'"score":"') + len('"score":"')
    content[place] = ord("9") if content[place] != ord("9") else ord("8")
    path.write_bytes(content)


def without_its_end(path: Path, trial: str) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def one_entry_more(path: Path, trial: str) -> None:
    with Ledger(path) as ledger:
        ledger.append(3, Decision("mallory", "weighted", 1.0), rule="MeritRank()")


def written_anew(path: Path, trial: str) -> None:
    path.unlink()
    one_entry_more(path, trial)


def removed(path: Path, trial: str) -> None:
    path.unlink()


TAMPERING: dict[str, tuple[Callable[[Path, str], None], str]] = {
    "a byte": (altered_byte, "altered"),
    "the last entry is removed": (without_its_end, "truncated"),
    "an entry is added": (one_entry_more, "inserted"),
    "all of it is written anew": (written_anew, "truncated"),
    "the file is removed": (removed, "missing, though its trial is recorded"),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_a_change_of_one_file_of_a_run_is_noticed_and_its_place_is_told(name: str, copied: Path) -> None:
    tamper, words = TAMPERING[name]
    head, trial = verify_run(copied).head, sorted(files(copied))[1]
    tamper(copied / "ledgers" / f"{trial}.ledger", trial)
    found = verify_run(copied)
    assert not found.intact
    assert [other for other, verdict in found.verdicts.items() if not verdict.intact] in ([trial], [])
    lines = found.summary().splitlines()
    assert lines[0].startswith("4 ledgers with ")
    assert lines[0].endswith(": 1 not intact")
    assert f"{copied / 'ledgers' / trial}.ledger: " in lines[1]
    assert words in found.summary()
    assert found.head != head or name == "a byte"


def test_records_that_were_changed_with_a_ledger_are_noticed_by_the_head_of_the_run(copied: Path) -> None:
    head, trial = verify_run(copied).head, sorted(files(copied))[0]
    path, records = copied / "ledgers" / f"{trial}.ledger", copied / "records.jsonl"
    with Ledger(path) as ledger:
        before = ledger.head
        after = ledger.append(3, Decision("mallory", "weighted", 1.0), rule="MeritRank()")
    records.write_text(records.read_text().replace(before, after))
    assert verify_run(copied).intact
    assert verify_run(copied, head=verify_run(copied).head.upper()).intact
    found = verify_run(copied, head=head)
    assert not found.intact
    assert "not the one with the published head" in found.summary()
    with pytest.raises(ParameterError, match="64 hexadecimal digits"):
        verify_run(copied, head="abc")


def test_a_record_that_tells_nonsense_of_its_ledger_is_an_error(copied: Path) -> None:
    records = copied / "records.jsonl"
    records.write_text(records.read_text().replace('"ledger":{"entries":', '"ledger":{"places":'))
    with pytest.raises(StoreError, match=r"`the ledger of trial [0-9a-f]+\.entries` is missing"):
        verify_run(copied)


def test_the_command_tells_the_same_in_json_and_by_its_exit_code(copied: Path, inside: Callable[..., Any]) -> None:
    removed(copied / "ledgers" / f"{min(files(copied))}.ledger", "")
    done = inside("verify", "run", "--json", cwd=copied.parent)
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert (found["intact"], len(found["ledgers"]), len(found["missing"]), found["unrecorded"]) == (False, 3, 1, [])
