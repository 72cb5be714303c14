"""The rows of the paper's Table VI and five more: what each changes in the reference, the paper's "Large"."""

import dataclasses

from lift_flax.config import Config
from lift_flax.presets import ONE_STREAM

Fields = dict[str, str | int | float | bool]  # of the config, by dotted name

_R3D = {
    "r2plus1d_34": "r3d_34",
    "r2plus1d_34_shared": "r3d_34",
    "r2plus1d_18": "r3d_18",
    "r2plus1d_tiny": "r3d_tiny",
}


@dataclasses.dataclass(frozen=True)
class AblationRow:
    """One line of the table.

    Attributes:
      name: of its folder, and for --rows.
      title: the paper's, or in its style.
      paper: its top-1 on ARID in percent; None if the paper has no such row.
      changes: fields that differ from the reference.
      own_teacher: whether it does not take the reference's teacher: it trains one itself, or has none.
      needs: what it requires: "" | "flow" | "vit" | "r3d".
    """

    name: str
    title: str
    paper: float | None
    changes: Fields
    own_teacher: bool = False
    needs: str = ""


def rows(config: Config, r3d_weights: str = "") -> list[AblationRow]:
    """All rows, the reference first.

    Args:
      r3d_weights: folder of pretrained weights for the row whose trunk is an R3D; "" for none.

    Without a teacher phase the R(2+1)D has no epochs of its own, so the row without distillation trains for as many
    as both phases of the others together.
    """
    epochs = config.train.teacher_epochs + config.train.student_epochs
    steps = config.train.teacher_least_steps + config.train.student_least_steps
    no_teacher = {"train.distill": False, "train.student_epochs": epochs, "train.student_least_steps": steps}
    r3d: Fields = {"model.teacher.name": _R3D.get(config.model.teacher.name, "")}
    if r3d_weights:
        r3d["model.teacher.init_from"] = r3d_weights
    return [
        AblationRow("large", "LIFT-Net - 8 (Large)", 95.21, {}, own_teacher=True),
        AblationRow("r3d", "with R3D model", 92.11, r3d, True, "r3d"),
        AblationRow("flow", "with Optical Flow", 87.22, {"model.luminous.input": "flow"}, True, "flow"),
        AblationRow("no_distillation", "without KD approach", 94.15, no_teacher, True),
        AblationRow("frozen_vit", "ViT (5 block freeze)", 94.92, {"model.pvit.unfreeze": "none"}, needs="vit"),
        AblationRow("trained_vit", "ViT (5 block unfreeze)", 93.97, {"model.pvit.unfreeze": "all"}, needs="vit"),
        AblationRow("small", "LIFT-Net - 4 (Small)", 94.32, {"model.levels": 4}),
        AblationRow("medium", "LIFT-Net - 6 (Medium)", 94.93, {"model.levels": 6}),
        AblationRow("vit_1", "ViT, 1 block", None, {"model.pvit.blocks": 1}),
        AblationRow("vit_3", "ViT, 3 blocks", None, {"model.pvit.blocks": 3}),
        AblationRow("no_foe", "without Fourier Enhancement", None, {"model.foe": False}),
        AblationRow("main", "main stream only", None, {"model.streams": "main", **ONE_STREAM}),
        AblationRow("luminous", "luminous stream only", None, {"model.streams": "luminous", **ONE_STREAM}),
    ]


def reference(vit: str) -> Fields:
    """What every row starts from: eight levels and five ViT blocks; the first is trained, or all without weights.

    Args:
      vit: folder of pretrained ViT weights; empty for none.
    """
    chosen = {"model.levels": 8, "model.pvit.blocks": 5, "model.pvit.init_from": vit}
    return {**chosen, "model.pvit.unfreeze": "first" if vit else "all"}


def pretraining(config: Config) -> Fields:
    """The run that pretrains a ViT: the main stream alone, with all its blocks trained, by labels.

    It has one level, a lower rate and more epochs than a teacher: eight levels on a random ViT do not learn.
    """
    changes = {"model.streams": "main", "model.levels": 1, "train.distill": False, **ONE_STREAM}
    rate, epochs = min(config.train.learning_rate, 3e-4), 3 * config.train.teacher_epochs // 2
    steps = 3 * config.train.teacher_least_steps // 2
    lengths = {"train.student_epochs": epochs, "train.student_least_steps": steps}
    return {**reference(""), **changes, "train.learning_rate": rate, **lengths}
