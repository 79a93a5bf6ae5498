"""Threads that work ahead: decoding overlaps with what is done with the images.

Threads are enough, because Pillow and hashing work outside the interpreter's lock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def usable_cores() -> int:
    """CPU cores that this process may use; a container often has fewer than its machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
