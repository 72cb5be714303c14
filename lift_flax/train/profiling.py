"""The cost of training while it runs: speed, waiting for data, memory, and traces of single steps."""

import contextlib
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import jax

from lift_flax.distributed import processes


class Meter:
    """Speed and waiting since the last reading.

    Args:
      batch_size: examples of a step.
    """

    def __init__(self, batch_size: int):
        self._batch_size, self._warm = batch_size, False
        self.restart()

    def restart(self) -> None:
        """Counts anew, after a validation or a save."""
        self._since, self._steps, self._waited = time.monotonic(), 0, 0.0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Measures how long its block waits for a batch."""
        start = time.monotonic()
        yield
        self._waited += time.monotonic() - start

    def step_done(self) -> None:
        """Counts a step that was computed, but not the first one, which includes compilation."""
        self._steps += 1
        if not self._warm:
            self._warm = True
            self.restart()

    def read(self) -> dict[str, float]:
        """{"examples_per_s", "data_wait" (share of the time)} of the steps since the last reading, and memory in GiB.

        "device_memory_gib" is the peak of this process's first device, where the backend reports it, and
        "host_memory_gib" that of the process.
        """
        values = {"host_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
        seconds = time.monotonic() - self._since
        if self._steps and seconds:
            values["examples_per_s"] = self._steps * self._batch_size / seconds
            values["data_wait"] = min(self._waited / seconds, 1.0)
        stats = jax.local_devices()[0].memory_stats()
        if stats and "peak_bytes_in_use" in stats:
            values["device_memory_gib"] = stats["peak_bytes_in_use"] / 2**30
        self.restart()
        return {name: round(value, 4) for name, value in values.items()}


class StepTrace:
    """Marks every step, and writes a trace of some, for TensorBoard's profiler or https://ui.perfetto.dev.

    Args:
      folder: where to.
      steps: "FIRST:LAST" as in `train.profile_steps`; empty for none.
    """

    def __init__(self, folder: Path, steps: str):
        self._folder, self._running = folder, False
        self._first, self._last = map(int, steps.split(":")) if steps else (0, -1)

    def __enter__(self) -> "StepTrace":
        return self

    def __exit__(self, *_) -> None:
        self._end()

    @contextlib.contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Marks its block as step `number`, and starts the trace where that is the first step to trace."""
        if self._first <= number <= self._last and not self._running and processes.is_first():
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._running = True
        with jax.profiler.StepTraceAnnotation("train", step_num=number):
            yield

    def end_after(self, number: int, values: dict) -> None:
        """Ends the trace where step `number`, whose metrics are `values`, is its last; waits for the step."""
        if self._running and number >= self._last:
            jax.block_until_ready(values)
            self._end()

    def _end(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
            print(f"trace of steps {self._first} to {self._last}: {self._folder}", flush=True)
