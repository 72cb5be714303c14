"""Opens a trained run for evaluation, prediction, explanation and export."""

import dataclasses
import functools
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
from jaxtyping import Float

from lift_flax.config import Config
from lift_flax.models.build import make_student
from lift_flax.models.functional import Network, Tree, create
from lift_flax.models.inputs import student_outputs
from lift_flax.runs import config_file
from lift_flax.runs.calibration import Calibration, calibrations, tempered
from lift_flax.runs.checkpoints import read_best
from lift_flax.runs.workdir import facts, phase_folder


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """The student of a run.  A distilled one holds its teacher, and gives that one's logits beside its own.

    Attributes:
      workdir: of the run.
      config: of the run.
      classes: names, by label.
      prepared: how the videos that it learnt from became clips (`data.records.Records.prepared`).
      network: the student without its arrays.
      train_digest: of the clips that it learnt from (`workdir.digest`).
      params, batch_stats: its arrays, of the checkpoint at `step`: the best on validation, else the last.
      clip_seconds: how long a video is that it learnt from, the median; None in runs of earlier versions.
      calibration: of the student; None in runs without validation clips, and of earlier versions.
      teacher_calibration: of its teacher.
    """

    workdir: Path
    config: Config
    classes: tuple[str, ...]
    prepared: dict[str, Any]
    train_digest: str
    network: Network
    params: Tree
    batch_stats: Tree
    step: int
    clip_seconds: float | None = None
    calibration: Calibration | None = None
    teacher_calibration: Calibration | None = None

    def label_of(self, name: str) -> int | None:
        """The label of the class `name`, whether its letters are composed or not; None if the run does not know it."""
        return {normalize("NFC", known): label for label, known in enumerate(self.classes)}.get(normalize("NFC", name))

    @property
    def calibrated(self) -> dict[str, Calibration]:
        """{network: its calibration}, of student and teacher, where they have one."""
        both = {"student": self.calibration, "teacher": self.teacher_calibration}
        return {network: one for network, one in both.items() if one}

    def stated(self, shares: Float[np.ndarray, "*B K"], network: str = "student") -> Float[np.ndarray, "*B K"]:
        """The probabilities that answers state, of those that a network gives: of its temperature, where it has one."""
        return tempered(shares, self.calibrated[network].temperature) if network in self.calibrated else shares

    def outputs(self, params: Tree, batch_stats: Tree, streams: Tree, *, train: bool = False):
        """(outputs, statistics) as of `lift_flax.models.inputs.student_outputs`, to be jitted."""
        return student_outputs(self.network, self.config, params, batch_stats, streams, train=train)


def open_trained(workdir: Path) -> TrainedRun:
    """Opens a run's workdir; only reads.

    Raises:
      UserError: it is not a run's, or holds no checkpoint of the student that can be read.
    """
    config = config_file.load(workdir / "config.json")
    folder, stated = phase_folder(workdir, "student"), facts(workdir)
    params, batch_stats, step = read_best(folder)
    classes, calibrated = tuple(stated["classes"]), calibrations(stated, workdir)
    network, _ = create(functools.partial(make_student, config, len(classes)), config.seed)
    return TrainedRun(
        workdir,
        config,
        classes,
        stated["prepared"],
        stated["train_digest"],
        network,
        params,
        batch_stats,
        step,
        stated.get("clip_seconds"),
        calibrated.get("student"),
        calibrated.get("teacher"),
    )
