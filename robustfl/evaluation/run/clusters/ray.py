"""`--executor ray`: trials on a Ray cluster, or on a local one that is started for the run.

The driver ships trials and data; the code has to be on every node already, as it is where all nodes have one image.
Before the first trial, every node is asked for its code, its versions, and the data that have arrived.

A cluster of several machines. Ray's head and its nodes are started with its own command, with robustfl installed in the
same environment everywhere::

    ray start --head --port=6379                      # on the first machine; it prints the address
    ray start --address=HEAD:6379                     # on each of the others
    robustfl run quickstart --executor ray --address auto

Authentication. Whoever can reach the ports of a Ray cluster can run any code on it. Ray asks for a token where
``RAY_AUTH_MODE=token`` is set, which newer versions do by themselves (2.59 for local clusters, 2.61 for all). Then
every node and every driver needs the same token. ``ray get-auth-token --generate`` on the head writes one to
``~/.ray/auth_token``. Copy that file to the same place on the others, or give its content as ``RAY_AUTH_TOKEN``, or
name another file in ``RAY_AUTH_TOKEN_PATH``, before ``ray start`` and before the run. ``RAY_AUTH_MODE=disabled``, on
all of them, switches this off, for machines that nobody else can reach. A token is sent as it is, unless Ray's traffic
is encrypted (``RAY_USE_TLS``): a cluster belongs into a network of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Sequence
from itertools import count
from typing import Any

from robustfl.errors import MissingExtraError, ParameterError, WorkerError
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.run.clusters.contract import Arrived, Ended, Event, Handle, Parcel, Refused, Wanted
from robustfl.evaluation.run.clusters.probing import Look, Subject
from robustfl.evaluation.run.clusters.reaching import none_at, reach
from robustfl.evaluation.run.clusters.retrying import played
from robustfl.evaluation.run.clusters.working import unpacked, work
from robustfl.evaluation.run.executors import THREAD_VARIABLES, Job
from robustfl.evaluation.run.play import Resources
from robustfl.federation.data.dataset import Data, Dataset

WINDOW = 4
"""Trials in flight for each CPU of the cluster, so that no worker waits for the driver."""

REREAD = 10.0
"""Seconds after which the CPUs of the cluster are counted again: nodes may join and leave."""

ANSWER = 60.0
"""Seconds in which a cluster has to answer at an address."""

PATIENCE = 600.0
"""Seconds in which every node has to answer what code it has; a first import from a slow disk takes minutes."""


class RayExecutor:
    """Plays trials on a Ray cluster; the records are those of worker processes, apart from times and `ran_on`.

    Parameters
    ----------
    address : what ``ray.init`` takes, such as "auto" or "head:6379"; None for a local cluster of `cpus`
    cpus : the CPUs of a local cluster; None for all cores
    environment : environment variables of the workers, besides those that give them one thread each
    answer : seconds in which a cluster has to answer at `address`, before that is an error

    A connection that exists already is used and left open. Otherwise the executor connects before the first trial,
    and :meth:`close` or the end of a ``with`` block ends the connection.

    Examples
    --------
    >>> from pathlib import Path
    >>> from robustfl.evaluation.run.runner import RunOptions, run_experiment
    >>> with RayExecutor(address="auto") as executor:  # doctest: +SKIP
    ...     run_experiment(experiment, RunOptions(out=Path("runs/smoke"), executor=executor))

    Raises
    ------
    MissingExtraError : Ray is not installed
    ParameterError : `answer` is no number of seconds
    """

    _calls = count(1)

    def __init__(
        self,
        address: str | None = None,
        *,
        cpus: int | None = None,
        environment: dict[str, str] | None = None,
        answer: float = ANSWER,
    ) -> None:
        # A driver that `uv run` started would otherwise give its workers another interpreter.
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if not 0 < answer < float("inf"):
            raise ParameterError(f"`answer` should be a number of seconds above 0. Found answer={answer!r}.")
        try:
            import ray
        except ImportError:
            raise MissingExtraError("`--executor ray` needs Ray: pip install 'robustfl[ray]'.") from None
        self._ray: Any = ray
        self._address, self._cpus, self._environment = address, cpus, environment or {}
        self._answer = answer
        self._connected = False

    @classmethod
    def wanted(cls, wanted: Wanted) -> RayExecutor:
        return cls(wanted.address, cpus=max(1, wanted.workers))

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, if this executor has made it; a local cluster ends with it."""
        if self._connected:
            self._ray.shutdown()
            self._connected = False

    def run(self, jobs: Sequence[Job], place: Resources) -> Generator[Record]:
        """Play the jobs; see :class:`robustfl.evaluation.run.executors.Executor`.

        Raises
        ------
        ParameterError : `place` asks for a device other than the CPU
        WorkerError : no cluster answers at the address in time, a node has other code, versions or data than the
            driver, or several trials failed on workers for the same reason
        """
        if place.device != "cpu":
            raise ParameterError(f"On a Ray cluster, `device` should be 'cpu'. Found device={place.device!r}.")
        self._connect()
        variables = {**dict.fromkeys(THREAD_VARIABLES, "1"), **self._environment}
        # Processes are shared by tasks of equal environments only: every call has workers of its own, new ones.
        variables["ROBUSTFL_RUN"] = f"{os.getpid()}.{next(self._calls)}"
        cluster = _Nodes(self._ray, variables, place, Subject.of(trial for trial, _ in jobs))
        cluster.probe()
        for parcel in played(jobs, cluster):
            yield unpacked(parcel, place)

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        if self._address is not None:
            reach(self._address, self._answer)
        local: dict[str, Any] = {"num_cpus": self._cpus, "include_dashboard": False}
        options = {"address": "local", **local} if self._address is None else {"address": self._address}
        try:
            self._ray.init(log_to_driver=False, **options)
        except Exception as error:  # connections fail in many ways, and all of them mean the same here
            reason = str(error).strip().splitlines()
            raise WorkerError(none_at(self._address, reason[0] if reason else type(error).__name__)) from error
        self._connected = True


