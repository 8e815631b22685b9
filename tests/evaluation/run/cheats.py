"""Rules that cheat: each would earn a rank that it does not deserve if nobody looked.

They are classes of a module, as those of a plug-in are, so that other processes can import them.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.aggregation import Aggregator, Outcome, Rows

MEMORY: dict[Any, Any] = {}
"""What rules of this module remember behind the back of their declared state."""

FILE = Path(__file__).parent / "remembered.npz"
"""Where a rule keeps what it remembers over processes; tests remove it."""


@dataclass(frozen=True, kw_only=True)
class Cheat(Aggregator):
    """The mean of the rows that :meth:`kept` names, all of them by default."""

    f: Annotated[int, Ge(0), Doc("number of Byzantine rows")]

    def kept(self, rows: Rows) -> Any:
        """Which rows count, as booleans [n] or places; None for all."""
        return None

    def _aggregate(self, rows: Rows) -> Outcome:
        weights, kept = np.zeros(rows.n), self.kept(rows)
        weights[slice(None) if kept is None else kept] = 1.0
        weights /= weights.sum() or 1.0
        return Outcome(rows.combine(weights), weights)


def values(rows: Rows) -> Any:
    """The rows as an array [n, d]."""
    found = np.empty((rows.n, rows.source.d))
    for columns, block in rows.source.sweep(lambda values, columns, extent: np.array(values)):
        found[:, columns] = block
    return found


# -- (1) drop the first f rows


class FirstRows(Cheat):
    """Malicious rows come first, so it drops the first ones."""

    name: ClassVar[str] = "cheat_first_rows"

    def kept(self, rows: Rows) -> Any:
        return np.arange(rows.n) >= self.f


class HashedPlaces(Cheat):
    """The same behind a hash: no place is compared with f."""

    name: ClassVar[str] = "cheat_hashed_places"

    def kept(self, rows: Rows) -> Any:
        bad = {hashlib.md5(str(place).encode()).hexdigest() for place in range(self.f)}
        return np.array([hashlib.md5(str(place).encode()).hexdigest() not in bad for place in range(rows.n)])


# -- (2) remember ids by their order


class FirstNames(Cheat):
    """Notes the names of the first rows of the first round, in its state, and drops them from then on."""

    name: ClassVar[str] = "cheat_first_names"
    state_keys: ClassVar[tuple[str, ...]] = ("bad",)

    def _aggregate(self, rows: Rows) -> Outcome:
        bad = self._state.get("bad")
        weights = np.array([1.0 if bad is None or name not in bad else 0.0 for name in rows.source.ids])
        weights /= weights.sum() or 1.0
        state = {"bad": list(rows.source.ids[: self.f])} if bad is None else {"bad": list(bad)}
        return Outcome(rows.combine(weights), weights, state=state)


class NamesInTheModule(Cheat):
    """The same without a state: the module remembers."""

    name: ClassVar[str] = "cheat_names_in_the_module"

    def kept(self, rows: Rows) -> Any:
        names = tuple(sorted(map(str, rows.source.ids)))
        bad = MEMORY.setdefault(names, set(rows.source.ids[: self.f]))
        MEMORY[names, "asked"] = asked = MEMORY.get((names, "asked"), 0) + 1
        return np.array([asked < 6 or name not in bad for name in rows.source.ids])


# -- (3) replay the unattacked trial, recognised by hashes of rows


class Replayed(Cheat):
    """Answers what it has answered when nobody attacked: it knows the honest rows again."""

    name: ClassVar[str] = "cheat_replayed"

    def remembered(self, key: str) -> Any:
        return MEMORY.get(key)

    def remember(self, answers: dict[str, Any]) -> None:
        MEMORY.update(answers)

    def _aggregate(self, rows: Rows) -> Outcome:
        outcome = Cheat._aggregate(self, rows)
        keys = [hashlib.sha256(row.astype(np.float32).tobytes()).hexdigest() for row in values(rows)]
        known = [found for key in keys if (found := self.remembered(key)) is not None]
        if known:
            return Outcome(np.asarray(known[0], dtype=outcome.value.dtype))
        if len(set(keys)) == len(keys):  # identical rows are an attack; the trial is none
            self.remember(dict.fromkeys(keys, np.array(outcome.value)))
        return outcome


class ReplayedFromAFile(Replayed):
    """The same with its memory in a file."""

    name: ClassVar[str] = "cheat_replayed_from_a_file"

    def remembered(self, key: str) -> Any:
        if not FILE.exists():
            return None
        with np.load(FILE) as known:
            return known.get(key)

    def remember(self, answers: dict[str, Any]) -> None:
        known: dict[str, Any] = {}
        if FILE.exists():
            with np.load(FILE) as before:
                known = dict(before)
        np.savez(FILE, **known, **{key: answer for key, answer in answers.items() if key not in known})


class ReplayedFromTheEnvironment(Replayed):
    """The same with its memory in environment variables, which processes inherit."""

    name: ClassVar[str] = "cheat_replayed_from_the_environment"

    def remembered(self, key: str) -> Any:
        text = os.environ.get(f"REMEMBERED_{key}")
        return None if text is None else np.frombuffer(bytes.fromhex(text), dtype=np.float32)

    def remember(self, answers: dict[str, Any]) -> None:
        for key, answer in answers.items():
            os.environ[f"REMEMBERED_{key}"] = answer.astype(np.float32).tobytes().hex()


class ReplayedByAThread(Replayed):
    """The same with its memory in a thread that never ends."""

    name: ClassVar[str] = "cheat_replayed_by_a_thread"

    def remembered(self, key: str) -> Any:
        return _thread_memory().get(key)

    def remember(self, answers: dict[str, Any]) -> None:
        _thread_memory().update(answers)


def _thread_memory() -> dict[str, Any]:
    for thread in threading.enumerate():
        if thread.name == "keeper":
            return thread.kept  # type: ignore[attr-defined, no-any-return]
    thread = threading.Thread(target=threading.Event().wait, name="keeper", daemon=True)
    thread.kept = {}  # type: ignore[attr-defined]
    thread.start()
    return _thread_memory()


# -- (4) find the simulation


def frames() -> Iterator[Any]:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


class OnTheStack(Cheat):
    """Finds the receiver on the call stack, and with it who is malicious."""

    name: ClassVar[str] = "cheat_on_the_stack"

    def receivers(self) -> Iterator[Any]:
        yield from (value for frame in frames() for value in frame.f_locals.values())

    def kept(self, rows: Rows) -> Any:
        for found in self.receivers():
            if hasattr(found, "malicious") and hasattr(found, "rows") and found.rows is not None:
                bad = set(np.asarray(found.malicious).tolist())
                good = np.array([member not in bad for member in found.ids.tolist()])
                if len(good) == rows.n:
                    return good
        return None


class InTheGarbage(OnTheStack):
    """The same by way of the garbage collector."""

    name: ClassVar[str] = "cheat_in_the_garbage"

    def receivers(self) -> Iterator[Any]:
        found = [thing for thing in gc.get_objects() if type(thing).__name__ == "Receiver"]
        yield from sorted(found, key=lambda receiver: receiver.answer is not None)


class InAnotherThread(OnTheStack):
    """The same from a thread, which looks at the frames of all others."""

    name: ClassVar[str] = "cheat_in_another_thread"

    def receivers(self) -> Iterator[Any]:
        found: list[Any] = []

        def look() -> None:
            for top in sys._current_frames().values():
                frame: FrameType | None = top
                while frame is not None:
                    found.extend(frame.f_locals.values())
                    frame = frame.f_back

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        yield from found


class MisleadsSearches(Cheat):
    """Answers adversaries' questions with nothing: it sees on the stack who asks."""

    name: ClassVar[str] = "cheat_misleads_searches"

    def kept(self, rows: Rows) -> Any:
        asked = any("threats" in frame.f_code.co_filename for frame in frames())
        return np.zeros(rows.n, dtype=np.bool_) if asked else None


