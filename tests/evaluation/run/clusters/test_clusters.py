"""What all clusters share: what is tried again, when a run stops, what workers refuse, and how executors are found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from robustfl.errors import MissingExtraError, ParameterError, RobustflError, UnknownNameError, WorkerError
from robustfl.evaluation.compare.regression import reproducible
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.run.clusters import choosing
from robustfl.evaluation.run.clusters.contract import Arrived, Ended, Event, Handle, Parcel, Refused, Wanted
from robustfl.evaluation.run.clusters.probing import Look, Subject
from robustfl.evaluation.run.clusters.retrying import played
from robustfl.evaluation.run.clusters.working import unpacked, work
from robustfl.evaluation.run.executors import Job, Serial
from robustfl.evaluation.run.ledgers import Ledgers
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.run.provenance import data_fingerprint, machines
from robustfl.evaluation.suite.plan import Plan
from tests.evaluation.run.clusters.elsewhere import DEADLY, experiment, suite_of


class Pool:
    """A cluster of one machine: a pool of processes, in which one that dies takes all that are in flight with it."""

    def __init__(self, place: Resources, expected: Look, room: int) -> None:
        self.place, self.expected, self.places = place, expected, room
        self.pool = self._started()
        self.futures: dict[Future[list[Parcel]], list[str]] = {}
        self.most, self.batches = 0, list[list[str]]()

    def _started(self) -> ProcessPoolExecutor:
        context = get_context("forkserver")  # whose processes are real, and need not import everything each time
        context.set_forkserver_preload(["torch", "robustfl.evaluation.run.clusters.working"])
        return ProcessPoolExecutor(self.places, mp_context=context)

    def room(self) -> int:
        return self.places

    def submit(self, batch: Sequence[Job]) -> Handle:
        future = self.pool.submit(play_all, list(batch), self.place, self.expected)
        self.futures[future] = [trial.attack for trial, _ in batch]
        self.batches.append(self.futures[future])
        self.most = max(self.most, len(self.futures))
        return future

    def events(self) -> Iterable[Event]:
        done, _ = wait(self.futures, return_when=FIRST_COMPLETED)
        broken = False
        for future in done:
            del self.futures[future]
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                broken = True
                yield Ended(future)
            elif error is not None:
                yield Refused(future, type(error).__name__, str(error))
            else:
                yield from (Arrived(future, parcel) for parcel in future.result())
                yield Ended(future)
        if broken and not self.futures:
            self.pool.shutdown()
            self.pool = self._started()

    def cancel(self) -> None:
        self.pool.shutdown(cancel_futures=True)


def play_all(batch: list[Job], place: Resources, expected: Look) -> list[Parcel]:
    return [work(job, place, expected) for job in batch]


def jobs_of(folder: Path, *attacks: str) -> list[Job]:
    trials = Plan(experiment(folder, suite_of(*attacks))).trials
    return [(trial, trial.fingerprint(data_fingerprint(trial.scenario.task.data, None))) for trial in trials]


def expected_of(jobs: Sequence[Job]) -> Look:
    return Look.at(Subject.of(trial for trial, _ in jobs), None)


def without_place(record: Record) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("time", "ran_on")}


@pytest.mark.slow
def test_what_was_in_flight_is_tried_once_more_alone(tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text(DEADLY)
    jobs = jobs_of(tmp_path, "sign_flip", "deadly.py:KillsAlways")
    cluster = Pool(Resources(), expected_of(jobs), room=4)
    records = {parcel.record["trial"]: parcel.record for parcel in played(jobs, cluster)}
    assert len(records) == len(jobs) == 4
    failed = [record for record in records.values() if record["status"] != "ok"]
    assert [(one["labels"]["attack"], (one["error"] or {})["type"]) for one in failed] == [
        ("KillsAlways", "WorkerDied")
    ]
    kept = [job for job in jobs if job[0].attack != "KillsAlways"]
    serial = {record["trial"]: without_place(record) for record in Serial().run(kept, Resources())}
    assert {trial: without_place(records[trial]) for trial in serial} == serial
    retried = cluster.batches[4:]
    assert ["KillsAlways"] in retried
    assert len(retried) <= 4, "nothing is tried a third time, and what had ended is not tried again"


@pytest.mark.slow
def test_batches_are_as_large_and_as_many_as_they_may_be(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, "sign_flip", "non_finite", "ipm")
    cluster = Pool(Resources(), expected_of(jobs), room=1)
    found = [parcel.record["trial"] for parcel in played(jobs, cluster, size=3)]
    assert found == [trial.id for trial, _ in jobs]
    assert [len(batch) for batch in cluster.batches] == [3, 2]
    assert cluster.most == 1


class Closed:
    """A cluster that refuses every batch, as one does whose workers cannot import what they are sent."""

    def __init__(self, reason: Callable[[int], str]) -> None:
        self.reason, self.handed = reason, list[int]()
        self.number, self.cancelled = 0, False

    def room(self) -> int:
        return 1

    def submit(self, batch: Sequence[Job]) -> Handle:
        self.number += 1
        self.handed.append(self.number)
        return self.number

    def events(self) -> Iterable[Event]:
        number = self.handed.pop()
        yield Refused(number, "ModuleNotFoundError", self.reason(number))

    def cancel(self) -> None:
        self.cancelled = True


def test_a_reason_that_three_trials_share_stops_the_run(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, "sign_flip", "non_finite", "ipm")
    found = []
    with pytest.raises(WorkerError, match=r"3 trials failed on workers for the same reason.*No module named 'acme'"):
        found.extend(parcel.record for parcel in played(jobs, Closed(lambda number: "No module named 'acme'")))
    each = [parcel.record for parcel in played(jobs, Closed(lambda number: f"No module named 'acme{number}'"))]
    assert {record["status"] for record in each} == {"failed"}
    assert len(each) == len(jobs) == 5


def test_a_worker_with_other_code_versions_or_data_says_what_differs(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, "sign_flip")
    mine = expected_of(jobs)
    assert mine.against(mine) == ""
    other = dataclasses.replace(
        mine,
        versions={**mine.versions, "numpy": "1.0", "Python": "3.1.4"},
        machine="other",
        parts={**mine.parts, "Median": "other"},
        data=dict.fromkeys(mine.data, "other"),
    )
    told = mine.against(other)
    for part in ("numpy 1.0 in place of", "Python 3.1.4 in place of", "robustfl itself", "code of Median", "data of"):
        assert part in told
    record = work((jobs[0][0], "another"), Resources(), other).record
    assert (record["status"], (record["error"] or {})["type"]) == ("failed", "CodeDiffers")
    assert "code of Median" in str((record["error"] or {})["message"])
    many = dataclasses.replace(mine, parts={}, versions={})
    assert many.against(mine) == "" != mine.against(many)
    assert mine.against(many).endswith("more")


def test_versions_of_python_may_differ_in_their_third_number(tmp_path: Path) -> None:
    mine = expected_of(jobs_of(tmp_path, "sign_flip"))
    major, minor = mine.versions["Python"].split(".")[:2]
    near = dataclasses.replace(mine, versions={**mine.versions, "Python": f"{major}.{minor}.99"})
    assert mine.against(near) == ""


def test_files_come_back_with_the_record_and_nothing_else_is_written(tmp_path: Path) -> None:
    trial, fingerprint = jobs_of(tmp_path, "sign_flip")[0]
    place = Resources(ledgers=Ledgers(tmp_path / "out"))
    parcel = work((trial, fingerprint), place, expected_of([(trial, fingerprint)]))
    assert not (tmp_path / "out").exists(), "a worker writes nothing where the driver does"
    assert set(parcel.record["ran_on"]) == {"processor", "python"}
    ledger = f"ledgers/{trial.id}.ledger"
    unpacked(dataclasses.replace(parcel, files={ledger: b"kept"}), place)
    assert (tmp_path / "out" / ledger).read_bytes() == b"kept"
    for name in (
        f"../{trial.id}.ledger",
        f"ledgers/../../{trial.id}",
        f"exhibits/{trial.id}.npz",
        "ledgers/other.ledger",
    ):
        with pytest.raises(WorkerError, match="which has none such"):
            unpacked(dataclasses.replace(parcel, files={name: b""}), place)


def test_runs_on_unlike_machines_need_not_agree_in_every_bit() -> None:
    def record(processor: str) -> Record:
        return {"ran_on": {"processor": processor, "python": "3.11.1"}}  # type: ignore[typeddict-item]

    assert machines([{}]) == {}  # type: ignore[typeddict-item]
    assert machines([record("one"), record("one")]) == {"processor": "one", "python": "3.11.1"}
    several = machines([record("two"), record("one")])
    assert several == {"processor": "one and two", "python": "3.11.1", "machines": 2}
    same: Any = {"provenance": dict.fromkeys(("processor", "platform", "numpy", "torch"), "") | {"device": "cpu"}}
    mixed: Any = {"provenance": {**same["provenance"], "machines": 2}}
    assert reproducible(same, same)
    assert not reproducible(mixed, mixed)


@pytest.mark.parametrize("name", sorted(choosing.OWN))
def test_without_its_package_an_executor_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, name, None)  # imports of it fail, installed or not
    with pytest.raises(MissingExtraError, match=rf"pip install 'robustfl\[{name}\]'"):
        choosing.executor_for(name, Wanted(workers=1, address=None, out=tmp_path))


def test_the_command_tells_errors_of_executors_in_a_sentence(inside: Callable[..., Any], tmp_path: Path) -> None:
    wrong = inside("run", "smoke", "--executor", "rey", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "error: There is no executor named 'rey'. Did you mean 'ray'?" in wrong.stderr
    nowhere = inside("run", "smoke", "--address", "auto", cwd=tmp_path)
    assert nowhere.returncode == 2
    assert "--executor ray" in nowhere.stderr


PLUGIN = """
    from contextlib import contextmanager
    from robustfl.evaluation.run.executors import Serial

    class Here(Serial):
        closed = []

        @classmethod
        def wanted(cls, wanted):
            cls.asked = wanted
            return cls()

        def close(self):
            self.closed.append(self)

    class Half:
        pass
"""


def test_other_distributions_bring_executors(
    plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from robustfl.evaluation.run.runner import RunOptions

    monkeypatch.syspath_prepend(plugin("acme_here", PLUGIN, {choosing.GROUP: ["Here", "Half"]}))
    assert {"Here", "ray", "submitit"} <= set(choosing.names())
    options = RunOptions(out=tmp_path, workers=3)
    with choosing.elsewhere("Here", "there", options) as placed:
        assert isinstance(placed.executor, Serial)
        assert type(placed.executor).asked == Wanted(workers=3, address="there", out=tmp_path)  # type: ignore[attr-defined]
    assert type(placed.executor).closed == [placed.executor]  # type: ignore[attr-defined]
    with choosing.elsewhere(None, None, options) as same:
        assert same is options
    with pytest.raises(RobustflError, match="Missing: \\['wanted', 'run', 'close'\\]"):
        choosing.executor_for("Half", Wanted(workers=1, address=None, out=tmp_path))
    with pytest.raises(UnknownNameError):
        choosing.executor_for("nobody", Wanted(workers=1, address=None, out=tmp_path))
    with pytest.raises(ParameterError), choosing.elsewhere(None, "auto", options):
        pass
