"""Where epochs end, how many there are, the mean metrics of one, and when no further one helps."""

import math

SHOWN = ("loss", "top1")  # of every phase


def epoch_ends(examples: int, batch_size: int, epochs: int) -> dict[int, int]:
    """{step: number of the epoch that it ends}.  Batches run on across epochs, so an epoch may end within one.

    Of epochs that end within the same step, the last counts.
    """
    return {-(-epoch * examples // batch_size): epoch for epoch in range(1, epochs + 1)}


def saved_steps(ends: dict[int, int], every: int) -> frozenset[int]:
    """The steps of `epoch_ends` that complete `every` further epochs, or more, and the last one."""
    steps = sorted(ends)
    before = [0, *(ends[step] for step in steps)]
    return frozenset(s for s, last in zip(steps, before, strict=False) if ends[s] // every > last // every) | {
        steps[-1]
    }


def enough_epochs(examples: int, batch_size: int, epochs: int, least_steps: int) -> int:
    """`epochs`, or as many more as it takes to make `least_steps`."""
    return max(epochs, math.ceil(least_steps * batch_size / examples))


def lengthened(phase: str, examples: int, batch_size: int, epochs: int, least_steps: int) -> tuple[int, list[str]]:
    """(`enough_epochs`, a line that says so of the phase where these are more)."""
    enough = enough_epochs(examples, batch_size, epochs, least_steps)
    field = "pretrain.least_steps" if phase == "pretrain" else f"train.{phase}_least_steps"
    steps = f"{least_steps} steps (config.{field})"
    line = f"{phase}: {enough} epochs instead of {epochs}, as {examples} clips need for {steps}"
    return enough, [line] if enough != epochs else []


def thinned(every: int, times: list[int]) -> tuple[int, list[str]]:
    """(Epochs from one validation and checkpoint to the next, a line that says so where these are more than `every`).

    Args:
      times: how many times as long each phase has become (`lengthened`); the least of them counts.
    """
    rarer = every * min(times)
    return rarer, [f"validated and saved every {rarer} epochs"] if rarer != every else []


class Patience:
    """Tells when a phase has had so many validations without a better one.

    Args:
      validations: without a better one that end the phase; 0 never ends it.
      seen: what a run that resumes has seen before, as `seen` gives it.
    """

    def __init__(self, validations: int, seen: dict[str, float] | None = None):
        self._most = validations
        self._best, self._since = (seen["best"], int(seen["since"])) if seen else (-math.inf, 0)

    def see(self, score: float) -> None:
        """Counts a validation with this score."""
        self._since = 0 if score > self._best else self._since + 1
        self._best = max(self._best, score)

    @property
    def is_over(self) -> bool:
        """Whether the phase is to end."""
        return 0 < self._most <= self._since

    def seen(self) -> dict[str, float]:
        """What to save for a run that resumes here; empty before the first epoch, and where nothing ends a phase."""
        return {"best": self._best, "since": self._since} if self._most and math.isfinite(self._best) else {}


class EpochMeans:
    """Loss, accuracy and the like of the steps of one epoch; a run that resumes within it goes on from the same sums.

    Args:
      sums: of an epoch under way, as `sums` gives them; None at the start of one.
      averaged: names of the metrics.
    """

    def __init__(self, sums: dict[str, float] | None = None, averaged: tuple[str, ...] = SHOWN):
        self._sums: dict[str, float] = dict(sums or {})
        self._averaged = averaged

    def add(self, metrics: dict[str, float]) -> None:
        """Counts one step."""
        for name, value in {"steps": 1.0, **{name: metrics[name] for name in self._averaged}}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def read(self) -> dict[str, float]:
        """{"loss", "top1", ...}: means over the steps so far; empty before the first."""
        return {name: self._sums[name] / self._sums["steps"] for name in self._averaged if self._sums}

    def restart(self) -> None:
        """Begins the next epoch."""
        self._sums.clear()

    def sums(self) -> dict[str, float]:
        """The sums to save for a run that resumes here; empty between two epochs."""
        return dict(self._sums)
