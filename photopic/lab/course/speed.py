"""How fast this machine is beside the one that the estimates of time were made on."""

from __future__ import annotations

import time

REFERENCE_GFLOPS = 70.0
"""float32 matrix products of the reference machine, two cores of a cloud server, 10⁹ operations a second."""
_SIDE, _REPEATS = 1024, 4


def measure_gflops() -> float:
    """float32 matrix products of this machine, 10⁹ operations a second; takes about a tenth of a second.

    The best of a few, for other work on the machine only ever makes one slower.
    """
    import numpy as np

    matrix = np.ones((_SIDE, _SIDE), np.float32)
    best_s = float("inf")
    for _ in range(_REPEATS):
        started = time.perf_counter()
        matrix @ matrix
        best_s = min(best_s, time.perf_counter() - started)
    return 2 * _SIDE**3 / best_s / 1e9


def scaled_to(estimate_s: float, gflops: float) -> float:
    """An estimate for the reference machine, as one for a machine of this speed. Seconds."""
    return estimate_s * REFERENCE_GFLOPS / gflops
