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
    """An estimate for the reference machine, as one for a machine of this speed. Seconds.

    Half the speed takes twice the time, but twice the speed not half: memory and small operations gain less
    from a faster processor. Full runs of C10, C12 and C26 took 0.4 to 0.6 of their estimates at 310 GFLOP/s;
    the square root says 0.48.
    """
    ratio = REFERENCE_GFLOPS / gflops
    return estimate_s * (ratio if ratio > 1 else ratio**0.5)
