"""Layers against NumPy loops and stock torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from photopic.models.layers import BatchNorm, Conv, Whitening


def images(n: int = 64, channels: int = 3, size: int = 8) -> torch.Tensor:
    raw = torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(0))
    return nn.functional.avg_pool2d(raw, 3, 1, 1)  # neighbours correlate, as in photos


def patches_in_numpy(x: torch.Tensor, size: int, stride: int) -> np.ndarray:
    side = (x.shape[2] - size) // stride + 1
    return np.stack(
        [
            image[:, i * stride : i * stride + size, j * stride : j * stride + size].reshape(-1)
            for image in x.double().numpy()
            for i in range(side)
            for j in range(side)
        ]
    )


@pytest.mark.parametrize(("channels", "size", "stride"), [(3, 2, 1), (1, 3, 1), (1, 4, 2)])
def test_whitened_patches_have_the_identity_as_second_moment(channels, size, stride):
    x = images(channels=channels)
    layer = Whitening(channels, size, stride)
    layer.fit([x], eps=0.0)
    responses = layer(x).detach()
    patch = channels * size * size // 4 * 4
    assert responses.shape[1] == layer.out_channels == 2 * patch
    flat = responses.permute(0, 2, 3, 1).reshape(-1, 2 * patch)[:, :patch].double()
    torch.testing.assert_close(flat.T @ flat / len(flat), torch.eye(patch).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(responses[:, patch:], -responses[:, :patch], atol=1e-5, rtol=0)


def test_whitening_filters_are_numpys_eigenvectors():
    x = images()
    layer = Whitening(3)
    layer.fit([x], eps=1e-3)
    flat = patches_in_numpy(x, 2, 1)
    values, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    wanted = (vectors / np.sqrt(values + 1e-3)).T[::-1]
    got = layer.weight[:12].reshape(12, 12).numpy()
    signs = np.sign((got * wanted).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(got, wanted * signs, atol=1e-4)


def test_whitening_filters_are_fixed_and_the_bias_is_trained():
    layer = Whitening(3)
    layer(images()).sum().backward()
    assert [name for name, _ in layer.named_parameters()] == ["bias"]
    assert layer.bias.grad is not None
    assert "weight" in layer.state_dict()


def test_whitening_drops_the_directions_of_least_variance_down_to_a_multiple_of_eight():
    x = images(channels=1)
    layer = Whitening(1, 3)  # 9 directions, 8 kept
    layer.fit([x], eps=0.0)
    flat = patches_in_numpy(x, 3, 1)
    values = np.linalg.eigvalsh(flat.T @ flat / len(flat))
    norms = layer.weight[:8].reshape(8, 9).norm(dim=1).double().numpy()
    assert layer.out_channels == 16
    np.testing.assert_allclose(np.sort(norms), np.sort(values[1:] ** -0.5), rtol=1e-4)


def test_whitening_survives_constant_images():
    layer = Whitening(1)
    layer.fit([torch.zeros(4, 1, 8, 8)])
    assert torch.isfinite(layer.weight).all()


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_is_torchs_with_scale_one(training):
    ours, theirs = BatchNorm(3, momentum=0.4), nn.BatchNorm2d(3, momentum=0.4)
    with torch.no_grad():
        theirs.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
        ours.bias.copy_(theirs.bias)
    for norm in (ours, theirs):
        norm.train()
        norm(images() * 3 + 1)
        norm.train(training)
    x, y = images().requires_grad_(), images().requires_grad_()
    a, b = ours(x), theirs(y)
    (a**3).sum().backward()
    (b**3).sum().backward()
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 6), (4, 4), (6, 4)])
def test_conv_starts_by_passing_its_input_through(inputs, outputs):
    x = images(channels=inputs)
    shared = min(inputs, outputs)
    torch.testing.assert_close(Conv(inputs, outputs)(x)[:, :shared], x[:, :shared])
