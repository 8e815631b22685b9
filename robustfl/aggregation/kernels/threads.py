"""Threads for work on column blocks: numba and numpy release the interpreter lock, so plain threads run in parallel.

This is a pool of our own rather than a parallel runtime. The caller may use it from several threads at once, it
survives a fork, and it returns results in the order of the tasks, so sums never depend on the number of threads.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from itertools import count as count_from
from typing import TypeVar

T = TypeVar("T")

VARIABLES = ("ROBUSTFL_NUM_THREADS", "OMP_NUM_THREADS")
"""Environment variables that set the number of threads; the first one that holds a positive number is used."""

LARGEST_GROUP = 4
"""Largest number of tasks that a thread gets at a time."""

_local = threading.local()
_lock = threading.Lock()
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
_chosen: int | None = None


def thread_count() -> int:
    """The number of threads of an aggregation: set by :func:`limit_threads` or the environment, else one per core."""
    if _chosen is not None:
        return _chosen
    for variable in VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdecimal() and int(value) > 0:
            return int(value)
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available is not None else os.cpu_count() or 1


@contextmanager
def limit_threads(count: int) -> Iterator[None]:
    """Make the whole process use `count` threads within the block."""
    global _chosen
    before, _chosen = _chosen, count
    try:
        yield
    finally:
        _chosen = before


def in_order(tasks: Iterator[Callable[[], T]]) -> Iterator[T]:
    """The results of the tasks in order, with several tasks at the same time; inside a task of the pool, one by one."""
    count = 1 if getattr(_local, "inside", False) else thread_count()
    head = list(islice(tasks, 2)) if count > 1 else []
    if len(head) < 2:  # one task alone is not worth a thread
        yield from (task() for task in chain(head, tasks))  # none is asked for before the one before it is done
        return
    pool = _pool(count)
    pending: deque[Future[list[T]]] = deque(pool.submit(_inside, [task]) for task in head)
    try:
        for group in _groups(tasks, count):
            pending.append(pool.submit(_inside, group))
            if len(pending) > 2 * count:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _groups(tasks: Iterator[T], count: int) -> Iterator[list[T]]:
    """Groups of the tasks, first of one task, then larger: to give a task to a thread costs as much as a small task."""
    for number in count_from(count):
        group = list(islice(tasks, min(number // count, LARGEST_GROUP)))
        if not group:
            return
        yield group


def _pool(count: int) -> ThreadPoolExecutor:
    """The pool of this process; a forked child needs its own, because it has none of its parent's threads."""
    with _lock:
        key = (os.getpid(), count)
        if key not in _pools:
            _pools[key] = ThreadPoolExecutor(count, thread_name_prefix="robustfl")
        return _pools[key]


def _after_fork() -> None:
    """Give a forked child a lock of its own: a thread that it has not got may have held that of its parent."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _inside(tasks: list[Callable[[], T]]) -> list[T]:
    _local.inside = True
    return [task() for task in tasks]
