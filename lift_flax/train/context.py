"""What both phases of a run share."""

import dataclasses
from pathlib import Path

from jax.sharding import Mesh

from lift_flax.config import Config
from lift_flax.data.records import Records
from lift_flax.distributed.processes import StopSignal
from lift_flax.runs.metrics_log import MetricsWriter
from lift_flax.train.phases import Phase


@dataclasses.dataclass(frozen=True)
class RunContext:
    """What both phases share.

    Attributes:
      train_ids, val_ids: clips to train on, and to choose the best checkpoint by.
    """

    config: Config
    workdir: Path
    records: Records
    mesh: Mesh
    writer: MetricsWriter
    stop: StopSignal
    train_ids: list[str]
    val_ids: list[str]

    def data_seed(self, phase: Phase) -> int:
        """Seed of the order of the training clips."""
        return self.config.seed * 2 + phase.number
