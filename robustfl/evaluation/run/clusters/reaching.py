"""Asks whether a Ray cluster answers, in a process of its own.

A connection to a machine that is silent can wait for minutes or for ever, and nothing in the process that waits can end
it. A process that only asks can be ended.
"""

from __future__ import annotations

import subprocess
import sys

from robustfl.errors import WorkerError

ASKING = "asking"
"""The line with which the process says that Ray is loaded: the time that this takes is not that of the cluster."""

ANSWERED = 0
FAILED = 3

_ASK = f"""
import sys
import ray
print({ASKING!r}, flush=True)
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
except Exception as error:
    print(next(iter(str(error).strip().splitlines()), type(error).__name__))
    sys.exit({FAILED})
ray.shutdown()
"""


def reach(address: str, seconds: float) -> None:
    """Return once a cluster has answered at this address.

    Raises
    ------
    WorkerError : there is none, or it has not answered within `seconds`, which begin when Ray is loaded
    """
    # Without a buffer, the first line is read alone, and what comes after it is left for later.
    with subprocess.Popen(
        [sys.executable, "-c", _ASK, address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    ) as asking:
        assert asking.stdout is not None
        try:
            loaded = asking.stdout.readline().decode().strip() == ASKING
            told, _ = asking.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise WorkerError(none_at(address, f"it has not answered in {seconds:g} s.")) from None
        finally:
            asking.kill()
    if asking.returncode != ANSWERED:
        reason = told.decode(errors="replace").strip() if loaded and asking.returncode == FAILED else ""
        raise WorkerError(none_at(address, reason or f"a process that asked ended with {asking.returncode}."))


def none_at(address: str | None, reason: str) -> str:
    """What to tell where no cluster is: the address, or None for a local one that could not be started, and why."""
    if address is None:
        return f"A Ray cluster should start on this machine. It did not: {reason}"
    return (
        f"A Ray cluster should be at the address {address!r}. Found none: {reason} Start one with `ray start --head`, "
        "or leave out --address for a local one."
    )


__all__ = ["none_at", "reach"]
