"""Downloads of catalog data, only on the user's word, through torchvision, which checks each file's MD5."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from photopic.errors import OfflineError
from photopic.files import lock

_CIFAR = "https://www.cs.toronto.edu/~kriz/"
_CIFAR10_MD5, _CIFAR100_MD5 = (
    "c32a1d4ab5d03f1284b67883e8d87530",
    "03b5dce01913d631647c71ecec9e9cb8",
)  # same page


def download_catalog(name: str, folder: Path, places: Iterable[str]) -> None:
    """Fetch a catalog data set into `folder`, whole or not at all.

    places: names in the folder under which the catalog looks for it. Raises OfflineError if the download
    fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock(folder / f"{name}.lock", timeout_s=3600.0):
            if any((folder / place).exists() for place in places):  # another process was faster
                return
            with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as unfinished:
                _FETCH[name](Path(unfinished))
                for entry in Path(unfinished).iterdir():
                    entry.rename(folder / entry.name)
    except (OSError, RuntimeError) as error:  # torchvision raises RuntimeError for a wrong checksum
        raise OfflineError(
            f'the download of "{name}" failed ({error}). Try again, or put it into {folder}.'
        ) from error


def _mnist(folder: Path) -> None:
    from torchvision.datasets import MNIST

    MNIST(folder, download=True)


def _fashion_mnist(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(folder, download=True)


def _cifar10(folder: Path) -> None:
    """The binary version; torchvision's own loader takes the pickles."""
    from torchvision.datasets.utils import download_url

    download_url(_CIFAR + "cifar-10-binary.tar.gz", folder, md5=_CIFAR10_MD5)


def _cifar100(folder: Path) -> None:
    from torchvision.datasets.utils import download_url

    download_url(_CIFAR + "cifar-100-binary.tar.gz", folder, md5=_CIFAR100_MD5)


def _gtsrb(folder: Path) -> None:
    from torchvision.datasets import GTSRB

    GTSRB(folder, "train", download=True)
    GTSRB(folder, "test", download=True)


_FETCH: dict[str, Callable[[Path], None]] = {
    "mnist": _mnist,
    "fashion-mnist": _fashion_mnist,
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "gtsrb": _gtsrb,
}
