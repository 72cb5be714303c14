"""config.json, the config of a run in its workdir, and whether another config would continue that run."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.errors import UserError
from lift_flax.fields import flat_fields
from lift_flax.files import write_text
from lift_flax.models.build import with_bn_eps

PACKED = "model.safetensors"  # the arrays of a package (lift_flax/runs/package/), which a workdir never holds

# Fields that may differ when a run is resumed: they change its title, where and how it runs, not what it computes.
# Clips and weights themselves are compared, not where they lie.
FREE_ON_RESUME = (
    "dataset",
    "model.teacher.init_from",
    "model.pvit.init_from",
    "train.init_from",
    "data.dir",
    "data.cache",
    "data.features",
    "data.workers",
    "train.remat",
    "train.profile_steps",
    "mesh",
    "log",
)


def save(config: Config, path: Path) -> None:
    """Writes config.json, whole or not at all."""
    write_text(path, json.dumps(dataclasses.asdict(config), indent=2) + "\n")


def load(path: Path) -> Config:
    """Reads config.json of a workdir; fields that it lacks take what their absence meant.

    Raises:
      UserError: it is missing or damaged, or holds a field or a value that this version does not know.
    """
    if (path.parent / PACKED).is_file() or path.parent.is_file():
        raise UserError(f"{path.parent} is no workdir, which this needs: give the --workdir of a training")
    if not path.is_file():
        if folds := sorted(path.parent.glob("fold*/config.json")):
            raise UserError(f"{path.parent} holds a run for each fold: give one of them, such as {folds[0].parent}")
        why = f"holds no {path.name}" if path.parent.exists() else "does not exist"
        raise UserError(f"{path.parent} is not a workdir of a run: it {why}; give the --workdir of a training")
    try:
        values = dict(json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): choose another workdir") from error
    try:
        return from_dict(values, stored=True)
    except UserError as error:
        raise UserError(
            f"{path} is of another version of this project ({error}): fix that field in it, then give the training "
            "command of this run again"
        ) from error


def deciding_fields(config: Config) -> dict[str, Any]:
    """The fields that decide what a run computes, by dotted name: all but those of `FREE_ON_RESUME`."""
    free = tuple(f"{name}." for name in FREE_ON_RESUME)
    return {name: value for name, value in flat_fields(with_bn_eps(config)).items() if not f"{name}.".startswith(free)}


def check_same_run(old: Config, new: Config, workdir: Path) -> None:
    """Refuses to resume `workdir` with a config that would compute something else, naming the fields."""
    before, after = deciding_fields(old), deciding_fields(new)
    differ = [n for n in before if before[n] != after[n]]
    if not (workdir / "pretrain").is_dir():  # a training reads nothing of them
        differ = [n for n in differ if not n.startswith("pretrain.")]
    if differ:
        changes = ", ".join(f"{n} ({before[n]} there, {after[n]} now)" for n in differ)
        flags = " ".join(f"--config.{n}='{before[n]}'" for n in differ)
        raise UserError(
            f"{workdir} holds a run of another config: {changes}; continue it with {flags}, or choose another workdir"
        )
