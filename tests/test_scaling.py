"""Input scalings in trainings: which go with given numbers, and which with a pretrained backbone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import photopic
from photopic.config import BackboneConfig, PreprocessConfig
from photopic.errors import ConfigError
from photopic.training.recipes import load_recipe

TARGET = (np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8), np.arange(40) % 2)


def test_a_measured_scaling_beside_numbers_or_a_pretrained_backbone_is_refused(tmp_path: Path) -> None:
    settings = {"preprocess.scaling": "min-max", "preprocess.mean": [0.5] * 3, "preprocess.std": [0.5] * 3}
    with pytest.raises(ConfigError, match="no effect with scaling=min-max"):
        photopic.train(TARGET, recipe="small-images", settings=settings, out=tmp_path / "b")
    settings |= {"preprocess.mean": None, "preprocess.std": None}
    with pytest.raises(ConfigError, match="trained with a scaling of its own"):
        photopic.train(TARGET, recipe="photos-frozen", settings=settings, out=tmp_path / "b")


def test_fixed_scalings_suit_a_pretrained_backbone() -> None:
    from photopic.runtime import choose_runtime
    from photopic.training.features import Extractor
    from photopic.training.frozen import filled_in

    extractor = Extractor(BackboneConfig(), choose_runtime("cpu"))
    for scaling, mean in (("standardise", 0.5), ("unit", 0.0), ("symmetric", 0.5)):
        changes = {"preprocess.mean": None, "preprocess.std": None, "preprocess.scaling": scaling}
        config = filled_in(load_recipe("photos-frozen", changes), extractor)  # type: ignore[arg-type]
        assert config.mean == (mean,) * 3
        assert isinstance(config, PreprocessConfig)
