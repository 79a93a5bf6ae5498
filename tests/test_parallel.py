"""photopic.parallel: work ahead of the caller, in order and within bounds."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from photopic.parallel import ordered_map, usable_cores, wait_briefly


def test_results_come_in_the_order_of_the_items_whatever_takes_longest() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0.0)
        return number * number

    assert list(ordered_map(slow_at_first, range(20), ahead=5)) == [number * number for number in range(20)]


@pytest.mark.parametrize("ahead", [0, 3])
def test_no_more_than_allowed_is_taken_ahead_of_the_caller(ahead: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    for number, result in enumerate(ordered_map(abs, items(), ahead=ahead)):
        assert result == number
        assert taken <= number + 1 + ahead


def test_an_error_is_raised_at_its_place_and_ends_the_threads() -> None:
    def work(number: int) -> float:
        return 1 / (number - 2)

    results = ordered_map(work, range(5), ahead=4)
    assert [next(results), next(results)] == [-0.5, -1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("photopic_")]


def test_a_caller_that_stops_lets_nothing_further_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photopic.parallel.usable_cores", lambda: 1)
    begun: list[int] = []
    stopped = threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number > 0:
            stopped.wait(10)
        return number

    results = ordered_map(work, range(9), ahead=8)
    assert next(results) == 0
    threading.Timer(0.3, stopped.set).start()
    results.close()
    assert len(begun) <= 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("photopic_")]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be taken away here")
def test_cores_taken_from_the_process_do_not_count() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, ("passive", "5000")),
        ({"GOMP_SPINCOUNT": "7"}, ("passive", "7")),
        ({"OMP_WAIT_POLICY": "active"}, ("active", None)),
    ],
)
def test_threads_wait_briefly_unless_the_user_says_otherwise(
    before: dict[str, str], after: tuple[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ.get("GOMP_SPINCOUNT")) == after
