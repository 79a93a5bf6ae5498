"""The course's experiment C27 as its deck describes it, in Keras on TensorFlow: a frozen backbone on photos.

MobileNetV2 without its top, frozen; global average pooling, 64 ReLU, dropout 0.5, 2 softmax; a generator
with rotation 20, shifts and zoom 0.2 for training only; batch 64, 10 epochs, 224 x 224. The backbone has
random weights (nothing is downloaded): use it for its time, not for its accuracy.

Needs the dependency group `keras` only. Prints one JSON object; the clock starts before the files are read.

    python benchmarks/keras_c27.py --photos FOLDER      FOLDER: train/ and val/ with a folder for each class
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

STARTED = time.perf_counter()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

IMPORTED = time.perf_counter()
SIZE = (224, 224)


def generators(photos: Path, seed: int) -> tuple[object, object]:
    """Batches of the training photos, augmented and shuffled, and of the validation photos, neither."""
    kind = tf.keras.preprocessing.image.ImageDataGenerator
    scale = keras.applications.mobilenet_v2.preprocess_input
    augmented = kind(
        preprocessing_function=scale,
        rotation_range=20,
        width_shift_range=0.2,
        height_shift_range=0.2,
        zoom_range=0.2,
    )
    plain = kind(preprocessing_function=scale)
    train = augmented.flow_from_directory(photos / "train", target_size=SIZE, batch_size=64, seed=seed)
    val = plain.flow_from_directory(photos / "val", target_size=SIZE, batch_size=64, shuffle=False)
    return train, val


def build_model() -> keras.Model:
    layers = keras.layers
    backbone = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(*SIZE, 3))
    backbone.trainable = False
    stack = [
        keras.Input((*SIZE, 3)),
        backbone,
        layers.GlobalAveragePooling2D(),
        layers.Dense(64, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(2, activation="softmax"),
    ]
    model = keras.Sequential(stack)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()

    start = time.perf_counter()
    keras.utils.set_random_seed(options.seed)
    train, val = generators(options.photos, options.seed)
    model = build_model()
    model.fit(train, epochs=options.epochs, validation_data=val, verbose=0)
    result = {
        "seed": options.seed,
        "import_s": IMPORTED - STARTED,
        "wall_s": time.perf_counter() - start,
        "epochs": options.epochs,
        "train_images": train.samples,
        "val_images": val.samples,
        "versions": {
            "python": sys.version.split()[0],
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