class _Nodes:
    """A Ray cluster with the workers of one call."""

    def __init__(self, ray: Any, variables: dict[str, str], place: Resources, subject: Subject) -> None:
        self._ray, self._subject = ray, subject
        self._expected = Look.at(subject, place.data_root)
        environment = {"env_vars": variables}
        self._play = ray.remote(num_cpus=1, max_retries=0, runtime_env=environment)(_play)
        self._look = ray.remote(num_cpus=0, max_retries=0, runtime_env=environment)(_look)
        self._place = ray.put((place, self._expected))
        self._data = {name: ray.put((data, data.load(place.data_root))) for name, data in subject.data.items()}
        self._flying: set[Any] = set()
        self._counted, self._cpus = 0.0, 1

    def probe(self) -> None:
        """Ask every node for what it has.

        Raises
        ------
        WorkerError : a node has something else than the driver, or does not answer
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in self._ray.nodes() if node["Alive"]}
        asked = {}
        for name in nodes:
            there = NodeAffinitySchedulingStrategy(name, soft=False)
            asked[
                self._look.options(scheduling_strategy=there).remote(self._subject, self._place, *self._data.values())
            ] = name
        answered, silent = self._ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE)
        wrong = [f"{self._named(nodes, asked[one])} has not answered in {PATIENCE:.0f} s" for one in silent]
        for one in answered:
            try:
                found = self._expected.against(self._ray.get(one))
            except self._ray.exceptions.RayError as error:
                found = f"what no trial can be played with: {_reason(error)}"
            if found:
                wrong.append(f"{self._named(nodes, asked[one])} has {found}")
        if wrong:
            raise WorkerError(
                f"Every node of the cluster should have the code, the versions and the data of this process. "
                f"{'; '.join(sorted(wrong))}. Install the same on all of them, and run the same command again."
            )

    @staticmethod
    def _named(nodes: dict[str, str], name: str) -> str:
        return f"Node {name[:8]} at {nodes[name]}"

    def room(self) -> int:
        if time.monotonic() - self._counted > REREAD:
            self._cpus = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
            self._counted = time.monotonic()
        return WINDOW * self._cpus

    def submit(self, batch: Sequence[Job]) -> Handle:
        (job,) = batch
        data = self._data[str(job[0].scenario.task.data)]
        reference = self._play.remote(job, self._place, data)
        self._flying.add(reference)
        handle: Handle = reference
        return handle

    def events(self) -> Iterable[Event]:
        ready, _ = self._ray.wait(list(self._flying), num_returns=1, timeout=REREAD)
        for reference in ready:
            self._flying.discard(reference)
            yield self._event(reference)

    def _event(self, reference: Any) -> Event:
        errors = self._ray.exceptions
        try:
            parcel: Parcel = self._ray.get(reference)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            return Refused(reference, type(error.cause if hasattr(error, "cause") else error).__name__, _reason(error))
        except errors.RayError:  # the worker, its node, or the store that held the record is gone
            return Ended(reference)
        return Arrived(reference, parcel)

    def cancel(self) -> None:
        for reference in self._flying:
            self._ray.cancel(reference, force=True)
        self._flying.clear()


def _reason(error: Exception) -> str:
    """The message of what went wrong on a worker, without Ray's own traceback."""
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[-1] if lines else ''}"


def _play(job: Job, given: tuple[Resources, Look], data: tuple[Data, Dataset]) -> Parcel:
    """What a worker does with a trial; the data come from the memory that all workers of a node share."""
    place, expected = given
    data[0].hand(data[1], place.data_root)
    return work(job, place, expected)


def _look(subject: Subject, given: tuple[Resources, Look], *data: tuple[Data, Dataset]) -> Look:
    """What a node has."""
    place = given[0]
    for source, dataset in data:
        source.hand(dataset, place.data_root)
    return Look.at(subject, place.data_root)


__all__ = ["RayExecutor"]
