"""All experiments of the course. What they are stands in experiments.yaml; here, which function runs which.

A literal table: listing imports none of the functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources

import yaml

from photopic.errors import ConfigError, did_you_mean
from photopic.lab.course.experiment import Experiment, parse_experiments

_HERE = "photopic.lab.course"
TARGETS = {
    "C00": f"{_HERE}.pictures:c00",
    "C01": f"{_HERE}.softmax:c01",
    "C02": f"{_HERE}.softmax:c02",
    "C03": f"{_HERE}.mlp:c03",
    "C04": f"{_HERE}.mlp:c04",
    "C05": f"{_HERE}.mlp:c05",
    "C06": f"{_HERE}.mlp:c06",
    "C07": f"{_HERE}.mlp:c07",
    "C08": f"{_HERE}.mlp:c08",
    "C09": f"{_HERE}.cnn:c09",
    "C10": f"{_HERE}.cnn:c10",
    "C11": f"{_HERE}.ninety_nine:c11",
    "C12": f"{_HERE}.cnn:c12",
    "C13": f"{_HERE}.signs:c13",
    "C14": f"{_HERE}.cats_dogs:c14",
    "C15": f"{_HERE}.cats_dogs_transfer:c15",
    "C16": f"{_HERE}.cifar10:c16",
    "C17": f"{_HERE}.cifar10:c17",
    "C18": f"{_HERE}.cifar10:c18",
    "C19": f"{_HERE}.cifar10:c19",
    "C20": f"{_HERE}.cifar10:c20",
    "C21": f"{_HERE}.cifar10:c21",
    "C22": f"{_HERE}.cifar10:c22",
    "C23": f"{_HERE}.cifar_ensemble:c23",
    "C24": f"{_HERE}.architectures:c24",
    "C25": f"{_HERE}.pretrained:c25",
    "C26": f"{_HERE}.transfer:c26",
    "C27": f"{_HERE}.cats_dogs_transfer:c27",
    "C28": f"{_HERE}.architectures:c28",
    "C29": f"{_HERE}.first_steps:c29",
    "C30": f"{_HERE}.first_steps:c30",
    "C31": f"{_HERE}.convolution:c31",
    "C32": f"{_HERE}.convolution:c32",
    "C33": f"{_HERE}.evaluation:c33",
    "C34": f"{_HERE}.dropout_rates:c34",
    "C35": f"{_HERE}.signals:c35",
    "C36": f"{_HERE}.descent:c36",
    "C37": f"{_HERE}.first_steps:c37",
    "C38": f"{_HERE}.pictures:c38",
    "C39": f"{_HERE}.optimisers:c39",
    "C40": f"{_HERE}.norm_and_penalties:c40",
    "C41": f"{_HERE}.beat:c41",
}
"""Id → function, of every experiment that can be run."""


@cache
def experiments() -> tuple[Experiment, ...]:
    """Every experiment that can be run, in the order of their ids."""
    text = (resources.files(_HERE) / "experiments.yaml").read_text("utf-8")
    return tuple(parse_experiments(yaml.safe_load(text), TARGETS))


def choose(ids: Sequence[str]) -> tuple[Experiment, ...]:
    """The experiments of these ids, in the order given, each once; "all" stands for all of them.

    Upper and lower case are the same. Raises ConfigError for an unknown id, with the nearest known one.
    """
    known = {experiment.id: experiment for experiment in experiments()}
    chosen: dict[str, Experiment] = {}
    for text in ids:
        if text.lower() == "all":
            chosen |= known
        elif text.upper() in known:
            chosen[text.upper()] = known[text.upper()]
        else:
            hint = did_you_mean(text.upper(), known) or " `photopic course` lists them."
            raise ConfigError(f'experiment "{text}" is not known.{hint}')
    if not chosen:
        raise ConfigError('no experiment was named. Name one, as C31, or "all".')
    return tuple(chosen.values())
