"""The textbooks' networks as layer lists, with the shapes and counts of their papers (tests check them)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from photopic.config.networks import ClassicModel, LayersModel

Layers = list[Any]


def classic_layers(model: ClassicModel, size: int) -> LayersModel:
    """The layer list of a named network. size: side of the input, pixels, which LeNet-5 pads to 32."""
    return CLASSICS[model.name].layers(size)


def _network(layers: Layers, **options: Any) -> LayersModel:
    return LayersModel.model_validate({"layers": layers} | options)


def softmax(size: int) -> LayersModel:
    """Softmax regression: one output for each class straight from the pixels (784 → 10: 7,850 parameters)."""
    return _network(["flatten"])


def mlp(size: int) -> LayersModel:
    """784-1024-1024-1024-512-10, ReLU, dropout 0.3 after the first three; 3,432,970 parameters."""
    wide: Layers = [{"dense": 1024, "activation": "relu"}, {"dropout": 0.3}]
    return _network(["flatten", *wide, *wide, *wide, {"dense": 512, "activation": "relu"}])


def lenet5(size: int) -> LayersModel:
    """LeCun et al. 1998, section II.B: 5×5 filters, mean pooling, tanh; 61,706 parameters with 10 classes.

    Images of 28 pixels are padded to the paper's 32. As usual today: all of C3's filters see all of S2's maps
    (the paper's table I connects some, and gives 60,000), pools have no weights, the output is a plain layer.
    """
    padding = 2 if size == 28 else "valid"
    return _network(
        [
            {"conv": 6, "kernel": 5, "padding": padding, "activation": "tanh"},
            {"avg-pool": 2},
            {"conv": 16, "kernel": 5, "activation": "tanh"},
            {"avg-pool": 2},
            {"conv": 120, "kernel": 5, "activation": "tanh"},
            "flatten",
            {"dense": 84, "activation": "tanh"},
        ]
    )


def alexnet(size: int) -> LayersModel:
    """Krizhevsky et al. 2012: 227 px, LRN, conv 2, 4 and 5 in two groups; 60,965,224 parameters.

    Pool before LRN, as most lecture notes and Caffe's CaffeNet have it (the paper: LRN first; same shapes).
    Weights N(0, 0.01²); biases 1 in conv 2, 4, 5 and the hidden dense layers, else 0 (section 5).
    """

    def conv(filters: int, kernel: int, groups: int, **options: Any) -> dict[str, Any]:
        bias = {"bias_init": "ones"} if groups == 2 else {}
        return {"conv": filters, "kernel": kernel, "groups": groups, "activation": "relu"} | bias | options

    pool = {"max-pool": 3, "stride": 2}
    hidden: Layers = [{"dropout": 0.5}, {"dense": 4096, "activation": "relu", "bias_init": "ones"}]
    return _network(
        [
            *[conv(96, 11, 1, stride=4), pool, "lrn"],
            *[conv(256, 5, 2, padding=2), pool, "lrn"],
            *[conv(384, 3, 1, padding=1), conv(384, 3, 2, padding=1), conv(256, 3, 2, padding=1), pool],
            *["flatten", *hidden, *hidden],
        ],
        init={"name": "normal", "std": 0.01},
    )


def vgg(size: int, *, depths: tuple[int, ...]) -> LayersModel:
    """Simonyan and Zisserman 2014 (arXiv:1409.1556): 3×3 filters in five blocks, three dense layers.

    depths: convolutions of each block. Configuration D has 138,357,544 parameters, E 143,667,240. Glorot's
    initialisation, which the paper found to make its pretraining of shallower networks needless.
    """
    layers: Layers = []
    for filters, depth in zip((64, 128, 256, 512, 512), depths, strict=True):
        layers += [{"conv": filters, "padding": "same", "activation": "relu"}] * depth + [{"max-pool": 2}]
    hidden: Layers = [{"dense": 4096, "activation": "relu"}, {"dropout": 0.5}]
    return _network([*layers, "flatten", *hidden, *hidden])


def googlenet(size: int) -> LayersModel:
    """Szegedy et al. 2014 (arXiv:1409.4842), table 1: nine inception blocks; 6,998,552 parameters.

    Without the two auxiliary classifiers, which only helped training. The original without batch norm.
    """
    pool = {"max-pool": 3, "stride": 2, "padding": "same"}
    return _network(
        [
            *[_conv(64, 7, stride=2), pool, "lrn"],
            *[_conv(64, 1), _conv(192, 3), "lrn", pool],
            *[_inception(64, 96, 128, 16, 32, 32), _inception(128, 128, 192, 32, 96, 64), pool],
            *[_inception(192, 96, 208, 16, 48, 64), _inception(160, 112, 224, 24, 64, 64)],
            *[_inception(128, 128, 256, 24, 64, 64), _inception(112, 144, 288, 32, 64, 64)],
            *[_inception(256, 160, 320, 32, 128, 128), pool],
            *[_inception(256, 160, 320, 32, 128, 128), _inception(384, 192, 384, 48, 128, 128)],
            *["global-avg-pool", {"dropout": 0.4}],
        ]
    )


def _conv(filters: int, kernel: int, **options: Any) -> dict[str, Any]:
    return {"conv": filters, "kernel": kernel, "padding": "same", "activation": "relu", **options}


def _inception(one: int, reduce3: int, three: int, reduce5: int, five: int, pooled: int) -> dict[str, Any]:
    """Filters in the order of the columns of the paper's table 1."""
    pool = {"max-pool": 3, "stride": 1, "padding": "same"}
    return {
        "branches": [
            [_conv(one, 1)],
            [_conv(reduce3, 1), _conv(three, 3)],
            [_conv(reduce5, 1), _conv(five, 5)],
            [pool, _conv(pooled, 1)],
        ]
    }


def resnet(size: int, *, depths: tuple[int, ...], bottleneck: bool) -> LayersModel:
    """He et al. 2015 (arXiv:1512.03385), table 1, projection shortcuts where the size changes (option B).

    depths: blocks of each stage. As in the paper a bottleneck's stride is in its first 1×1 convolution
    (torchvision's is in the 3×3). He initialisation, no biases before batch norms.
    """
    layers: Layers = [
        {"conv": 64, "kernel": 7, "stride": 2, "padding": 3, "bias": False},
        *["batch-norm", {"activation": "relu"}, {"max-pool": 3, "stride": 2, "padding": 1}],
    ]
    for stage, depth in enumerate(depths):
        for block in range(depth):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(_residual(64 * 2**stage, stride, bottleneck))
    return _network([*layers, "global-avg-pool"], init="he-normal")


def _residual(filters: int, stride: int, bottleneck: bool) -> dict[str, Any]:
    shape = [(filters, 1), (filters, 3), (4 * filters, 1)] if bottleneck else [(filters, 3), (filters, 3)]
    layers: Layers = []
    for number, (width, kernel) in enumerate(shape):
        layers += [{"activation": "relu"}] if number else []
        conv = {"conv": width, "kernel": kernel, "padding": kernel // 2, "bias": False}
        layers += [conv | ({} if number else {"stride": stride}), "batch-norm"]
    return {"residual": layers, "activation": "relu"}


@dataclass(frozen=True)
class Classic:
    """A named network, with the input and the number of classes that it was published with."""

    layers: Callable[[int], LayersModel]
    """From the side of the input to the layers."""
    parameters: int
    """With the published input and classes."""
    channels: int = 3
    size: int = 224
    classes: int = 1000


CLASSICS = {
    "softmax": Classic(softmax, 7_850, channels=1, size=28, classes=10),
    "mlp": Classic(mlp, 3_432_970, channels=1, size=28, classes=10),
    "lenet5": Classic(lenet5, 61_706, channels=1, size=32, classes=10),
    "alexnet": Classic(alexnet, 60_965_224, size=227),
    "vgg16": Classic(partial(vgg, depths=(2, 2, 3, 3, 3)), 138_357_544),
    "vgg19": Classic(partial(vgg, depths=(2, 2, 4, 4, 4)), 143_667_240),
    "googlenet": Classic(googlenet, 6_998_552),
    "resnet18": Classic(partial(resnet, depths=(2, 2, 2, 2), bottleneck=False), 11_689_512),
    "resnet34": Classic(partial(resnet, depths=(3, 4, 6, 3), bottleneck=False), 21_797_672),
    "resnet50": Classic(partial(resnet, depths=(3, 4, 6, 3), bottleneck=True), 25_557_032),
    "resnet101": Classic(partial(resnet, depths=(3, 4, 23, 3), bottleneck=True), 44_549_160),
    "resnet152": Classic(partial(resnet, depths=(3, 8, 36, 3), bottleneck=True), 60_192_808),
}
"""By the name that `model.name` takes."""
