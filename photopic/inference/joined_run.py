"""From finished runs, or the snapshots of one, to an ensemble: a folder of its own that is used like a run.

The members' stored answers are joined, so nothing is computed twice; snapshots, which have none, are asked
once. The ensemble's folder holds a copy of each member's recipe and weights: it stands alone, and takes the
sum of their space on the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from photopic.evaluation.evaluate import codes_of_group_names, score
from photopic.evaluation.joining import How, accuracy_by_size, as_logits, best_weights, join, member_probs
from photopic.files import lock
from photopic.inference.members import SCORED_SPLITS, Candidate, Key, aligned, check_fit, share
from photopic.manifest import Joined, Manifest, Member, WeightsBy
from photopic.run import LOCK, WEIGHTS, Run, SplitRow, now


def build_ensemble(
    candidates: Sequence[Candidate], out: Path, *, how: How = "mean", weights_by: WeightsBy = "equal"
) -> Run:
    """Join the candidates into an ensemble at `out`, score it once on the test images, and store all of it.

    weights_by: equal; or validation: those that make the log loss of the mean smallest on the validation
    images (`joining.best_weights`), which the members must share. Raises RunError where the members do not
    fit together, ConfigError for fewer than two and for weights that a vote would not use.
    """
    check_fit(candidates, how, weights_by)
    logits = {split: aligned(candidates, split) for split in SCORED_SPLITS if share(candidates, split)}
    labels = {split: candidates[0].answers[split].labels for split in logits}
    weights = [1 / len(candidates)] * len(candidates)
    if weights_by == "validation":
        weights = [float(weight) for weight in best_weights(logits["val"], labels["val"])]
    rows = _merged_splits([candidate.run.load_splits() for candidate in candidates])
    with lock(out / LOCK, timeout_s=1.0):
        run = Run.create(out, _manifest(candidates, how, weights_by, weights), rows)
        try:
            _copy_members(run, candidates)
            for split in logits:
                _score(run, split, logits[split], labels[split], candidates[0].answers[split].keys, rows)
            run.update(status="complete", finished=now())
        except BaseException:
            run.remove()
            raise
    return run


def _manifest(
    candidates: Sequence[Candidate], how: How, weights_by: WeightsBy, weights: Sequence[float]
) -> Manifest:
    first = candidates[0].run.manifest
    members = tuple(
        Member(
            name=candidate.name,
            path=str(candidate.run.path.absolute()),
            sha256=candidate.sha256,
            weight=min(1.0, weight),
            folder=f"members/{number}",
        )
        for number, (candidate, weight) in enumerate(zip(candidates, weights, strict=True), start=1)
    )
    looks = {
        candidate.run.path: [
            look | {"what": f"{candidate.run.path.name}: {look['what']}"}
            for look in candidate.run.manifest.test_looks
        ]
        for candidate in candidates
    }
    return Manifest(
        kind="ensemble",
        joined=Joined(how=how, weights_by=weights_by, members=members),
        created=now(),
        recipe=first.recipe.model_copy(update={"name": f"ensemble-of-{len(members)}"}),
        recipe_reason="the first member's",
        options=first.options,
        class_names=first.class_names,
        data=first.data,
        split_hashes=first.split_hashes,
        test_looks=tuple(look for of_run in looks.values() for look in of_run),
        machine=first.machine,
        versions=first.versions,
    )


def _copy_members(run: Run, candidates: Sequence[Candidate]) -> None:
    """A run folder for each member with its recipe and weights; the ensemble knows the SHA-256 of both."""
    for number, candidate in enumerate(candidates, start=1):
        folder = f"members/{number}"
        changes = {"files": {}, "results": _results(candidate)}
        copy = Run.create(run.path / folder, candidate.run.manifest.model_copy(update=changes))
        copy.save_weights(candidate.run.load_weights(candidate.weights))
        run.register(f"{folder}/{WEIGHTS}")


def _results(candidate: Candidate) -> dict[str, Any]:
    """The scores of the candidate's weights by split: stored, or of a snapshot's answers."""
    if candidate.weights == WEIGHTS:
        return candidate.run.manifest.results
    group_of = {(row.path, row.sha256): row.group for row in candidate.run.load_splits()}
    results = {}
    for split, answers in candidate.answers.items():
        groups = codes_of_group_names(np.array([group_of[key] for key in answers.keys], object))
        scores = score(answers.logits, answers.labels, candidate.run.class_names, groups=groups)
        results[split] = scores.to_json()
    return results


def _merged_splits(tables: Sequence[Sequence[SplitRow]]) -> list[SplitRow]:
    """One row for each image: train if any member has learned from it, else val if it chose one."""
    order = ("train", "val", "test", "")
    merged: dict[Key, SplitRow] = {}
    for table in tables:
        for row in table:
            known = merged.setdefault((row.path, row.sha256), row)
            if order.index(row.split) < order.index(known.split):
                merged[row.path, row.sha256] = row
    return list(merged.values())


def _score(
    run: Run,
    split: str,
    logits: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    keys: Sequence[Key],
    rows: Sequence[SplitRow],
) -> None:
    joined = run.manifest.joined
    assert joined is not None
    if split == "test":
        run.note_test_look(f"the ensemble of {len(joined.members)}")
    place = {(row.path, row.sha256): number for number, row in enumerate(rows)}
    index = np.array([place[key] for key in keys], np.int64)
    probs = join(member_probs(logits), joined.how, [member.weight for member in joined.members])
    groups = codes_of_group_names(np.array([rows[number].group for number in index.tolist()], object))
    run.save_predictions(split, index, labels, as_logits(probs))
    scores = score(as_logits(probs), labels, run.class_names, groups=groups)
    run.update(results=run.manifest.results | {split: scores.to_json()})
    if split == "test":
        sizes = tuple(each.to_json() for each in accuracy_by_size(logits, labels, groups=groups))
        run.update(joined=joined.model_copy(update={"sizes": sizes}).model_dump())
