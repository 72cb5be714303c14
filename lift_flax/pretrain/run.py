"""A whole pretraining: it ends in a workdir that `train.init_from` takes."""

import contextlib
import dataclasses
import functools
import json
from pathlib import Path

import jax

from lift_flax.config import Config
from lift_flax.data.records import Records, open_records
from lift_flax.distributed import processes
from lift_flax.distributed.mesh import make_mesh
from lift_flax.distributed.processes import StopSignal
from lift_flax.errors import UserError
from lift_flax.files import write_text
from lift_flax.pretrain import phase
from lift_flax.pretrain.views import without_labels
from lift_flax.runs.metrics_log import MetricsWriter, read_metrics
from lift_flax.runs.workdir import refuse_foreign
from lift_flax.train.epochs import lengthened, thinned
from lift_flax.train.loop import train_phase
from lift_flax.train.opening import Start, opened, with_clips, with_weights
from lift_flax.train.phases import RunContext

COLLAPSED = 0.1  # a deviation of the embeddings below this


def pretrain(config: Config, workdir: Path, stop: StopSignal | None = None) -> dict:
    """Pretrains into `workdir`; continues where an earlier run of the same config ended.

    Every process of the run calls this; the first one writes.

    Returns:
      What pretrain.json holds: the clips, the facts of `train_phase`, and the means over the last epoch: "loss", "top1"
      and "std" of `losses.pretext`.
    Raises:
      UserError: the data or the workdir do not fit the config.
      Stopped: `stop` came, and what was reached is saved.
    """
    with opened(functools.partial(_prepare, config, workdir), workdir) as start:
        config = start.config
        with jax.set_mesh(start.mesh), contextlib.closing(MetricsWriter(workdir, processes.is_first())) as writer:
            context = RunContext(
                config, workdir, start.records, start.mesh, writer, stop or StopSignal(), start.train_ids, start.val_ids
            )
            facts, _ = train_phase(context, phase.pretrain_phase(config))
        found = {"dataset": config.dataset, "fold": config.data.fold, "clips": len(start.train_ids), **facts}
        with processes.all_or_none():
            if processes.is_first():
                last = [line for line in read_metrics(workdir) if line["split"] == "epoch"][-1]
                found |= {name: last[name] for name in ("loss", "top1", "std")}
                write_text(workdir / "pretrain.json", json.dumps(found, indent=2) + "\n")
        return found


def _prepare(config: Config, workdir: Path) -> Start:
    """Opens the data and checks, without writing anything, that the run can be made."""
    start = resolve(config, open_records(config.data.dir), workdir)
    phase.check(start.config)
    refuse_foreign(workdir)
    return start


def resolve(config: Config, records: Records, workdir: Path | None = None) -> Start:
    """What the pretraining of `config` on `records` starts with; nothing is written, and no test clip is read.

    Raises:
      UserError: the records, or the weights that it starts from, do not fit the config.
    """
    if workdir is not None and any((workdir / name).is_dir() for name in ("teacher", "student")):
        raise UserError(f"{workdir} is the workdir of a training: choose another one for the pretraining")
    config, chosen, train_ids, val_ids = with_clips(config, records)
    config, fold = without_labels(config), config.data.fold
    if config.pretrain.clips == "train+other" or not records.classes:
        if not (other := records.unused(fold, val_ids)):
            raise UserError(f"{records.place} has no other clips in fold {fold}: leave out config.pretrain.clips")
        if left := len(records.folds[str(fold)]["other"]) - len(other):
            chosen = [
                *chosen,
                f"{left} other clips are left out: of groups held out, or the same as clips in use",
            ]
        train_ids = train_ids + other
    if 2 <= len(train_ids) < config.train.batch_size:
        raise UserError(
            f"{records.place} has {len(train_ids)} training clips in fold {fold}, fewer than a batch, which would hold "
            f"clips twice and tell them apart: set config.train.batch_size={len(train_ids)}, or less"
        )
    if len(train_ids) < 2 or len(val_ids) == 1:
        raise UserError(
            f"{records.place} has {len(train_ids)} training and {len(val_ids)} validation clips in fold {fold}, and "
            "pretraining tells clips apart: give it two of each, or none for validation"
        )
    fields = config.pretrain
    epochs, longer = lengthened(phase.NAME, len(train_ids), config.train.batch_size, fields.epochs, fields.least_steps)
    every, rarer = thinned(config.train.checkpoint_epochs, [epochs // fields.epochs])
    train = dataclasses.replace(config.train, checkpoint_epochs=every)
    config = dataclasses.replace(config, pretrain=dataclasses.replace(fields, epochs=epochs), train=train)
    held_out = {"test": records.folds[str(fold)].get("test", []), "validation": val_ids}
    config, weights = with_weights(config, records, held_out, None)
    return Start(config, records, train_ids, val_ids, [], weights, make_mesh(config), (*chosen, *longer, *rarer))
