"""From what the user points at to batches of pixels: decode, index, split, preprocess, store."""

from __future__ import annotations

from pathlib import Path

import numpy as np

Data = str | Path | tuple[np.ndarray, np.ndarray]
"""A path, the name of a catalog data set, or (images, labels)."""
