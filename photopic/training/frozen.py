"""The way *frozen*: a pretrained backbone's features, computed once, and a logistic head on them."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np

from photopic.config import FineTuneRecipe, FrozenRecipe, PreprocessConfig
from photopic.data.preprocess import Preprocess, with_fixed_scaling
from photopic.errors import ConfigError
from photopic.models.backbones import Backbone, BackboneClassifier
from photopic.models.zoo import check_backbone_input
from photopic.training.features import Extractor, Features, extract_features
from photopic.training.heads import HeadFit, fit_head
from photopic.training.job import Job
from photopic.training.outcome import Fitted, SplitLogits

_MORE_TIME = "Allow more, or take fewer images (--train-images) or views, or a smaller preprocess.size."


def train_frozen(job: Job) -> Fitted:
    """Extract features, fit a head for each candidate C and keep the best by validation log loss."""
    assert isinstance(job.recipe, FrozenRecipe)
    recipe = job.recipe
    check_backbone_input(recipe.preprocess, recipe.backbone.name)
    extractor = Extractor(
        recipe.backbone, job.runtime, allow_download=job.allow_download, size=recipe.preprocess.size
    )
    preprocess = Preprocess(filled_in(recipe, extractor))
    recipe = recipe.model_copy(update={"preprocess": preprocess.config})
    job.resolved(recipe, weights_source(extractor.backbone))
    train = features_of(job, "train", preprocess, extractor, views=recipe.views)
    val = features_of(job, "val", preprocess, extractor)
    head = fit_recipe_head(job, recipe, train, val)
    model = BackboneClassifier(extractor.backbone.module, extractor.backbone.dim, job.num_classes)
    model.head.load_state_dict(head.linear.state_dict())
    model = model.to(job.runtime.device).eval()

    def answer(split: str) -> SplitLogits:
        features = val if split == "val" else features_of(job, split, preprocess, extractor)
        return SplitLogits(features.rows, job.labels(features.rows), head.logits(features.views[0]))

    return Fitted(recipe, model, selected_by(head), answer)


def filled_in(recipe: FrozenRecipe | FineTuneRecipe, extractor: Extractor) -> PreprocessConfig:
    """The recipe's preprocessing, with the backbone's own mean and std where it names none.

    Raises ConfigError for a scaling that would have to be measured: a pretrained network knows its own.
    """
    config, native = with_fixed_scaling(recipe.preprocess), extractor.backbone.preprocess
    if config.mean is None and config.scaling != "standardise":
        raise ConfigError(
            f"preprocess.scaling={config.scaling} is measured on training images, but "
            f"{extractor.config.name} was trained with a scaling of its own. Use standardise (its own mean "
            "and std), none, unit or symmetric."
        )
    return config.model_copy(update={"mean": config.mean or native.mean, "std": config.std or native.std})


def features_of(
    job: Job, split: str, preprocess: Preprocess, extractor: Extractor, *, views: int = 0
) -> Features:
    """The features of a split; images that turn out unreadable are left out and noted."""

    progress = _Progress(job, split, views)
    augment = job.recipe.augment if views and isinstance(job.recipe, FrozenRecipe) else None
    features = extract_features(
        job.dataset, job.rows[split], preprocess, extractor, views=views, augment=augment, progress=progress
    )
    job.note_excluded(features.failed)
    return features


class _Progress:
    """Reports each batch, and once, of the training images, how long all splits will take.

    The second batch tells; the first one, in which the network warms up, only where it is the only one.
    """

    def __init__(self, job: Job, split: str, views: int) -> None:
        self._job, self._split, self._views = job, split, views
        self._last = (time.perf_counter(), 0)
        self._batches = 0
        self._estimated = split != "train"

    def __call__(self, done: int, total: int, what: str) -> None:
        self._job.report({"event": "features", "split": self._split, "done": done, "total": total})
        before, self._last = self._last, (time.perf_counter(), done)
        self._batches += 1
        if not self._estimated and (self._batches == 2 or done == total):
            self._estimated = True
            seconds = (self._last[0] - before[0]) / (done - before[1])
            self._estimate(seconds * (total - done + self._later_images() / (1 + self._views)))
        if done < total and self._job.time_limit.is_over:
            raise ConfigError(
                f"--time-limit is over after the features of {done:,} of {total:,} images of {self._split}, "
                f"which are kept for the next time. {_MORE_TIME}"
            )

    def _later_images(self) -> int:
        return sum(len(rows) for split, rows in self._job.rows.items() if split != "train")

    def _estimate(self, seconds: float) -> None:
        if seconds > self._job.time_limit.left_s:
            raise ConfigError(
                f"the features of all images would take about {seconds:.0f} s more, which is above "
                f"--time-limit. {_MORE_TIME}"
            )
        self._job.report({"event": "estimate", "seconds": seconds, "how": "the first features"})


def fit_recipe_head(job: Job, recipe: FrozenRecipe, train: Features, val: Features) -> HeadFit:
    """A head on all views of the training images, each image weighing 1 in sum, or as its class does."""
    labels = job.labels(train.rows)
    views = len(train.views)
    by_class = job.class_weights(labels)
    weights = np.ones(len(labels)) if by_class is None else by_class[labels]
    return fit_head(
        np.concatenate(train.views),
        np.tile(labels, views),
        val.views[0],
        job.labels(val.rows),
        job.num_classes,
        inverse_l2=recipe.inverse_l2,
        train_weights=np.tile(weights / views, views),
    )


def selected_by(head: HeadFit) -> dict[str, Any]:
    """What validation chose, for the run."""
    return {
        "by": "validation log loss",
        "inverse_l2": head.inverse_l2,
        "trials": [asdict(trial) for trial in head.trials],
    }


def weights_source(backbone: Backbone) -> dict[str, Any]:
    """Where pretrained weights came from, for the run."""
    return {"name": backbone.name, "license": backbone.license, "sha256": backbone.sha256}
