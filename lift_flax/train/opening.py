"""How a run begins: what it needs to know before its first step, and its workdir."""

import contextlib
import dataclasses
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from jax.sharding import Mesh

from lift_flax.config import Config
from lift_flax.data.chosen_fields import choose
from lift_flax.data.fitting import check_fits, folder_weights
from lift_flax.data.records import Records
from lift_flax.distributed import processes
from lift_flax.errors import UserError
from lift_flax.files import only_writer
from lift_flax.runs import places
from lift_flax.runs.workdir import check_shared, claim, facts, finished
from lift_flax.train.starts import init_from
from lift_flax.weights.pretrained import pretrained_parts, with_settings


@dataclasses.dataclass(frozen=True)
class Start:
    """What a run needs to know before its first step."""

    config: Config
    records: Records
    train_ids: list[str]
    val_ids: list[str]
    test_ids: list[str]  # none where nothing is tested
    weights: dict[str, str]
    mesh: Mesh
    notes: tuple[str, ...] = ()  # what was chosen for it, and why

    def identity(self) -> tuple:
        """What makes two starts one run, as `runs.workdir` compares it."""
        return self.config, self.records, self.train_ids, self.val_ids, self.test_ids


@contextlib.contextmanager
def opened(prepare: Callable[[], Start], workdir: Path) -> Iterator[Start]:
    """Checks and claims the workdir for the block, and says what is to be trained on.

    Args:
      prepare: checks, without writing anything, that the run can be made.
    """
    with processes.all_or_none():
        start = prepare()
    with contextlib.ExitStack() as held:
        with processes.all_or_none():
            if processes.is_first():
                held.enter_context(only_writer(workdir, "workdir"))
        number = processes.from_first(secrets.randbelow(2**31))
        with processes.all_or_none():
            if processes.is_first():
                claim(workdir, number, *start.identity(), weights=start.weights)
        with processes.all_or_none():
            if not processes.is_first():
                check_shared(workdir, number, *start.identity(), weights=start.weights)
        _announce(start)
        yield start


def _announce(start: Start) -> None:
    kind = start.mesh.devices.flat[0].device_kind
    shape = " ".join(f"{axis}={size}" for axis, size in start.mesh.shape.items())
    print(f"processes: {jax.process_count()}, devices: {start.mesh.size} x {kind}, mesh: {shape}", flush=True)
    tested = f"{len(start.test_ids)} to test on" if start.test_ids else "none is tested on"
    print(f"clips: {len(start.train_ids)} to train on, {len(start.val_ids)} for validation, {tested}", flush=True)
    for line in start.notes:
        print(line, flush=True)
    if drawn := folder_weights(start.config, start.records):
        print(f"drawn as often as {', '.join(f'{name} {weight:g}' for name, weight in drawn.items())}", flush=True)


def with_clips(config: Config, records: Records) -> tuple[Config, list[str], list[str], list[str]]:
    """(`config` as it is run on `records`, a line for each field chosen, clips to train on, those for validation).

    Raises:
      UserError: the records do not fit the config.
    """
    config, chosen = choose(config, records)
    check_fits(records, config)
    config = with_settings(config)
    data = dataclasses.replace(config.data, dir=records.place)
    config = dataclasses.replace(config, dataset=config.dataset or records.title, data=data)
    train_ids, val_ids = records.train_and_validation(config.data.fold, config.data.val_share, config.seed)
    if config.data.val_share > 0 and (given := records.given_validation(config.data.fold)):
        raise UserError(
            f"{records.dir} has {len(given)} validation clips of its own: leave out "
            f"config.data.val_share={config.data.val_share}"
        )
    if config.data.val_share > 0 and not val_ids:
        raise UserError(
            f"config.data.val_share={config.data.val_share} holds out no whole group of {records.dir}: "
            "raise it, or set it to 0 to use the last checkpoint"
        )
    train = config.train
    if (train.patience or train.best_by != "top1") and not val_ids:
        raise UserError(
            f"config.train.patience={train.patience} and best_by={train.best_by} go by validation clips, and there are "
            "none: set config.data.val_share=0.1, or leave them out"
        )
    return config, [f"auto: {line}" for line in chosen], train_ids, val_ids


def with_weights(
    config: Config, records: Records, held_out: dict[str, list[str]], workdir: Path | None
) -> tuple[Config, dict[str, str]]:
    """(`config` with the whole path of `train.init_from`, digests of the weights that its run starts from).

    Args:
      held_out: ids of clips that these must not have been trained on, by what they are called.
      workdir: of the run; where it is finished, the run that it started from need not be there any more.
    Raises:
      UserError: they have been, or are no weights.
    """
    weights = {part: pretrained.sha256 for part, pretrained in pretrained_parts(config).items()}
    if config.train.init_from:
        if workdir is not None and finished(workdir) is not None:
            weights["run"] = facts(workdir, "weights")["weights"].get("run", "")
        else:
            init_from.check_held_out(config, records, held_out)
            weights["run"] = init_from.digest(config)
        if not places.is_name(config.train.init_from):
            start = str(Path(config.train.init_from).absolute())
            config = dataclasses.replace(config, train=dataclasses.replace(config.train, init_from=start))
    return config, weights
