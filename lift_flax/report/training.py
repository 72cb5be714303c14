"""How training went, as the page shows it: facts of each phase, and its curves over epochs."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from lift_flax.config import Config
from lift_flax.report import figures
from lift_flax.runs.checkpoints import best_step

Points = list[tuple[float, float]]  # (epoch, value)


def phases(config: Config, results: dict, lines: list[dict], workdir: Path) -> dict[str, dict[str, Any]]:
    """{phase: facts} of the networks that the run tested, the teacher first.

    A fact is None where it is unknown: of a teacher that the run was given, or because an earlier version trained it.

    Args:
      results: of results.json.
      lines: of metrics.jsonl.
    Returns:
      Of each phase "epochs", "steps", "parameters", "trained_parameters", "top1", "chance", "fitted" (those of
      results.json's "training"), "checkpoint" as text, and "panels" {"title", "svg"}.
    """
    facts = {}
    for name in ("teacher", "student"):
        if results[name]:
            given = name == "teacher" and bool(config.train.teacher_from)
            facts[name] = _facts(name, config, results, lines, given=given)
            facts[name]["checkpoint"] = "given" if given else _checkpoint(workdir / name)
            facts[name]["panels"] = [
                {"title": title, "svg": figures.curve(name, title, series)}
                for title, series in curves(lines, name).items()
            ]
    return facts


def _facts(name: str, config: Config, results: dict, lines: list[dict], *, given: bool) -> dict[str, Any]:
    stored = (results.get("training") or {}).get(name) or {}
    names = ("epochs", "steps", "parameters", "trained_parameters", "top1", "chance", "fitted")
    facts = {fact: stored.get(fact) for fact in names}
    if not stored and not given:  # an earlier version trained it
        facts["epochs"] = {"teacher": config.train.teacher_epochs, "student": config.train.student_epochs}[name]
        facts["steps"] = max((line["step"] for line in lines if line["phase"] == name), default=None)
    return facts


def _checkpoint(folder: Path) -> str:
    step = best_step(folder)
    return "gone" if step is None else f"step {step:,}"


def curves(lines: list[dict], phase: str) -> dict[str, dict[str, Points]]:
    """{title: {"train": points, "validation": points}} of one phase, over epochs; what was never logged has no curve.

    Values of training are means over an epoch: those of its own line, or of an older metrics.jsonl, or of a term that
    it does not average, the mean of the steps that were logged in it.
    """
    quantities = {
        "Cross-entropy": ("cross_entropy", "loss"),
        "Distance to the teacher": ("distillation",),
        "Top-1 accuracy": ("top1",),
        "Learning rate": ("learning_rate",),
    }
    of_phase = [line for line in lines if line["phase"] == phase]
    by_title = {}
    for title, names in quantities.items():
        # The student's "loss" has both terms, so its cross-entropy is read by name where it is logged.
        name = next((name for name in names if any(line.get(name) is not None for line in of_phase)), names[-1])
        series = {
            "train": _points(of_phase, "epoch", name) or epoch_means(_points(of_phase, "train", name)),
            "validation": _points(of_phase, "validation", name) or _points(of_phase, "validation", names[-1]),
        }
        if any(series.values()):
            by_title[title] = series
    return by_title


def epoch_means(points: Points) -> Points:
    """(number of the epoch, mean value of its points)."""
    values: dict[int, list[float]] = {}
    for epoch, value in points:
        values.setdefault(math.ceil(epoch), []).append(value)
    return [(float(epoch), float(np.mean(of_epoch))) for epoch, of_epoch in values.items()]


def _points(lines: list[dict], split: str, name: str) -> Points:
    """Values that were not finite are missing."""
    return [(line["epoch"], line[name]) for line in lines if line["split"] == split and line.get(name) is not None]
