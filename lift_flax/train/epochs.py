"""Where epochs end, and the mean metrics of one."""

_AVERAGED = ("loss", "top1")


def epoch_ends(examples: int, batch_size: int, epochs: int) -> dict[int, int]:
    """{step: number of the epoch that it ends}.  Batches run on across epochs, so an epoch may end within one.

    Of epochs that end within the same step, the last counts.
    """
    return {-(-epoch * examples // batch_size): epoch for epoch in range(1, epochs + 1)}


class EpochMeans:
    """Loss and accuracy of the steps of one epoch; a run that resumes within it goes on from the same sums.

    Args:
      sums: of an epoch under way, as `sums` gives them; None at the start of one.
    """

    def __init__(self, sums: dict[str, float] | None = None):
        self._sums: dict[str, float] = dict(sums or {})

    def add(self, metrics: dict[str, float]) -> None:
        """Counts one step."""
        for name, value in {"steps": 1.0, **{name: metrics[name] for name in _AVERAGED}}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def read(self) -> dict[str, float]:
        """{"loss", "top1"}: means over the steps so far; empty before the first."""
        return {name: self._sums[name] / self._sums["steps"] for name in _AVERAGED if self._sums}

    def restart(self) -> None:
        """Begins the next epoch."""
        self._sums.clear()

    def sums(self) -> dict[str, float]:
        """The sums to save for a run that resumes here; empty between two epochs."""
        return dict(self._sums)
