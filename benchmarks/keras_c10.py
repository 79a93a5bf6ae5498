"""The course's experiment C10 as its deck describes it, in Keras on TensorFlow: a CNN on MNIST.

Needs the dependency group `keras` only. Prints one JSON object; the clock starts before the data are read.

    python benchmarks/keras_c10.py --data-dir DATA --seed 0
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

IMPORTED = time.perf_counter()


def read_idx(path: Path, header_bytes: int) -> np.ndarray:
    """The bytes after the header of a gzipped IDX file."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header_bytes)


def load(folder: Path, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28, 1) float32 in 0..1 and one-hot labels (N, 10)."""
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 8)
    return images.astype("float32") / 255, keras.utils.to_categorical(labels, 10)


def build_model() -> keras.Model:
    """356,234 parameters; the deck counts the same."""
    layers = keras.layers
    stack: list[Any] = [keras.Input((28, 28, 1))]
    for filters, dropout in ((32, 0.3), (64, 0.3), (128, 0.0)):
        stack.append(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        stack.append(layers.MaxPooling2D(2, padding="same"))
        if dropout:
            stack.append(layers.Dropout(dropout))
    stack += [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")]
    model = keras.Sequential(stack)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


class Clock(keras.callbacks.Callback):
    """Seconds at the end of each epoch, with and without the time spent on validation."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.start, self.validation_s, self.test_started = start, 0.0, 0.0
        self.epochs: list[dict[str, float]] = []

    def on_test_begin(self, logs: Any = None) -> None:
        self.test_started = time.perf_counter()

    def on_test_end(self, logs: Any = None) -> None:
        self.validation_s += time.perf_counter() - self.test_started

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        elapsed = time.perf_counter() - self.start
        self.epochs.append(
            {
                "wall_s": elapsed,
                "without_validation_s": elapsed - self.validation_s,
                "test_accuracy": float(logs["val_accuracy"]),
            }
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--bar", type=float, default=0.99)
    options = parser.parse_args()

    start = time.perf_counter()
    keras.utils.set_random_seed(options.seed)
    train, test = load(options.data_dir / "mnist", "train"), load(options.data_dir / "mnist", "t10k")
    model = build_model()
    clock = Clock(start)
    model.fit(
        *train, batch_size=100, epochs=options.epochs, validation_data=test, callbacks=[clock], verbose=0
    )
    reached = next((epoch for epoch in clock.epochs if epoch["test_accuracy"] >= options.bar), None)
    result = {
        "seed": options.seed,
        "import_s": IMPORTED - STARTED,
        "parameters": model.count_params(),
        "epochs": clock.epochs,
        "bar": options.bar,
        "to_bar": reached,
        "versions": {
            "python": sys.version.split()[0],
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
