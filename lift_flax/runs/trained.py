"""Opens a trained run, from its workdir or a package, for evaluation, prediction, explanation and export."""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any
from unicodedata import normalize

import jax
import numpy as np
from jaxtyping import Float

from lift_flax.command_line import say
from lift_flax.config import Config
from lift_flax.errors import UserError, shown
from lift_flax.models.build import make_student
from lift_flax.models.functional import Network, Tree, create
from lift_flax.models.inputs import student_outputs
from lift_flax.runs import config_file, places
from lift_flax.runs.calibration import Calibration, calibrations, tempered
from lift_flax.runs.checkpoints import read_best
from lift_flax.runs.package.contents import AGAIN, CARD, CONFIG
from lift_flax.runs.package.reading import read, trees
from lift_flax.runs.workdir import facts, phase_folder, read_results

_NAMED = 12  # classes that a line names at most


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """The student of a run.  A distilled one holds its teacher, and gives that one's logits beside its own.

    Attributes:
      workdir: of the run, or its package.
      config: of the run.
      classes: names, by label.
      prepared: how the videos that it learnt from became clips (`data.records.Records.prepared`).
      network: the student without its arrays.
      train_digest: of the clips that it learnt from (`workdir.digest`).
      params, batch_stats: its arrays, of the checkpoint at `step`: the best on validation, else the last.
      clip_seconds: how long a video is that it learnt from, the median; None in runs of earlier versions.
      facts: all that run.json holds.
      packed: whether it was opened from a package, into which nothing is written.
      results: of a package: what training measured on the test split; None where it was not tested.
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
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    packed: bool = False
    results: dict[str, Any] | None = None
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


def open_trained(workdir: str | Path | None) -> TrainedRun:
    """Opens a trained run; only reads.

    Args:
      workdir: of the run; or a package of it, hf://owner/name, shipped (`runs.places`).  None is shipped, too.

    Raises:
      UserError: it is not a run's, or holds no checkpoint of the student that can be read.
    """
    place = places.find(workdir)
    if place.packed:
        return _open_package(place.path)
    config = config_file.load(place.path / "config.json")
    folder, stated = phase_folder(place.path, "student"), facts(place.path)
    params, batch_stats, step = read_best(folder)
    network, _ = create(functools.partial(make_student, config, len(stated["classes"])), config.seed)
    return _trained(place, config, stated, network, params, batch_stats, step)


def open_or_shipped(workdir: str | Path | None) -> TrainedRun:
    """`open_trained`; where no run is named, a line on stderr says which network answers instead."""
    trained = open_trained(workdir)
    if workdir is None:
        more = f" and {len(trained.classes) - _NAMED} more" if len(trained.classes) > _NAMED else ""
        say(
            f"no run is named: the network that comes with lift_flax answers, with {len(trained.classes)} classes: "
            f"{shown(', '.join(trained.classes[:_NAMED]))}{more}; {_good_for(trained)}what it can do: "
            f"{trained.workdir / CARD}"
        )
    return trained


def _good_for(trained: TrainedRun) -> str:
    """What was measured of it, in a few words (benchmarks/shipped/), and a semicolon; empty where nothing was."""
    measured = trained.facts.get("measured")
    words = measured.get("in_words") if isinstance(measured, dict) else None
    return f"{shown(words)}; " if isinstance(words, str) else ""


def results_of(trained: TrainedRun) -> dict[str, Any] | None:
    """What training measured on the test split; None where it was not tested.  Raises UserError for damaged files."""
    if trained.packed:
        return trained.results
    return read_results(trained.workdir) if (trained.workdir / "results.json").exists() else None


def _open_package(path: Path) -> TrainedRun:
    package = read(path)
    classes, config = package.facts["classes"], package.config
    try:
        network, draw = create(functools.partial(make_student, config, len(classes)), config.seed)
        params, batch_stats = jax.eval_shape(draw)
    except Exception as error:  # whatever a damaged config makes the networks raise
        reason = shown((str(error) or type(error).__name__).splitlines()[0])
        raise UserError(f"{path / CONFIG} describes no network that can be made ({reason}): {AGAIN}") from error
    arrays = trees(package.arrays, {"params": params, "batch_stats": batch_stats}, path)
    step = package.facts["package"]["step"]
    trained = _trained(places.RunPlace(path, packed=True), config, package.facts, network, *arrays, step)
    return dataclasses.replace(trained, results=package.results)


def _trained(
    place: places.RunPlace, config: Config, stated: dict[str, Any], network: Network, *arrays_and_step: Any
) -> TrainedRun:
    calibrated = calibrations(stated, place.path)
    seconds = stated.get("clip_seconds")
    if seconds is not None and not (type(seconds) in (int, float) and 0 < seconds < math.inf):
        raise UserError(f"{place.path / 'run.json'} is damaged (clip_seconds is {shown(str(seconds))}): copy it again")
    return TrainedRun(
        place.path,
        config,
        tuple(stated["classes"]),
        stated["prepared"],
        stated["train_digest"],
        network,
        *arrays_and_step,
        clip_seconds=seconds,
        facts=stated,
        packed=place.packed,
        calibration=calibrated.get("student"),
        teacher_calibration=calibrated.get("teacher"),
    )
