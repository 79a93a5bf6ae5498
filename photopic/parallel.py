"""Threads: how long torch's wait for each other, and those that decode ahead of what is done with the images.

Threads are enough for decoding, because Pillow and hashing work outside the interpreter's lock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
SPINS = 5000
"""How often one of torch's threads looks for work, some 0.1 ms, before it gives its core away."""


def usable_cores() -> int:
    """CPU cores that this process may use; a container often has fewer than its machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def wait_briefly() -> None:
    """Make torch's threads give their core away when they wait for long; call before torch is imported.

    By default they spin, which on a machine that also does other work takes small networks 25 times as long;
    to sleep at once takes them up to twice as long on a quiet one (docs/design/threads.md). GNU's OpenMP
    reads both variables once. What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))


def ordered_map(work: Callable[[T], R], items: Iterable[T], *, ahead: int) -> Iterator[R]:
    """`work(item)` of each item in order, computed by a thread per usable core.

    At most `ahead` results wait for the caller, so memory stays bounded. What `work` raises is raised at its
    item's place; then, or when the caller stops, nothing further is begun.
    """
    pool = ThreadPoolExecutor(usable_cores(), thread_name_prefix="photopic")
    under_way: deque[Future[R]] = deque()
    try:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) > ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
