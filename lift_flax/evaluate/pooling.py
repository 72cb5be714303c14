"""Several runs as one result: the pooled answers of the folds of a cross-validation, and means over runs."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np

from lift_flax.evaluate.scoring import NETWORKS, SplitLogits, compare, judge_networks

_SAME = ("records", "split", "views", "average", "frames", "size", "classes")  # what runs must share to be pooled
_MAY_DIFFER = (  # of one --folds
    "data.fold", "train.teacher_from", "train.teacher_epochs", "train.student_epochs", "train.checkpoint_epochs",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a run answered.

    Attributes:
      ids: of the clips.
      groups: scene or actor of each; "" where the records name none.
      scored: their logits and labels.
      deciding: the fields of the run's config that decide what it computes.
      folds: all that the records have.
    """

    ids: list[str]
    groups: list[str]
    scored: SplitLogits
    deciding: dict[str, Any]
    folds: list[int]


def runs_of(workdir: Path) -> list[Path]:
    """The runs that a folder holds: itself, or those of `train --folds`, in the order of their folds."""
    if (workdir / "config.json").exists() or not workdir.is_dir():
        return [workdir]
    numbers = [re.fullmatch(r"fold(\d+)", path.name) for path in workdir.iterdir() if (path / "results.json").exists()]
    return [workdir / f"fold{number}" for number in sorted(int(m[1]) for m in numbers if m)] or [workdir]


def judge_together(scored: list[SplitLogits], groups: list[str], classes: tuple[str, ...]) -> dict:
    """Scores the clips of several runs as one list: {"teacher", "student", and what `compare` gives}.

    Args:
      groups: of all clips, those of the first run first.
    """
    shared = set.intersection(*map(set, scored)) & {*NETWORKS.values(), "labels"}
    joined = {name: np.concatenate([arrays[name] for arrays in scored]) for name in shared}
    return {**judge_networks(joined, groups, classes), **compare(joined, groups)}


def pooled(results: list[dict], answers: list[Answers]) -> dict | None:
    """The result of runs of one config on different folds of the same records, each clip as its own fold answered.

    Args:
      results: what `Evaluation.run` gave for each.
      answers: `Evaluation.answers` of each.
    Returns:
      What judges the runs together, as docs/use.md explains; None where they are one run, differ in more than the fold
      and the place of files, or answered the same clips.
    """
    ids = [i for one in answers for i in one.ids]
    if len(results) < 2 or len(set(ids)) < len(ids):
        return None
    first = results[0]
    if any(result[name] != first[name] for result in results for name in _SAME):
        return None
    if any(_settings(one) != _settings(answers[0]) for one in answers):
        return None
    named = [group for one in answers for group in one.groups]
    groups = [group or i for group, i in zip(named, ids, strict=True)]
    return {
        **{name: first[name] for name in ("dataset", *_SAME)},
        "runs": len(results),
        "folds": [result["fold"] for result in results],
        "missing": [fold for fold in answers[0].folds if fold not in {result["fold"] for result in results}],
        "num_examples": len(ids),
        "num_groups": len(set(named) - {""}),
        "left_out": sum(result["left_out"] for result in results),
        "trained_on": sum(result["trained_on"] for result in results),
        **judge_together([one.scored for one in answers], groups, tuple(first["classes"])),
    }


def _settings(answers: Answers) -> dict[str, Any]:
    return {name: value for name, value in answers.deciding.items() if name not in _MAY_DIFFER}


def mean_over_runs(results: list[dict]) -> dict[str, dict | None]:
    """Averages the scores of several runs.

    Returns:
      {network: {"top1": [mean, standard deviation], "mean_class": the same}}; None where a run lacks the network.
    """
    means = {}
    for network in NETWORKS:
        scores = [result[network] for result in results]
        means[network] = None
        if all(scores):
            means[network] = {
                name: [float(np.mean(values)), float(np.std(values, ddof=1))]
                for name in ("top1", "mean_class")
                for values in [[score[name] for score in scores]]
            }
    return means
