"""Augmentation on one core: affine map, mirror image and brightness, images per second.

Every engine changes images with parameters of their own: rotation ± 15°, shifts ± 10 %, shear ± 10°, zoom 0.9
to 1.1, mirrored by chance, brightness × 0.8 to 1.2, bilinear. Each runs as its users run it, in a process of
its own, on one thread, in turns; what counts is the process' CPU time.

    photopic          an epoch of batches of float32 images 0..1, channels last, drawn once per epoch
    photopic, whole   uint8 of the store -> augmented, normalised network input in channels_last memory
    keras             ImageDataGenerator.flow on float32 images
    torchvision       transforms.v2 image by image, on uint8 tensors and on Pillow images; floats come out
    albumentations    OpenCV on uint8 arrays, image by image; uint8 comes out

Keras and albumentations are looked for in the environment of the group `keras` (see README.md), then here; an
engine that is not installed is listed as absent.

    python benchmarks/augmentation.py [REPEATS]
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from harness import interleave, keras_python, row, spread, write_result

SIZES = {32: 2048, 224: 64}
"""Side in pixels: images in one reading of photopic; the others, being slower, are given an eighth."""
BATCH = {32: 512, 224: 32}
GOALS = {"keras": {32: 40.0, 224: 8.0}, "torchvision": {32: 2.0, 224: 2.0}}
Reading = Callable[[], None]


# ---- engines: (size, images) -> one pass over so many images --------------------------------------------


def photopic(size: int, n: int) -> Reading:
    import torch

    augment = _augment(size)
    images = torch.rand(n, 3, size, size).contiguous(memory_format=torch.channels_last)
    batches = torch.arange(n).split(BATCH[size])

    def run() -> None:
        draw = augment.draw(n, 0, 0)
        for rows in batches:
            augment.apply(images[rows[0] : rows[-1] + 1], draw, rows)

    return run


def photopic_whole(size: int, n: int) -> Reading:
    import torch

    from photopic.config import PreprocessConfig
    from photopic.data.preprocess import Preprocess

    augment, batches = _augment(size), torch.arange(n).split(BATCH[size])
    mean, std = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)
    preprocess = Preprocess(PreprocessConfig(size=size, mean=mean, std=std))
    images = torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8)

    def run() -> None:
        draw = augment.draw(n, 0, 0)
        for rows in batches:
            preprocess.normalise(augment.apply_u8(images[rows[0] : rows[-1] + 1], draw, rows))

    return run


def _augment(size: int) -> Any:
    import torch

    from photopic.augment.policy import Augment
    from photopic.config import AugmentConfig

    torch.set_num_threads(1)
    config = AugmentConfig(
        rotation_range=15,
        width_shift_range=0.1,
        height_shift_range=0.1,
        shear_range=10,
        zoom_range=(0.9, 1.1),
        horizontal_flip="random",
        brightness_range=(0.8, 1.2),
    )
    return Augment(config, 3, size)


def keras(size: int, n: int) -> Reading:
    import numpy as np

    generator = importlib.import_module("keras.src.legacy.preprocessing.image").ImageDataGenerator(
        rotation_range=15,
        width_shift_range=0.1,
        height_shift_range=0.1,
        shear_range=10,
        zoom_range=0.1,
        horizontal_flip=True,
        brightness_range=(0.8, 1.2),
    )
    images = np.random.default_rng(0).integers(0, 256, (n, size, size, 3)).astype("float32")
    batches = generator.flow(images, batch_size=n, shuffle=False)
    return lambda: next(batches)


def torchvision_tensors(size: int, n: int) -> Reading:
    import torch

    v2 = _torchvision()
    images = torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8)
    change = v2.Compose([*_torchvision_changes(v2), v2.ToDtype(torch.float32, scale=True)])
    return lambda: torch.stack([change(image) for image in images])


def torchvision_pillow(size: int, n: int) -> Reading:
    import numpy as np
    import torch
    from PIL import Image

    v2 = _torchvision()
    arrays = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    images = [Image.fromarray(array) for array in arrays]
    change = v2.Compose([*_torchvision_changes(v2), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    return lambda: torch.stack([change(image) for image in images])


def _torchvision() -> Any:
    import torch

    torch.set_num_threads(1)
    return importlib.import_module("torchvision.transforms.v2")


def _torchvision_changes(v2: Any) -> list[Any]:
    bilinear = v2.InterpolationMode.BILINEAR
    affine = v2.RandomAffine(15, (0.1, 0.1), (0.9, 1.1), (-10, 10), interpolation=bilinear)
    return [affine, v2.RandomHorizontalFlip(), v2.ColorJitter(brightness=(0.8, 1.2))]


def albumentations(size: int, n: int) -> Reading:
    import numpy as np

    importlib.import_module("cv2").setNumThreads(1)
    a = importlib.import_module("albumentations")
    shift = {"x": (-0.1, 0.1), "y": (-0.1, 0.1)}
    affine = a.Affine(
        scale=(0.9, 1.1), translate_percent=shift, rotate=(-15, 15), shear=(-10, 10), border_mode=1, p=1
    )
    brightness = a.ColorJitter(brightness=(0.8, 1.2), contrast=(1, 1), saturation=(1, 1), hue=(0, 0), p=1)
    change = a.Compose([affine, a.HorizontalFlip(), brightness])
    images = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    return lambda: np.stack([change(image=image)["image"] for image in images])


ENGINES: dict[str, tuple[Callable[[int, int], Reading], str]] = {
    "photopic": (photopic, "photopic"),
    "photopic, whole": (photopic_whole, "photopic"),
    "keras": (keras, "keras"),
    "torchvision, uint8 tensors": (torchvision_tensors, "torchvision"),
    "torchvision, Pillow": (torchvision_pillow, "torchvision"),
    "albumentations": (albumentations, "albumentations"),
}


# ---- one engine's process ---------------------------------------------------------------------------------


def serve(name: str) -> None:
    """Answer each size on stdin with the images per CPU second of one pass."""
    make, package = ENGINES[name]
    try:
        importlib.import_module(package)
        passes = {size: make(size, n if package == "photopic" else n // 8) for size, n in SIZES.items()}
        version = importlib.metadata.version(package)
    except ImportError as error:
        print(json.dumps({"absent": str(error)}), flush=True)
        return
    for run in passes.values():
        run()
    print(json.dumps({"version": version}), flush=True)
    for line in sys.stdin:
        size = int(line)
        start = time.process_time()
        passes[size]()
        n = SIZES[size] if package == "photopic" else SIZES[size] // 8
        print(n / (time.process_time() - start), flush=True)


class Worker:
    """The other end of `serve`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [_python(ENGINES[name][1]), __file__, "--engine", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}},
        )
        self.facts: dict[str, str] = json.loads(self._answer())

    def reading(self, size: int) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{size}\n")
        self.process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the engine {self.name} has failed; its messages are above")
        return line

    def close(self) -> None:
        self.process.communicate()


