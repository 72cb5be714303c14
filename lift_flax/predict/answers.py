"""What a predictor answers for a video: shares of the classes, and what was seen when."""

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Moment:
    """The answer for a part of a video, or for several parts in a row that have the same one.

    Attributes:
      start, end: seconds.
      label: class name.
      probability: of it; of several parts the mean.
    """

    start: float
    end: float
    label: str
    probability: float


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer for a video.

    Attributes:
      video: its path; "frames" for an array.
      classes: names, by label.
      probabilities: of each class, mean over the clips of the video.
      timeline: what each of its clips shows, in order.
      notes: what is odd about the file.
      decode_ms, model_ms: milliseconds a clip took to be read and to go through the network (with its batch).
      error: why there is no answer; then `probabilities` is empty.
    """

    video: str
    classes: tuple[str, ...]
    probabilities: Float[np.ndarray, "K"]
    timeline: tuple[Moment, ...] = ()
    notes: tuple[str, ...] = ()
    decode_ms: float = 0.0
    model_ms: float = 0.0
    error: str = ""

    @property
    def label(self) -> str:
        """The likeliest class."""
        return self.classes[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        """Of the likeliest class."""
        return float(self.probabilities.max())

    def segments(self) -> list[Moment]:
        """The timeline with neighbours of the same label joined; where windows overlap, a change lies in the middle."""
        joined: list[list[Moment]] = []
        for moment in self.timeline:
            if joined and joined[-1][-1].label == moment.label:
                joined[-1].append(moment)
            else:
                joined.append([moment])
        cuts = [(before[-1].end + after[0].start) / 2 for before, after in zip(joined, joined[1:], strict=False)]
        starts = [joined[0][0].start, *cuts] if joined else []
        ends = [*cuts, joined[-1][-1].end] if joined else []
        return [
            Moment(start, end, same[0].label, float(np.mean([m.probability for m in same])))
            for start, end, same in zip(starts, ends, joined, strict=True)
        ]
