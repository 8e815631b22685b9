"""A run that is interrupted, killed, repeated or edited in between ends with the records of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from robustfl import registry
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.run import play as play_module
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite import trial as trial_module
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.suite.sources import Sources
from tests.evaluation.run.tiny import SUITE

WAITS = """
    import os, time
    from dataclasses import dataclass
    from pathlib import Path
    from robustfl.threats import UpdateAttack

    @dataclass(frozen=True, kw_only=True)
    class Waits(UpdateAttack):
        '''Sends zeros, once the file that GATE names is there.'''
        def craft(self, view):
            Path(f"{os.environ['GATE']}.{os.getpid()}").touch()
            while not Path(os.environ["GATE"]).exists():
                time.sleep(0.02)
            return view.full(0.0).repeat(view.f, 1)
"""


@dataclass
class Heard:
    """A listener that remembers."""

    total: int = 0
    done: int = 0
    ran: list[str] | None = None
    told: list[str] = field(default_factory=list)

    def tell(self, line: str) -> None:
        self.told.append(line)

    def start(self, total: int, done: int) -> None:
        self.total, self.done, self.ran = total, done, []

    def advance(self, record: dict[str, Any]) -> None:
        assert self.ran is not None
        self.ran.append(f"{record['labels']['defense']}/{record['labels']['attack']}/{record['f']}/{record['seed']}")


def play(folder: Path, values: dict[str, Any] | None = None, fresh: bool = False) -> tuple[dict[str, Any], Heard]:
    heard = Heard()
    options = RunOptions(out=folder, workers=0, fresh=fresh, command="robustfl run tiny.yaml", checks=NO_CHECKS)
    return run_experiment(Experiment(values or SUITE), options, heard), heard


def timeless(folder: Path) -> list[dict[str, Any]]:
    return [{**record, "time": None} for record in read_records(folder / "records.jsonl")]


def test_a_run_writes_its_records_and_summary(tmp_path: Path) -> None:
    summary, heard = play(tmp_path)
    assert (heard.total, heard.done) == (8, 0)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["trials"] == {"total": 8, "ok": 8, "diverged": 0, "failed": 0, "invalid": 0, "not_applicable": 0}
    assert summary["suite"]["hash"] == Experiment(SUITE).hash
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records.jsonl", "summary.json"]


def test_a_finished_run_runs_nothing_again(tmp_path: Path) -> None:
    first, _ = play(tmp_path)
    before = (tmp_path / "records.jsonl").read_bytes()
    second, heard = play(tmp_path)
    assert (heard.total, heard.done, heard.ran) == (8, 8, [])
    assert (tmp_path / "records.jsonl").read_bytes() == before
    assert second["scores"] == first["scores"]


def test_a_larger_suite_takes_over_what_is_stored(tmp_path: Path) -> None:
    play(tmp_path)
    _, heard = play(tmp_path, {**SUITE, "defenses": ["mean", "median", "krum"]})
    assert heard.done == 8
    assert heard.ran
    assert all(cell.startswith("Krum/") for cell in heard.ran)


def test_records_of_another_suite_stay_and_do_not_count(tmp_path: Path) -> None:
    play(tmp_path, {**SUITE, "defenses": ["trimmed_mean"]})
    others = {record["trial"] for record in timeless(tmp_path)}
    summary, _ = play(tmp_path)
    assert summary["trials"]["total"] == 8
    assert others <= {record["trial"] for record in timeless(tmp_path)}


def test_fresh_sets_the_old_records_aside(tmp_path: Path) -> None:
    play(tmp_path)
    before = (tmp_path / "records.jsonl").read_bytes()
    _, heard = play(tmp_path, fresh=True)
    assert heard.done == 0
    assert (tmp_path / "records.jsonl.1.bak").read_bytes() == before


def test_the_run_time_is_that_of_all_starts_that_played_something(tmp_path: Path) -> None:
    play(tmp_path, {**SUITE, "seeds": 1})
    path = tmp_path / "summary.json"
    long = json.loads(path.read_text())
    long["time"]["elapsed_s"] = 5000.0
    path.write_text(json.dumps(long))
    more, _ = play(tmp_path)
    assert more["time"]["elapsed_s"] > 5000
    again, _ = play(tmp_path)
    assert again["time"]["elapsed_s"] == more["time"]["elapsed_s"]
    (tmp_path / "elapsed.json").write_text('{"seconds": 7000.0}')  # what an interrupted start would have left
    longer, _ = play(tmp_path, {**SUITE, "seeds": 3})
    assert longer["time"]["elapsed_s"] > 7000
    assert not (tmp_path / "elapsed.json").exists()
    fresh, _ = play(tmp_path, {**SUITE, "seeds": 1}, fresh=True)
    assert fresh["time"]["elapsed_s"] < 5000


def test_failed_trials_are_run_again_and_cost_nothing_once_they_succeed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(play_module, "_played", lambda trial, place: 1 / 0)
        failed, _ = play(tmp_path / "a")
    assert failed["trials"]["failed"] == 8
    assert failed["scores"]["ranking"][0]["R_mean"] is None
    summary, heard = play(tmp_path / "a")
    assert heard.done == 0
    undisturbed, _ = play(tmp_path / "b")
    assert timeless(tmp_path / "a") == timeless(tmp_path / "b")
    assert summary["scores"] == undisturbed["scores"]


def test_an_edited_plug_in_runs_only_its_own_trials_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: None
) -> None:
    source = tmp_path / "plug_in_of_a_run.py"
    source.write_text(
        "from dataclasses import dataclass\nfrom robustfl.defenses import Mean\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Edited(Mean):\n    '''A mean by another name.'''\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.find("defense")["edited"] = __import__("plug_in_of_a_run").Edited
    values = {**SUITE, "defenses": ["mean", "edited"]}
    play(tmp_path / "out", values)
    before = timeless(tmp_path / "out")
    source.write_text(source.read_text() + "# edited\n")
    monkeypatch.setattr(trial_module, "SOURCES", Sources())
    _, heard = play(tmp_path / "out", values)
    assert heard.done == 4
    assert heard.ran
    assert sorted(heard.ran) == sorted(
        f"Edited/{cell}" for cell in ("none/0/0", "none/0/1", "SignFlip/1/0", "SignFlip/1/1")
    )
    after = timeless(tmp_path / "out")
    assert [{**record, "fingerprint": ""} for record in after] == [{**record, "fingerprint": ""} for record in before]


def test_the_breakdown_search_runs_further_trials_and_counts_them(tmp_path: Path) -> None:
    summary, _ = play(tmp_path, {**SUITE, "defenses": ["mean"], "adversary": {"f": [0], "breakdown": True}, "seeds": 1})
    found = summary["scores"]["worlds"][0]["defenses"][0]["breakdown"]
    assert found["grid"] == [0, 1, 2]
    assert set(found["evaluated"]) <= {0, 1, 2}
    assert found["verdict"] in ("none", "exact", "at_least")
    assert summary["trials"]["total"] == len(timeless(tmp_path)) > 1


def test_a_breakdown_point_is_not_told_while_trials_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played = play_module._played

    def failing(trial: trial_module.Trial, place: play_module.Resources) -> dict[str, Any]:
        if trial.scenario.attack is not None:
            raise RuntimeError("no attack today")
        return played(trial, place)

    monkeypatch.setattr(play_module, "_played", failing)
    summary, _ = play(tmp_path, {**SUITE, "defenses": ["mean"], "adversary": {"f": [0], "breakdown": True}})
    (defense,) = summary["scores"]["worlds"][0]["defenses"]
    assert defense["breakdown"] is None
    assert summary["trials"]["failed"] > 0


def test_a_forbidden_cell_counts_as_broken_with_its_reason(tmp_path: Path) -> None:
    values = {**SUITE, "defenses": ["mean", "krum"], "adversary": {"f": [0, 2]}, "seeds": 1}
    summary, _ = play(tmp_path, values)
    assert summary["trials"]["invalid"] == 2
    krum = next(d for d in summary["scores"]["worlds"][0]["defenses"] if d["defense"] == "Krum")
    assert krum["curve"][1]["invalid"] == "Krum needs n >= 2f + 3 rows. Found n=5, f=2."
    assert krum["curve"][1]["W"] in (0.0, None)


WORLDS: dict[str, Any] = {
    **SUITE,
    "federation": {"clients": [5, 2000], "rounds": 2},
    "defenses": ["mean"],
    "fault_suite": ["dropout"],
    "claims": [{"text": "t", "source": "s", "measure": "U(mean)", "expect": "> 0"}],
    "seeds": 1,
}
"""Of its two worlds, one has more clients than there are samples."""


@pytest.mark.parametrize("breakdown", [False, True])
def test_a_world_that_cannot_be_played_costs_the_others_nothing(tmp_path: Path, breakdown: bool) -> None:
    adversary = {"f": [0, 1], "breakdown": breakdown}
    summary, heard = play(tmp_path, {**WORLDS, "adversary": adversary})
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    good, bad = summary["scores"]["worlds"]
    alone, _ = play(tmp_path / "alone", {**WORLDS, "federation": SUITE["federation"], "adversary": adversary})
    (expected,) = alone["scores"]["worlds"]
    assert {**good, "world": "", "id": ""} == {**expected, "world": "", "id": ""}
    rows = [run["scores"]["ranking"][0] for run in (summary, alone)]
    assert rows[0]["R_mean"] == rows[1]["R_mean"] is not None
    cells = [cell for d in bad["defenses"] for point in d["curve"] for cell in point["attacks"].values()]
    assert {status for cell in cells for status in cell["status"]} == {"failed"}
    reason = "IID: `clients` should satisfy 1 <= clients <= samples. Found clients=2000"
    remarks = [flag for flag in summary["scores"]["flags"] if flag["world"] == bad["world"]]
    assert [flag["code"] for flag in remarks] == ["WORLD_NOT_PLAYED"]
    (told,) = heard.told
    assert told.startswith(f"{bad['world']} cannot be played, which costs the other worlds nothing: {reason}")
    assert reason in remarks[0]["message"]
    assert list(summary["histograms"]) == [good["world"]]
    assert summary["trials"]["failed"] == sum(record["status"] == "failed" for record in timeless(tmp_path)) > 0
    assert summary["claims"][0]["verdict"] == "not measured"
    assert RunResults.load(tmp_path).summary == summary


def test_a_run_with_a_world_that_cannot_be_played_ends_as_one_with_failed_trials(
    inside: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(json.dumps(WORLDS))
    done = inside("run", "tiny.yaml", "--out", "out", "--workers", "0", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    told = "WORLD_NOT_PLAYED in Digits, Softmax, IID, clients=2000: None of the trials of this world came to an end"
    assert " ".join(done.stdout.split()).count(f"{told} (2 trials failed)") == 1
    assert "should satisfy 1 &lt;= clients &lt;= samples" in (tmp_path / "out" / "report.html").read_text()


def children(pid: int) -> set[int]:
    """The processes that descend from one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
            except OSError:  # it has ended meanwhile
                continue
            parents.setdefault(int(status.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, left = set(), [pid]
    while left:
        below = parents.get(left.pop(), [])
        found.update(below)
        left += below
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(happened: Callable[[], Any], what: str, process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline, f"waited two minutes for {what}"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.slow
def test_an_interrupted_and_killed_run_ends_like_an_undisturbed_one(
    start: Callable[..., Any], command: Callable[..., Any], plugin: Callable[..., Path], tmp_path: Path
) -> None:
    site = plugin("waits_at_a_gate", WAITS, {"robustfl.attacks": ["Waits"]})
    values = {**SUITE, "defenses": ["mean"], "attacks": ["waits"], "seeds": 3}
    (tmp_path / "tiny.yaml").write_text(json.dumps(values))
    gate = tmp_path / "gate"
    run = ("run", "tiny.yaml", "--out", "out", "--workers", "2")
    options: dict[str, Any] = {"cwd": tmp_path, "plugins": (site,), "GATE": str(gate)}
    records = tmp_path / "out" / "records.jsonl"

    def stored() -> int:
        return records.read_bytes().count(b"\n") if records.exists() else 0

    def arrived() -> int:
        return len(list(tmp_path.glob("gate.*")))

    with start(*run, **options) as interrupted:
        wait_until(lambda: arrived() == 2 and stored() == 2, "two trials to be stored and two at the gate", interrupted)
        workers = children(interrupted.pid)
        os.killpg(interrupted.pid, signal.SIGINT)  # as a terminal does: to parent and workers
        _, messages = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130
    assert "Interrupted. Finished trials are stored; run the same command again to continue." in messages
    assert "Traceback" not in messages
    wait_until(lambda: not any(map(alive, workers)), "the workers of the interrupted run to end")
    assert stored() == 2

    with start(*run, **options) as killed:
        wait_until(lambda: arrived() == 4, "two more workers at the gate", killed)
        workers = children(killed.pid)
        killed.kill()
        killed.communicate(timeout=60)
    wait_until(lambda: not any(map(alive, workers)), "the workers of the killed run to end")
    with records.open("ab") as file:
        file.write(b'{"schema": 1, "trial": "torn')

    gate.touch()
    finished = command(*run, **options)
    assert finished.returncode == 0, finished.stderr
    assert "2 of 6 trials are stored already" in finished.stderr
    undisturbed = command("run", "tiny.yaml", "--out", "undisturbed", "--workers", "0", **options)
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert timeless(tmp_path / "out") == timeless(tmp_path / "undisturbed")
    scores = [json.loads((tmp_path / name / "summary.json").read_text())["scores"] for name in ("out", "undisturbed")]
    assert scores[0] == scores[1]