def _python(package: str) -> str:
    if package not in ("keras", "albumentations"):
        return sys.executable
    try:
        return str(keras_python())
    except SystemExit:
        return sys.executable


# ---- all of them ------------------------------------------------------------------------------------------


def one_core_copy() -> float:
    """Bytes read plus written per second by a copy in memory on one core."""
    import numpy as np

    source, target = np.ones(2**26, np.float32), np.ones(2**26, np.float32)
    start = time.process_time()
    target[:] = source
    return 2 * source.nbytes / (time.process_time() - start)


def rows_of(medians: dict[str, dict[int, float]]) -> list[dict[str, Any]]:
    rows = []
    for size in SIZES:
        own = medians["photopic"][size]
        for name in medians:
            package = ENGINES[name][1]
            what = f"augmentation at {size} px, one core: photopic against {name}"
            if package == "photopic":
                rows.append(
                    row(
                        f"augmentation at {size} px, one core: {name}",
                        f"{medians[name][size]:,.0f} images per CPU second",
                    )
                )
                continue
            goal = GOALS.get(package, {}).get(size)
            ratio = own / medians[name][size]
            measured = f"{ratio:.1f} × ({medians[name][size]:,.0f} images per CPU second)"
            rows.append(row(what, measured, f"≥ {goal:g} ×" if goal else "", ratio >= goal if goal else None))
    return rows


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    workers = [Worker(name) for name in ENGINES]
    present = [worker for worker in workers if "absent" not in worker.facts]
    readings = {}
    for size in SIZES:
        sides = {worker.name: (lambda worker=worker, size=size: worker.reading(size)) for worker in present}
        readings[size] = interleave({**sides, "copy": one_core_copy}, repeats)
    for worker in workers:
        worker.close()
    medians = {
        worker.name: {size: spread(readings[size][worker.name])["median"] for size in SIZES}
        for worker in present
    }
    write_result(
        "augmentation",
        {
            "unit": "images per CPU second on one thread; copy: bytes read plus written per CPU second",
            "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
            "engines": {worker.name: worker.facts for worker in workers},
            "images": {
                str(size): {name: {**spread(values), "readings": values} for name, values in sides.items()}
                for size, sides in readings.items()
            },
            "rows": rows_of(medians),
        },
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--engine"]:
        serve(sys.argv[2])
    else:
        main()
