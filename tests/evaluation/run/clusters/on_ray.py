"""Trials on real Ray clusters, which ask for a token, as clusters of several machines should.

`make executor-ray` builds an environment with Ray and runs these tests.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

os.environ["RAY_AUTH_MODE"] = "token"  # read when Ray is imported
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
# A busy machine takes long to start what a node consists of.
os.environ.update(RAY_agent_register_timeout_ms="600000", RAY_worker_register_timeout_seconds="600")

import ray
import ray._private.services as services
from ray.cluster_utils import Cluster

from robustfl.errors import ParameterError, WorkerError
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.run.clusters.ray import RayExecutor
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.suite.scenario import Experiment
from tests.conftest import ROOT
from tests.evaluation.run.clusters.elsewhere import DEADLY, SUITE, Told, experiment, ledgers, play, suite_of
from tests.federation import peers_worker

PORTS = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port", "dashboard_agent_listen_port")


def node() -> dict[str, Any]:
    """What a node is made with: one CPU, little memory, and ports.

    A node that chooses its ports itself dies when the processes that listen there take long to start.
    """
    with ExitStack() as held:
        taken = [held.enter_context(socket.create_server(("", 0))) for _ in PORTS]
        ports = {name: one.getsockname()[1] for name, one in zip(PORTS, taken, strict=True)}
    return {"num_cpus": 1, "object_store_memory": 100_000_000, **ports}


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


@pytest.fixture(autouse=True, scope="module")
def patience() -> Iterator[None]:
    """Ray gives a node thirty seconds to start, and no setting changes that; here it is given ten minutes."""
    once = services.get_node

    def often(*arguments: Any) -> Any:
        last = time.monotonic() + 600
        while True:
            try:
                return once(*arguments)
            except RuntimeError:
                if time.monotonic() > last:
                    raise
                time.sleep(0.2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "get_node", often)
        yield


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head with one CPU; tests add nodes."""
    started = Cluster(initialize_head=True, head_node_args={**node(), "include_dashboard": False})
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
    second = cluster.add_node(**node())
    with RayExecutor(cluster.address) as executor:
        (alone[1].parent / "deadly.mark").touch()
        lose = Told(4, lambda: cluster.remove_node(second))
        found = play(suite_at(alone[1].parent), tmp_path / "out", executor, lose)
        assert living() == 1
    assert found == alone[0]


def living() -> int:
    """The number of nodes that Ray knows to be alive."""
    return sum(each["Alive"] for each in ray.nodes())


SMALLER = ("seeds=1", "federation.rounds=5", "adversary.fractions=[0, 0.2]")


@pytest.mark.parametrize(
    "changes", [pytest.param(SMALLER, id="smaller"), pytest.param(("seeds=1",), id="whole", marks=pytest.mark.nightly)]
)
def test_quickstart_on_two_nodes_of_which_one_is_killed_has_the_records_of_worker_processes(
    changes: tuple[str, ...], cluster: Cluster, tmp_path: Path
) -> None:
    suite = read_experiment("quickstart", changes)
    second = cluster.add_node(**node())
    expected = play(suite, tmp_path / "processes", workers=2)
    alive = []

    def kill() -> None:
        alive.append(living())
        cluster.remove_node(second, allow_graceful=False)

    with RayExecutor(cluster.address) as executor:
        found = play(suite, tmp_path / "out", executor, Told(len(expected) // 2, kill))
        last = time.monotonic() + 120  # Ray notes such a death when the node has not answered for a while
        while living() > 1 and time.monotonic() < last:
            time.sleep(0.2)
        alive.append(living())
    assert found == expected
    assert alive == [2, 1]


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


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        pytest.param("127.0.0.1:1", "", id="nobody listens"),
        pytest.param("auto", "Could not find any running Ray instance", id="no cluster here"),
        pytest.param("http://127.0.0.1:1", "", id="another protocol"),
    ],
)
def test_an_address_without_a_cluster_is_an_error(address: str, reason: str) -> None:
    with RayExecutor(address, answer=30.0) as executor, pytest.raises(WorkerError, match=f"Found none: {reason}"):
        next(executor.run([], Resources()))


def test_an_address_that_never_answers_is_an_error_after_the_time_that_was_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections and says nothing
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            RayExecutor(address, answer=2.0) as executor,
            pytest.raises(WorkerError, match=r"it has not answered in 2 s\. Start one with `ray start --head`"),
        ):
            next(executor.run([], Resources()))
    assert not ray.is_initialized()


@pytest.mark.parametrize("answer", [0.0, -1.0, float("inf"), float("nan")])
def test_the_time_for_an_answer_is_bounded(answer: float) -> None:
    with pytest.raises(ParameterError, match="`answer` should be a number of seconds above 0"):
        RayExecutor("auto", answer=answer)


class Part:
    """One process of a group, as the documentation of `robustfl.federation.distributed_peers` makes it an actor."""

    def address(self) -> str:
        with socket.socket() as free:
            free.bind(("", 0))
            return f"tcp://{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"

    def play(self, address: str, rank: int, size: int) -> list[str]:
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=size)
        torch.set_num_threads(1)
        population = peers_worker.prepared()
        for name in peers_worker.CASES:
            peers_worker.as_one_process(population, name)
        return list(peers_worker.CASES)


def test_actors_on_two_nodes_play_one_network_as_one_process_does(cluster: Cluster) -> None:
    cluster.add_node(**node())
    ray.init(cluster.address, log_to_driver=False)
    parts = [ray.remote(num_cpus=1)(Part).remote() for _ in range(2)]
    address = ray.get(parts[0].address.remote())
    told = ray.get([part.play.remote(address, rank, 2) for rank, part in enumerate(parts)])
    assert told == [list(peers_worker.CASES)] * 2
