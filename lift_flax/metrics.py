"""Numbers of a run: scores of predictions, and the writer of curves."""

import json
import math
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from tensorboardX import SummaryWriter


def score(logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"], classes: tuple[str, ...]) -> dict:
    """Accuracies as shares between 0 and 1.

    Returns:
      "top1"; "top5", None with fewer than six classes; "per_class" {name: top-1 of its examples, None without any}.
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    hits = order[:, 0] == labels
    top5 = float((order[:, :5] == labels[:, None]).any(axis=1).mean()) if len(classes) >= 6 else None
    per_class = {
        name: float(hits[labels == label].mean()) if (labels == label).any() else None
        for label, name in enumerate(classes)
    }
    return {"top1": float(hits.mean()), "top5": top5, "per_class": per_class}


def confusion(logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"]) -> Int[np.ndarray, "K K"]:
    """Counts by true class (row) and predicted class (column)."""
    counts = np.zeros((logits.shape[1], logits.shape[1]), np.int64)
    np.add.at(counts, (labels, logits.argmax(axis=1)), 1)
    return counts


class MetricsWriter:
    """Appends to metrics.jsonl and to TensorBoard events in one workdir.

    Each line is {"phase", "split", "step", "epoch", then the metrics}.  After a resume a step may occur twice: the last
    line counts.
    """

    def __init__(self, workdir: Path):
        path = workdir / "metrics.jsonl"
        if path.exists():  # a killed run may have left part of a line
            text = path.read_text()
            path.write_text(text[: text.rfind("\n") + 1])
        self._lines = path.open("a")
        self._events = SummaryWriter(str(workdir / "tensorboard"))

    def write(self, phase: str, split: str, step: int, epoch: float, values: dict[str, float]) -> None:
        """Writes one line; numbers that are not finite are written as null."""
        finite = {name: v if math.isfinite(v) else None for name, v in values.items()}
        line = {"phase": phase, "split": split, "step": step, "epoch": round(epoch, 4), **finite}
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._events.add_scalar(f"{phase}/{split}/{name}", value, step)

    def close(self) -> None:
        """Flushes both."""
        self._lines.close()
        self._events.close()


def read_metrics(workdir: Path) -> list[dict]:
    """Lines of metrics.jsonl, the last one for each (phase, split, step), in order of first appearance."""
    lines: dict[tuple, dict] = {}
    for text in (workdir / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        lines[line["phase"], line["split"], line["step"]] = line
    return list(lines.values())
