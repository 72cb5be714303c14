"""Where what a frozen ViT makes of clips is kept: folders beside the records, named by all that decides it."""

import dataclasses
import hashlib
import json
from typing import Any

import jax
import numpy as np

from lift_flax.config import Config
from lift_flax.data.kept_features import KeptFeatures
from lift_flax.data.records import Records
from lift_flax.distributed.mesh import gather_whole
from lift_flax.errors import UserError
from lift_flax.files import record_files
from lift_flax.models.functional import Tree, flatten

FOLDER = "features"  # in a folder of records
_VERSION = 1  # of the way from records to features: raise it when the same fields give others
_FRAMES = ("num_frames", "size", "sampling", "stride", "window_seconds", "short")
_OF_FRAMES = ("codec", "size", "crf", "gop", "max_frames")  # settings of a build that decide the frames of its clips
_FREE = ("init_from", "unfreeze")  # fields of the ViT that change no output of given weights


def kept_features(records: Records, config: Config, pvit: Tree) -> KeptFeatures:
    """Where the features of clips are kept.

    Args:
      pvit: parameters of the ViT.

    Raises:
      UserError: the records are of an earlier version, which does not tell one build from another.
    """
    folders = records.folders or (records,)
    made = _made_with(config) | {"weights": _weights_digest(pvit)}
    tested = [{**made, "records": _records_digest(one)} for one in folders]
    drawn = [{**about, "augment": dataclasses.asdict(config.augment)} for about in tested]
    named = [
        (one.dir / FOLDER / f"drawn-{_digest(a)}", one.dir / FOLDER / f"test-{_digest(b)}")
        for one, a, b in zip(folders, drawn, tested, strict=True)
    ]
    return KeptFeatures(
        tuple(drawn for drawn, _ in named),
        tuple(tested for _, tested in named),
        (*drawn, *tested),
        (config.data.num_frames, config.model.pvit.width),
    )


def _made_with(config: Config) -> dict[str, Any]:
    """The fields that decide what a ViT of given weights makes of a view."""
    pvit = dataclasses.asdict(config.model.pvit)
    fields: dict[str, Any] = {"version": _VERSION, "precision": config.train.precision}
    fields |= {f"pvit.{name}": value for name, value in pvit.items() if name not in _FREE}
    fields |= {f"data.{name}": getattr(config.data, name) for name in _FRAMES}
    fields["main_input"] = config.model.main_input
    if config.model.main_is_lit:
        fields |= {name: getattr(config.model.luminous, name) for name in ("gamma", "gamma_target")}
    return fields


def _weights_digest(pvit: Tree) -> str:
    found = hashlib.sha256()
    for path, leaf in sorted(flatten(pvit).items()):
        array = gather_whole(leaf) if isinstance(leaf, jax.Array) else np.asarray(leaf)
        found.update(f"{path} {array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _records_digest(records: Records) -> str:
    """Of the pictures of all clips, where each one is, and how videos became the frames of clips."""
    if any(not entry.content for entry in records.index.values()):
        raise UserError(
            f"{records.dir} is of an earlier version, which does not name the pictures of its clips: build it again "
            "with --overwrite, or set config.data.features=compute"
        )
    clips = [(i, entry.position, entry.content) for i, entry in records.index.items()]
    settings = record_files.read_report(records.dir)["settings"]
    return _digest({"clips": clips, "settings": {name: settings.get(name) for name in _OF_FRAMES}})


def _digest(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
