"""The course's table of pretrained networks and of ImageNet's winners: published figures, none of ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ZooEntry:
    """A network as a deck's table has it (the figures of Keras' list of applications)."""

    name: str
    megabytes: int
    top_1: float
    """Accuracy on ImageNet's 50,000 validation images."""
    top_5: float
    parameters: int
    """As Keras counts: the moving averages of batch norms too."""
    depth: int | None
    counterpart: str | None
    """The same network in `photopic models`; None: there is none."""


ZOO = (
    ZooEntry("Xception", 88, 0.790, 0.945, 22_910_480, 126, "legacy_xception"),
    ZooEntry("VGG16", 528, 0.713, 0.901, 138_357_544, 23, "vgg16"),
    ZooEntry("VGG19", 549, 0.713, 0.900, 143_667_240, 26, "vgg19"),
    ZooEntry("ResNet50", 98, 0.749, 0.921, 25_636_712, None, "resnet50"),
    ZooEntry("ResNet101", 171, 0.764, 0.928, 44_707_176, None, "resnet101"),
    ZooEntry("ResNet152", 232, 0.766, 0.931, 60_419_944, None, "resnet152"),
    ZooEntry("ResNet50V2", 98, 0.760, 0.930, 25_613_800, None, "resnetv2_50"),
    ZooEntry("ResNet101V2", 171, 0.772, 0.938, 44_675_560, None, "resnetv2_101"),
    ZooEntry("ResNet152V2", 232, 0.780, 0.942, 60_380_648, None, "resnetv2_152"),
    ZooEntry("InceptionV3", 92, 0.779, 0.937, 23_851_784, 159, "inception_v3"),
    ZooEntry("InceptionResNetV2", 215, 0.803, 0.953, 55_873_736, 572, "inception_resnet_v2"),
    ZooEntry("MobileNet", 16, 0.704, 0.895, 4_253_864, 88, "mobilenetv1_100"),
    ZooEntry("MobileNetV2", 14, 0.713, 0.901, 3_538_984, 88, "mobilenetv2_100"),
    ZooEntry("DenseNet121", 33, 0.750, 0.923, 8_062_504, 121, "densenet121"),
    ZooEntry("DenseNet169", 57, 0.762, 0.932, 14_307_880, 169, "densenet169"),
    ZooEntry("DenseNet201", 80, 0.773, 0.936, 20_242_984, 201, "densenet201"),
    ZooEntry("NASNetMobile", 23, 0.744, 0.919, 5_326_716, None, None),
    ZooEntry("NASNetLarge", 343, 0.825, 0.960, 88_949_818, None, "nasnetalarge"),
)


@dataclass(frozen=True)
class Winner:
    """The winner of a year's ILSVRC classification task."""

    year: int
    name: str
    top_5_error: float
    """On the test images, with the training images provided."""


WINNERS = (
    Winner(2010, "NEC-UIUC", 0.282),
    Winner(2011, "XRCE", 0.258),
    Winner(2012, "AlexNet", 0.164),
    Winner(2013, "Clarifai", 0.117),
    Winner(2014, "GoogLeNet", 0.067),
    Winner(2015, "ResNet", 0.0357),
    Winner(2016, "Trimps-Soushen", 0.0299),
    Winner(2017, "SENet", 0.0225),
)
"""Russakovsky et al. 2015 (arXiv:1409.0575), table 7, up to 2014; then He et al. 2015 (arXiv:1512.03385), the
challenge's results of 2016, and Hu et al. 2018 (arXiv:1709.01507)."""
PUBLISHED = {
    "top-5 error, AlexNet (2012)": "published: 15.3 % with more training images, 16.4 % without",
    "top-5 error, second of 2012": "published: 26.2 %",
    "top-5 error, ResNet (2015)": "published: 3.57 %",
}
