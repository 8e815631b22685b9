"""What runs in the process of a defense: it reads questions from its input and writes answers to its output."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import runpy
import sys
import threading
import time
import types
from dataclasses import dataclass
from typing import IO, Any

from robustfl.aggregation.defense import Aggregation
from robustfl.errors import InfeasibleError, RobustflError
from robustfl.isolation.guard import guard
from robustfl.isolation.messages import packed, read, unpacked, write


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the process is told when it starts.

    Attributes
    ----------
    defense : the defense, pickled
    path : where modules are found
    script : the file of the script that defines the defense; None if a module does
    folder : the folder in which the process may write
    since : files that were changed after this time are not read; None for any time
    tensors : whether rows are on an accelerator
    files : the files, beside a suite, that define the defense
    """

    defense: bytes
    path: tuple[str, ...]
    script: str | None
    folder: str
    since: float | None
    tensors: bool
    files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An error of the defense: its type, its text, and the rows that had been rejected before."""

    kind: str
    text: str
    rejected: int = 0


@dataclass(frozen=True)
class Method:
    """Stands for a method among the attributes of a defense."""

    name: str


def main() -> None:
    """Serve until nobody asks any more."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what a defense prints must not look like an answer
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    start: Start = read(source, as_data=False)
    sys.path[:] = start.path
    _prepare(start)
    guard(start.folder, start.since, start.files)
    try:
        defense = _defense(start)
    except BaseException as error:
        write(sink, _failure(error))
        return
    write(sink, (repr(defense), str(defense)))
    _serve(_Keeper(defense), source, sink)


def _prepare(start: Start) -> None:
    """Load what every defense needs, and give this process one thread."""
    from threadpoolctl import threadpool_limits

    from robustfl.aggregation.kernels.threads import limit_threads

    for name in ("robustfl.aggregation", "robustfl.aggregation.votes.contract"):
        importlib.import_module(name)
    if start.tensors:
        import torch

        torch.set_num_threads(1)
    threadpool_limits(1)
    _FOR_GOOD.append(limit_threads(1))
    _FOR_GOOD[-1].__enter__()


_FOR_GOOD: list[Any] = []


def _defense(start: Start) -> Any:
    if start.script is not None:
        process = multiprocessing.current_process()
        process._inheriting = True  # type: ignore[attr-defined]  # a script that would start a run then ends
        module = types.ModuleType("__mp_main__")
        module.__dict__.update(runpy.run_path(start.script, run_name="__mp_main__"))
        sys.modules["__main__"] = sys.modules["__mp_main__"] = module
        del process._inheriting  # type: ignore[attr-defined]
    return pickle.loads(start.defense)


class _Keeper:
    """The defense, and its state before the last question; a state is kept only when the question turns out to count.

    The defense therefore cannot know, while it answers, whether its answer has any effect.
    """

    def __init__(self, defense: Any) -> None:
        self.defense = defense
        self._before: dict[str, Any] | None = None

    def ask(self, rows: Any, given: dict[str, Any]) -> Aggregation:
        self.settle()
        self._before = self.defense.state_dict() if self.defense.stateful else None
        answer: Aggregation = self.defense.aggregate(rows, **given)
        return answer

    def settle(self, *, keep: bool = False) -> None:
        """Keep what the last question did to the state, or undo it."""
        before, self._before = self._before, None
        if before is not None and not keep:
            self.defense.load_state_dict(before)

    def attribute(self, path: tuple[Any, ...]) -> Any:
        found = self.defense
        for step in path:
            found = found[step] if isinstance(step, int) else getattr(found, step)
        return found


def _serve(keeper: _Keeper, source: IO[bytes], sink: IO[bytes]) -> None:
    while True:
        try:
            kind, *parts = read(source, as_data=False)
        except EOFError:
            return
        try:
            reply = _reply(keeper, kind, parts)
            write(sink, packed(reply))
        except (Exception, SystemExit) as error:
            write(sink, _failure(error))


def _reply(keeper: _Keeper, kind: str, parts: list[Any]) -> Any:
    if kind == "ask":
        rows, given = unpacked(parts, tensors=False)
        answer = keeper.ask(rows, given)
        return packed(answer.value), answer.weights, answer.rejected, packed(answer.info)
    if kind == "keep":
        keeper.settle(keep=True)
        return None
    keeper.settle()
    found = keeper.attribute(parts[0])
    if kind == "call":
        return found(*parts[1], **parts[2])
    return Method(parts[0][-1]) if callable(found) else found


def _failure(error: BaseException) -> Failure:
    kind = type(error).__name__ if isinstance(error, (RobustflError, AttributeError)) else ""
    text = str(error) if kind else f"{type(error).__name__}: {error}"
    return Failure(kind=kind, text=text, rejected=error.rejected if isinstance(error, InfeasibleError) else 0)


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, whatever the defense is doing."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
