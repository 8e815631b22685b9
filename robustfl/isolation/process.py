"""Starts the process of a defense, and asks it in place of the defense."""

from __future__ import annotations

import copy
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import environ, pathsep
from typing import Any

from robustfl import errors
from robustfl.aggregation.defense import Aggregation
from robustfl.aggregation.kernels.base import is_tensor
from robustfl.errors import IsolationError
from robustfl.isolation.messages import packed, read, unpacked, write
from robustfl.isolation.serving import Failure, Method, Start
from robustfl.own_files import files_in

UNGUARDED = 85
"""The exit code of a process that would have started a run while it imported a script."""

ENVIRONMENT = dict(environ)
"""The environment before any trial of this process: what a defense writes into it later does not count."""

_THREADS = ("ROBUSTFL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

_SERVE = "from robustfl.isolation.serving import main; main()"


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A defense that is still packed: a process that has only this has never run a line of the defense's module.

    Attributes
    ----------
    content : the defense, pickled
    text : its label
    channel : the channel of its messages
    clients : the stages that clients carry out, pickled; None when there are none. They are data and code of the
        clients, which run where the clients do: whoever plays a trial with them unpacks them there
    script : the file of the script that defines it; None if a module does
    """

    content: bytes
    text: str
    channel: str
    clients: bytes | None
    script: str | None

    def reset(self) -> None:
        """Do nothing: what is packed has no history."""


def seal(defense: Any) -> Sealed:
    """Pack a defense.

    Raises IsolationError when it cannot be pickled.
    """
    defense.reset()
    try:
        content = pickle.dumps(defense)
        stages = getattr(defense, "client_side", ())
        clients = pickle.dumps(stages) if stages else None
    except Exception as error:
        raise IsolationError(
            f"{defense!r} cannot be sent to a process of its own: {error}. Define it at the top of a module."
        ) from None
    return Sealed(
        content=content, text=str(defense), channel=str(defense.channel), clients=clients, script=_script(defense)
    )


@contextmanager
def isolated(defense: Any, *, device: str = "cpu", since: float | None = None) -> Iterator[IsolatedDefense]:
    """Move a copy of a defense into a new process for the time of the block; the block gets what stands for it.

    It can be given to :func:`robustfl.federation.assembly.assemble` like the defense itself. Its start
    takes about a second of one core (three if rows are on an accelerator), and a question the copying of its rows.

    Parameters
    ----------
    defense : an aggregator, a pipeline or a rule for rankings, also a :class:`Sealed` one; it can be pickled, and a
        module that can be imported, or a script with a ``__main__`` guard, defines it
    device : where the rows of the questions are
    since : time in seconds; the process reads no file that was changed later

    Raises
    ------
    IsolationError : the process cannot be started, the defense cannot be sent there, or the process ends early

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.defenses import Median
    >>> with isolated(Median()) as rule:
    ...     rule.aggregate(np.array([[1.0], [2.0], [9.0]])).value
    array([2.])
    """
    packed_up = defense if isinstance(defense, Sealed) else seal(copy.deepcopy(defense))
    folder = tempfile.mkdtemp(prefix="robustfl-")
    process = None
    try:
        process = _Process(packed_up, folder, device, since)
        yield IsolatedDefense(process, clients=packed_up.clients)
    finally:
        if process is not None:
            process.end()
        shutil.rmtree(folder, ignore_errors=True)


class IsolatedDefense:
    """Stands for a defense that is in a process of its own.

    Questions go to :meth:`aggregate` and :meth:`preview`, as usual. All other attributes and methods are those of the
    defense in the other process; attributes that are no methods are read once.
    """

    def __init__(self, process: _Process, path: tuple[Any, ...] = (), *, clients: bytes | None = None) -> None:
        self._process, self._path = process, path
        self.client_side: tuple[Any, ...] = () if clients is None else pickle.loads(clients)
        """The stages that clients carry out. They are no part of the server, so they act in the simulation itself."""
        self._read: dict[str, Any] = {}

    def aggregate(self, updates: Any, **given: Any) -> Aggregation:
        """The answer of the defense, which then remembers the question."""
        answer = self._asked(updates, given)
        self._process.request("keep")
        return answer

    def preview(self, updates: Any, **given: Any) -> Aggregation:
        """The answer of the defense, without any effect on its state."""
        return self._asked(updates, given)

    @property
    def stages(self) -> tuple[IsolatedDefense, ...]:
        """What stands for each stage of the defense."""
        if self._path:
            return (self,)
        count = self._process.request("call", ("stages", "__len__"), (), {})
        return tuple(IsolatedDefense(self._process, ("stages", number)) for number in range(count))

    def _asked(self, updates: Any, given: dict[str, Any]) -> Aggregation:
        reply = self._process.request("ask", packed(updates), packed(given))
        try:
            value, weights, rejected, info = reply
        except (TypeError, ValueError):
            raise IsolationError(f"The process of {self} sent something that is no answer.") from None
        return Aggregation(unpacked(value, tensors=is_tensor(updates)), weights, rejected, info)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._read:
            found = self._process.request("read", (*self._path, name))
            self._read[name] = self._method(name) if isinstance(found, Method) else found
        return self._read[name]

    def _method(self, name: str) -> Any:
        path = (*self._path, name)
        return lambda *given, **named: self._process.request("call", path, given, named)

    def __repr__(self) -> str:
        return self._process.texts[0]

    def __str__(self) -> str:
        return self._process.texts[1]


class _Process:
    """A process with a defense in it; one question at a time."""

    def __init__(self, defense: Sealed, folder: str, device: str, since: float | None) -> None:
        self.texts = (defense.text, defense.text)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed when the process ends
        home = {"HOME": folder, "TMPDIR": folder, "PYTHONPATH": pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=folder,
            env={**ENVIRONMENT, **dict.fromkeys(_THREADS, "1"), **home, "ROBUSTFL_WORKER": "1"},
            close_fds=True,
        )
        start = Start(
            defense=defense.content,
            path=tuple(filter(None, sys.path)),
            script=defense.script,
            folder=folder,
            since=since,
            tensors=device != "cpu",
            files=files_in(defense.content),
        )
        try:
            first, second = self._exchange(start)
            self.texts = (str(first), str(second))
        except BaseException:
            self.end()
            raise

    def request(self, kind: str, *parts: Any) -> Any:
        """The reply to a request.

        Raises the error that the defense has raised, or IsolationError when the process has ended.
        """
        return self._exchange((kind, *parts))

    def _exchange(self, message: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            write(self._process.stdin, message)
            reply = read(self._process.stdout, as_data=True)
        except (EOFError, BrokenPipeError):
            raise IsolationError(self._last_words()) from None
        if isinstance(reply, Failure):
            raise _error(reply)
        return reply

    def end(self) -> None:
        """Let the process end, by force if it does not by itself."""
        with suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def _last_words(self) -> str:
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            code = None
        if code == UNGUARDED:
            return (
                f"The process of {self.texts[1]} imports the script that defines it, and that script starts a run "
                'whenever it is imported. Put the run under a guard: `if __name__ == "__main__":`.'
            )
        how = "has closed its output" if code is None else f"ended with the exit code {code}"
        if code is not None and code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        said = f" Its last words: {lines[-1][:500]}" if lines else ""
        return f"The process of {self.texts[1]} {how} before it had answered.{said}"


def _error(failure: Failure) -> Exception:
    """The error of the defense, in this process."""
    if failure.kind == "AttributeError":
        return AttributeError(failure.text)
    kind = getattr(errors, failure.kind, None) if failure.kind else None
    if not (isinstance(kind, type) and issubclass(kind, errors.RobustflError)):
        return IsolationError(f"In a process of its own, a defense failed: {failure.text}")
    if issubclass(kind, errors.InfeasibleError):
        return kind(failure.text, rejected=failure.rejected)
    return kind(failure.text)


def _script(defense: Any) -> str | None:
    """The script that defines a part of the defense; None when modules define all of it."""
    if all(type(part).__module__ not in ("__main__", "__mp_main__") for part in (defense, *defense.stages)):
        return None
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is None:
        raise IsolationError(f"{defense!r} was typed at a prompt. Define it in a file, which other processes can read.")
    return str(script)
