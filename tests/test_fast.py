"""The fast network as a member of the family of models: shapes, gradients, saving, refusals."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from photopic.config import FastModel
from photopic.errors import ConfigError
from photopic.models.fast import FastNet, initialise

SMALL = FastModel(widths=(8, 12))


def network(config: FastModel = SMALL, channels: int = 3, classes: int = 5, size: int = 12) -> FastNet:
    torch.manual_seed(0)
    return FastNet(config, channels, classes, size)


def batch(channels: int = 3, size: int = 12, n: int = 6) -> torch.Tensor:
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("whitening", [True, False])
@pytest.mark.parametrize("size", [9, 12, 28])
def test_logits_have_one_row_per_image_and_all_parameters_get_gradients(channels, depth, whitening, size):
    config = FastModel(widths=(8, 12), depth=depth, residual=depth > 2, whitening=whitening, dropout=0.1)
    model = network(config, channels, size=size)
    initialise(model, [batch(channels, size)])
    logits = model(batch(channels, size))
    assert logits.shape == (6, 5)
    assert torch.isfinite(logits).all()
    torch.nn.functional.cross_entropy(logits, torch.arange(6) % 5).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_a_strided_stem_without_bias_and_unequal_depths_train_all_parameters(activation):
    config = FastModel(
        widths=(8, 12),
        depth=(1, 3),
        residual=True,
        activation=activation,
        whitening_size=3,
        whitening_stride=2,
        whitening_bias=False,
    )
    model = network(config, 1, size=28)
    initialise(model, [batch(1, 28)])
    assert [len(block.convs) for block in model.blocks] == [1, 3]
    torch.nn.functional.cross_entropy(model(batch(1, 28)), torch.arange(6) % 5).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert not any("whitening" in name for name, _ in model.named_parameters())


def test_the_whitening_of_parts_is_that_of_the_whole():
    images = batch(n=40)
    whole, parts = network(), network()
    initialise(whole, [images])
    initialise(parts, images.split(7))
    torch.testing.assert_close(parts.whitening.weight, whole.whitening.weight)


def test_a_network_that_takes_nothing_from_images_asks_for_none():
    def images():
        raise AssertionError("images were converted for nothing")
        yield

    initialise(network(FastModel(widths=(8, 12), whitening=False)), images())


def test_residual_adds_the_first_activation_before_the_last():
    torch.manual_seed(0)
    block = FastNet(FastModel(widths=(6,), depth=3, residual=True), 3, 2, 8).blocks[0].eval()
    x = torch.randn(2, 24, 7, 7)
    with torch.no_grad():
        first = F.gelu(block.norms[0](F.max_pool2d(block.convs[0](x), 2)))
        second = F.gelu(block.norms[1](block.convs[1](first)))
        wanted = F.gelu(block.norms[2](block.convs[2](second)) + first)
        torch.testing.assert_close(block(x), wanted)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": (1, 2, 3)}, "depth has 3 numbers"),
        ({"residual": True}, "residual has no effect"),
        ({"whitening": False, "whitening_size": 3}, "have no effect with whitening=false"),
        ({"widths": ()}, "widths needs"),
    ],
)
def test_options_without_effect_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        FastModel(**{"widths": (8, 12), **values})


def test_batch_equals_one_by_one_in_evaluation():
    model = network()
    model(batch(n=32))
    model.eval()
    with torch.no_grad():
        together = model(batch())
        alone = torch.cat([model(image[None]) for image in batch()])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_channels_last_gives_the_same_logits():
    model = network().eval()
    with torch.no_grad():
        wanted = model(batch())
        got = model.to(memory_format=torch.channels_last)(batch().to(memory_format=torch.channels_last))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_saved_and_loaded_network_gives_equal_logits():
    model = network()
    initialise(model, [batch()])
    model(batch())
    twin = FastNet(SMALL, 3, 5, 12)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(model.eval()(batch()), twin.eval()(batch()))


def test_same_seed_gives_same_weights():
    a, b = network().state_dict(), network().state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_initialise_depends_on_the_images_only():
    a, b = network(), network()
    initialise(a, [batch()])
    initialise(b, [batch()])
    assert a.whitening is not None
    assert b.whitening is not None
    assert torch.equal(a.whitening.weight, b.whitening.weight)
    assert not torch.equal(a.whitening.weight, network().whitening.weight)


def test_initialise_leaves_other_models_alone():
    other = torch.nn.Linear(3, 3)
    before = other.weight.clone()
    initialise(other, [batch()])
    assert torch.equal(other.weight, before)


def test_too_small_images_are_refused_with_the_cure():
    with pytest.raises(ConfigError, match=r"halve 7 pixels too often .preprocess.size=8"):
        FastNet(FastModel(widths=(4, 4, 4)), 3, 2, 8)


def test_it_learns_two_patterns():
    model = network(classes=2)
    initialise(model, [batch()])
    images = torch.randn(64, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(64) % 2
    images[labels == 1, :, :, :6] += 1.0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    assert (model(images).argmax(1) == labels).float().mean() > 0.95
