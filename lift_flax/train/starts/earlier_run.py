"""A run that another one starts from: its workdir, or a package of it."""

import contextlib
from pathlib import Path

import numpy as np

from lift_flax.data.records import Records, open_records
from lift_flax.errors import UserError
from lift_flax.models.functional import flatten
from lift_flax.runs import config_file, places, workdir
from lift_flax.runs.checkpoints import read_best
from lift_flax.runs.package.reading import Package, read

ByPath = dict[str, np.ndarray]  # by path: "params/...", "batch_stats/..."

_PHASES = ("teacher", "student", "pretrain")
_TRUNKS = ("trunk", "teacher")  # where a student keeps an R(2+1)D


class EarlierRun:
    """A run that has arrays to start from; only reads.

    Args:
      given: as `train.init_from` names it.

    Attributes:
      path: its workdir, or its package.
      config: its config.

    Raises:
      UserError: there is none.
    """

    def __init__(self, given: str):
        place = places.find(given)
        self.path = place.path.absolute()
        self._package: Package | None = read(self.path) if place.packed else None
        self.config = self._package.config if self._package else config_file.load(self.path / "config.json")

    def phases(self) -> dict[str, ByPath]:
        """What it holds of each phase that it has trained; of a package, what answers."""
        if self._package:
            return {"student": self._package.arrays}
        found = {phase: self._read(phase) for phase in _PHASES if (self.path / phase).is_dir()}
        if not found:
            raise UserError(f"{self.path} holds nothing trained yet: name another run in config.train.init_from")
        return found

    def arrays(self, phase: str) -> ByPath:
        """Those of a phase, out of another one where it has not trained that: a teacher is the trunk of the others."""
        if not self._package and (self.path / phase).is_dir():
            return self._read(phase)
        found = self.phases()
        if phase != "teacher" and (whole := found.get("student") or found.get("pretrain")):
            return whole
        (other,) = found.values()
        if phase != "teacher":
            return {path.replace("/", f"/{place}/", 1): array for place in _TRUNKS for path, array in other.items()}
        split = {path: path.split("/", 2) for path in other}
        return {
            f"{kind}/{rest[0]}": other[path] for path, (kind, part, *rest) in split.items() if part == "trunk" and rest
        }

    @property
    def has_unknown_start(self) -> bool:
        """Whether it started from weights of which nobody knows what they were trained on."""
        if self._package:
            return bool(self._package.facts.get("weights"))
        return bool(self.config.model.pvit.init_from or self.config.model.teacher.init_from)

    def learnt(self, records: Records) -> set[str]:
        """Digests of the clips that it was trained on; empty where they cannot be known.

        Args:
          records: where a package, which does not say where its own records are, looks for them.
        """
        with contextlib.suppress(UserError):
            config, stated = self.config, (self._package.facts if self._package else workdir.facts(self.path))
            own = records if self._package else open_records(config.data.dir)
            ids, val_ids = own.train_and_validation(config.data.fold, config.data.val_share, config.seed)
            other = own.unused(config.data.fold, val_ids)  # a pretraining may have learnt from them, too
            for learnt in (ids, ids + other):
                if workdir.is_of(stated["train_digest"], own, learnt):
                    return {own.index[i].content for i in learnt} - {""}
        return set()

    def _read(self, phase: str) -> ByPath:
        params, batch_stats, _ = read_best(Path(self.path) / phase)
        return flatten({"params": params, "batch_stats": batch_stats})
