"""The fields of a run's results.json: what its networks scored on the test split, and how training ended."""

from pathlib import Path

from lift_flax.config import Config
from lift_flax.data.records import Records
from lift_flax.data.windows import usual_views
from lift_flax.evaluate.scoring import NETWORKS, SplitLogits, compare, groups_of, judge_networks, judge_parts
from lift_flax.runs.metrics_log import read_metrics


def of_test(config: Config, records: Records, ids: list[str], scored: SplitLogits, seconds: float) -> dict:
    """Returns the fields of the test split: the scores of teacher and student on the same clips.

    Args:
      ids: clips of the split, in the order of `scored`.
      scored: their logits.
      seconds: that the run took since its last start.
    Returns:
      "teacher" and "student" hold the fields of `metrics.judge`, or None for a network that the run lacks;
      "agreement" and "over_teacher" are of `scoring.compare`; "parts" are these fields for each folder of several.
    """
    groups = groups_of(records, ids)
    return {
        "dataset": config.dataset,
        "fold": config.data.fold,
        "split": "test",
        "views": usual_views(config),
        "num_examples": len(ids),
        "classes": list(records.classes),
        **judge_networks(scored, groups, records.classes),
        **compare(scored, groups),
        "parts": judge_parts(scored, records, ids, records.classes),
        "seconds": round(seconds, 1),
    }


def of_validation(records: Records, ids: list[str], scored: SplitLogits, trained: dict[str, dict | None]) -> dict:
    """Returns the scores of the validation clips `ids`, and the epochs and steps of each phase (`train_phase`)."""
    return {
        "num_examples": len(ids),
        "loss": float(scored["loss"]),
        **judge_networks(scored, groups_of(records, ids), records.classes),
        "training": trained,
    }


def of_light(curve: dict) -> dict:
    """Returns the fields "lights" and "area" of results.json, of the curve over brightness (`illumination.measure`).

    "lights" are the test clips as they were recorded: {folder: {"num_examples", "luma", "teacher", "student"}}, each
    network with "top1" and "interval"; "area" is {"teacher", "student"}.
    """
    recorded = {"num_examples": curve["num_examples"], **curve["recorded"]}
    lights = {light["name"]: light for light in (recorded, *curve["twins"])}
    kept = ("num_examples", "luma", *NETWORKS)
    return {
        "lights": {name: {key: light[key] for key in kept} for name, light in lights.items()},
        "area": curve["area"],
    }


def of_training(workdir: Path, trained: dict[str, dict | None], chance: float) -> dict[str, dict | None]:
    """Returns the field "training": for each phase the facts of `train_phase`, and four fields more.

    "loss" and "top1" are those of the last epoch, "fitted" says whether that is enough (`is_fitted`); these are
    None where metrics.jsonl lacks that epoch, as an earlier version trained the phase.  "chance" is what naming the
    most frequent class would score.

    Args:
      trained: {phase: facts}; None for a phase that this run did not train.
      chance: for the training clips (`metrics.chance`).
    """
    lines = {line["phase"]: line for line in read_metrics(workdir) if line["split"] == "epoch"}  # the last one of each
    for phase, facts in trained.items():
        if facts is not None:
            last = lines.get(phase, {})
            whole = last.get("step") == facts["steps"]
            facts["loss"], facts["top1"] = (last[name] if whole else None for name in ("loss", "top1"))
            facts["chance"] = chance
            facts["fitted"] = is_fitted(last["top1"], chance) if whole else None
    return trained


def is_fitted(top1: float, chance: float) -> bool:
    """Whether a training accuracy is at least halfway from `chance` to 1: below, training was too short or too slow."""
    return top1 >= (1 + chance) / 2
