"""What a training is given beside data and recipe."""

from __future__ import annotations

from pydantic import Field, model_validator

from photopic.config.base import Frozen, NonNegative, Positive


class TrainOptions(Frozen):
    """What a training is given beside data and recipe; stored in the run."""

    seed: int = Field(default=0, ge=0)
    """Of weights, order and augmentation; the way frozen ends the same with every seed."""
    weights_seed: int | None = Field(default=None, ge=0)
    """Of the initial weights alone, so that several networks can see the same batches; way scratch only.
    None: seed."""
    split_seed: int = Field(default=0, ge=0)
    """Of the split; the same for all runs on a data set, so that they share one test set."""
    val_fraction: float = Field(default=0.15, gt=0, lt=1)
    """Share of images for validation, where the data set has no validation split of its own."""
    test_fraction: float = Field(default=0.15, ge=0, lt=1)
    """Share of images for the test, where the data set has no test split of its own."""
    classes: tuple[str, ...] | None = None
    """Classes to learn, in the order of the outputs; images of others are as if absent. None: all."""
    train_images: int | None = Field(default=None, ge=1)
    """Training images to use, of each class its share, drawn by the split seed; validation and test stay
    whole. None: all."""
    time_limit_s: Positive | None = None
    """Time for the training, from its first image to its last epoch, seconds: fewer epochs are planned, and
    where even these take a tenth longer, it ends then. None: as long as the recipe takes."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    precision: str = "auto"
    """Of convolutions and matrix products: float32, bfloat16, or auto, which is bfloat16 on a GPU that
    computes in it and float32 elsewhere."""
    data_dir: str | None = None
    """Folder with the data sets of the catalog."""
    group_pattern: str | None = None
    """Regular expression on the path whose first group names the image's group."""
    strict: bool = False
    """An image that cannot be used is an error instead of an exclusion."""
    allow_download: bool = False
    """Whether data and weights may be fetched."""
    tensorboard: bool = False
    """Write scalars and the network's graph for TensorBoard into the run, at tensorboard/; needs the extra
    photopic[tensorboard]."""
    checkpoint_every_s: NonNegative = 10.0
    """Least time between two checkpoints, seconds."""

    @model_validator(mode="after")
    def _check(self) -> TrainOptions:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction + test_fraction must stay below 1, to leave images for training")
        return self