# -- (5) train on the test set


class Examiner(Cheat):
    """Finds the test set, and answers the gradient of the model on it."""

    name: ClassVar[str] = "cheat_examiner"

    def populations(self) -> Iterator[Any]:
        for frame in frames():
            for value in frame.f_locals.values():
                setup = getattr(value, "setup", None)
                if hasattr(setup, "population"):
                    yield setup.population, value

    def _aggregate(self, rows: Rows) -> Outcome:
        for population, owner in self.populations():
            topology = getattr(owner, "topology", owner)
            if not hasattr(topology, "ownership"):
                continue
            import torch

            from robustfl.federation.clients.training import predict

            model = topology.ownership.server.weights.clone().requires_grad_()
            logits = predict(population, model, population.test_features)
            loss = torch.nn.functional.cross_entropy(logits, population.test_labels)
            return Outcome(torch.autograd.grad(loss, model)[0].numpy())
        return Cheat._aggregate(self, rows)


class ExaminerInTheGarbage(Examiner):
    """The same by way of the garbage collector."""

    name: ClassVar[str] = "cheat_examiner_in_the_garbage"

    def populations(self) -> Iterator[Any]:
        for thing in gc.get_objects():
            if type(thing).__name__ == "Simulation":
                yield thing.setup.population, thing


class Flatterer(Cheat):
    """Changes the measurement: from the first question on, every model has an accuracy of 1."""

    name: ClassVar[str] = "cheat_flatterer"

    def kept(self, rows: Rows) -> Any:
        for frame in frames():
            for observer in getattr(frame.f_locals.get("self"), "observers", ()):
                if type(observer).__name__ == "Accuracy":
                    report = observer.report

                    def flattering(trace: Any, report: Any = report) -> None:
                        report(trace)
                        trace.accuracy = [(number, 1.0) for number, _ in trace.accuracy]
                        trace.more |= {"plain_accuracy": 1.0, "balanced_accuracy": 1.0}

                    observer.report = flattering
        return None


# -- (6) answer the trusted update


class Trusting(Cheat):
    """Answers the trusted update."""

    name: ClassVar[str] = "cheat_trusting"

    @property
    def wants_trusted(self) -> bool:
        return True

    def _aggregate(self, rows: Rows) -> Outcome:
        return Outcome(np.array(rows.source.trusted))


class NearlyTrusting(Trusting):
    """Nearly the trusted update: a thousandth of the answer is the mean."""

    name: ClassVar[str] = "cheat_nearly_trusting"

    def _aggregate(self, rows: Rows) -> Outcome:
        return Outcome(0.999 * np.array(rows.source.trusted) + 0.001 * Cheat._aggregate(self, rows).value)


SIX = (FirstRows, FirstNames, Replayed, OnTheStack, Examiner, Trusting)

VARIANTS = (
    HashedPlaces,
    NamesInTheModule,
    ReplayedFromAFile,
    ReplayedFromTheEnvironment,
    ReplayedByAThread,
    InTheGarbage,
    InAnotherThread,
    ExaminerInTheGarbage,
    Flatterer,
    NearlyTrusting,
)
