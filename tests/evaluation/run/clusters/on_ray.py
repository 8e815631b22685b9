"""Trials on real Ray clusters, which ask for a token, as clusters of several machines should.

`make executor-ray` builds an environment with Ray and runs these tests.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["RAY_AUTH_MODE"] = "token"  # read when Ray is imported
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)

import ray
from ray.cluster_utils import Cluster

from robustfl.errors import WorkerError
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.run.clusters.ray import RayExecutor
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.suite.scenario import Experiment
from tests.conftest import ROOT
from tests.evaluation.run.clusters.elsewhere import DEADLY, SUITE, Told, experiment, ledgers, play, suite_of

NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100_000_000}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The records of the suite from this process, and the folder of its run."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "deadly.py").write_text(DEADLY)
    (folder / "deadly.mark").touch()  # nothing is killed in this process
    return play(suite_at(folder), folder / "out"), folder / "out"


def suite_at(folder: Path) -> Experiment:
    """The suite, with a trial that kills its worker while there is no `deadly.mark`."""
    return experiment(folder, SUITE.replace("[sign_flip,", "['deadly.py:KillsOnce',"))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head with one CPU; tests add nodes."""
    started = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        yield started
    finally:
        ray.shutdown()
        started.shutdown()


def test_a_local_cluster_gives_the_same_records_and_ledgers_also_when_a_worker_is_killed(
    alone: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    expected, folder = alone
    mark = folder.parent / "deadly.mark"
    mark.unlink()
    with RayExecutor(cpus=2) as executor:
        found = play(suite_at(folder.parent), tmp_path / "out", executor)
    assert mark.exists(), "no worker was killed"
    assert found == expected
    assert ledgers(tmp_path / "out") == ledgers(folder) != {}
    records = read_records(tmp_path / "out" / "records.jsonl")
    assert all(set(record["ran_on"]) == {"processor", "python"} for record in records)
    assert not ray.is_initialized()


def test_a_node_that_is_lost_costs_nothing_but_time(
    alone: tuple[dict[str, Any], Path], cluster: Cluster, tmp_path: Path
) -> None:
    second = cluster.add_node(**NODE)
    with RayExecutor(cluster.address) as executor:
        (alone[1].parent / "deadly.mark").touch()
        lose = Told(4, lambda: cluster.remove_node(second))
        found = play(suite_at(alone[1].parent), tmp_path / "out", executor, lose)
        assert sum(node["Alive"] for node in ray.nodes()) == 1
    assert found == alone[0]


def test_a_node_with_other_code_is_refused_by_name_before_anything_is_played(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    for folder in ("robustfl", "attacks", "defenses", "scenarios", "reports"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "published"))
    with (copy / "defenses" / "krum.py").open("a") as file:
        file.write("# an edit\n")
    out = tmp_path / "out"
    monkeypatch.chdir(tmp_path)  # workers on this machine also search the folder of the driver
    executor = RayExecutor(cluster.address, environment={"PYTHONPATH": str(copy)})
    with executor, pytest.raises(WorkerError, match=r"Node \w{8} at [\d.]+ has other code of Krum\. Install"):
        play(experiment(tmp_path), out, executor)
    assert read_records(out / "records.jsonl") == []


def test_a_node_that_lacks_a_file_is_refused_with_the_reason(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text(DEADLY)
    suite = experiment(tmp_path, suite_of("deadly.py:KillsOnce"))
    (tmp_path / "deadly.py").unlink()  # this process has read it, and no worker can
    with RayExecutor(cluster.address) as executor, pytest.raises(WorkerError, match=r"deadly\.py"):
        play(suite, tmp_path / "out", executor)


def test_a_trial_that_kills_its_worker_twice_has_failed_and_one_that_does_it_once_has_not(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "deadly.py").write_text(DEADLY)
    with RayExecutor(cluster.address) as executor:
        play(experiment(tmp_path, suite_of("deadly.py:KillsOnce", "deadly.py:KillsAlways")), tmp_path / "out", executor)
    errors = {
        record["labels"]["attack"]: (record.get("error") or {}).get("type")
        for record in read_records(tmp_path / "out" / "records.jsonl")
    }
    assert errors == {"none": None, "KillsOnce": None, "KillsAlways": "WorkerDied"}


def test_a_cluster_that_is_not_there_is_an_error() -> None:
    with RayExecutor("127.0.0.1:1") as executor, pytest.raises(WorkerError, match="Found none"):
        next(executor.run([], Resources()))
