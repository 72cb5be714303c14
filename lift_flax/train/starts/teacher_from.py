"""The teacher of an earlier run (`train.teacher_from`): several students can learn from the same one."""

import dataclasses
from pathlib import Path

from lift_flax.config import Config
from lift_flax.data.records import Records
from lift_flax.errors import UserError
from lift_flax.fields import flat_fields
from lift_flax.models.build import with_bn_eps
from lift_flax.models.functional import Tree
from lift_flax.runs import config_file, workdir
from lift_flax.runs.checkpoints import read_best

_MUST_AGREE = (
    "model.teacher", "model.luminous", "data.num_frames", "data.size",
    "data.sampling", "data.stride", "data.window_seconds", "data.short",
)  # fmt: skip
_OF_THE_STUDENT = "model.luminous.tokens"
_OF_LIT_FRAMES = ("model.luminous.gamma", "model.luminous.gamma_target")


def check(config: Config, records: Records, train_ids: list[str]) -> None:
    """Checks that `train.teacher_from` holds a trained teacher of this config's kind, trained on the same clips.

    Args:
      records: of this run.
      train_ids: clips that this run trains on.

    Raises:
      UserError: it does not; names what differs.
    """
    folder = Path(config.train.teacher_from)
    other = config_file.load(folder / "config.json")
    ended = workdir.finished(folder) is not None or (folder / "validation.json").is_file()  # that of `train --tune`
    if not ended or not (folder / "teacher").is_dir():
        raise UserError(
            f"config.train.teacher_from={folder} is no finished run with a teacher phase of its own: name one that "
            "holds results.json and teacher/, or leave it out"
        )
    ours, theirs = _deciding(config), _deciding(other)
    names = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    if differ := [f"{name} ({theirs[name]} there, {ours[name]} here)" for name in names]:
        raise UserError(
            f"the teacher in {folder} is of another kind: {', '.join(differ)}; set these as there, or leave "
            "config.train.teacher_from out"
        )
    facts = workdir.facts(folder)
    if not workdir.is_of(facts["train_digest"], records, train_ids):
        raise UserError(
            f"the teacher in {folder} was trained on other clips than this run: give both the same data.dir and "
            "data.fold (and, with data.val_share, the same seed), or leave config.train.teacher_from out"
        )
    if differ := _prepared_otherwise(config, facts["prepared"], records.prepared):
        raise UserError(
            f"the teacher in {folder} was trained on records prepared otherwise than {records.dir}: "
            f"{', '.join(differ)}; give this run records prepared as there, or leave config.train.teacher_from out"
        )


def read(config: Config) -> Tree:
    """Reads the best checkpoint of that teacher as {"params", "batch_stats"}.  Raises UserError where that fails."""
    folder = Path(config.train.teacher_from) / "teacher"
    params, batch_stats, step = read_best(folder)
    print(f"teacher: step {step} of {folder}", flush=True)
    return {"params": params, "batch_stats": batch_stats}


def _deciding(config: Config) -> dict:
    """The fields that decide how the teacher computes, by dotted name."""
    teacher = dataclasses.replace(config.model.teacher, init_from="")
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, teacher=teacher))
    flat = flat_fields(with_bn_eps(config))
    groups = tuple(f"{name}." for name in _MUST_AGREE)
    others = {_OF_THE_STUDENT, *(_OF_LIT_FRAMES if config.model.luminous.input == "flow" else ())}
    return {n: value for n, value in flat.items() if f"{n}.".startswith(groups) and n not in others}


def _prepared_otherwise(config: Config, there: dict, here: dict) -> list[str]:
    """What differs in how the videos became clips; optical flow counts only where it is used."""
    unused = {"flow"} if not config.model.luminous.takes_flow else set()
    names = [name for name in there if name in here and name not in unused]
    return [f"{name} ({there[name]} there, {here[name]} here)" for name in names if there[name] != here[name]]
