"""The course as a lab: 40 experiments of five lecture decks, run as described, reported beside measured.

from photopic.lab import course

course.run(["C33"])            # what `photopic course run C33` does
course.experiments()           # what `photopic course` lists
"""

from photopic.lab.course.catalog import experiments
from photopic.lab.course.experiment import Experiment, Outcome, Row
from photopic.lab.course.runner import run
from photopic.lab.course.store import Result, load_results

__all__ = ["Experiment", "Outcome", "Result", "Row", "experiments", "load_results", "run"]
