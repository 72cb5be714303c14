"""What a network answers: for a clip, for a whole video, and for the last frames of a camera."""

import dataclasses
import functools
import itertools

import numpy as np
from jaxtyping import Float

from lift_flax.errors import UserError


@dataclasses.dataclass(frozen=True)
class ClipAnswer:
    """The answer for one clip of a video, or an event: several neighbouring clips that have the same label.

    Attributes:
      start, end: seconds from the beginning of the video.
      label: name of the likeliest class.
      probability: of that class; the mean over several clips.
      sure: whether that reaches the threshold of the predictor, of each clip; True where it has none.
      probabilities: of each class; the mean over several clips.
    """

    start: float
    end: float
    label: str
    probability: float
    sure: bool = True
    probabilities: Float[np.ndarray, "K"] | None = dataclasses.field(default=None, compare=False, repr=False)


@dataclasses.dataclass(frozen=True)
class VideoAnswer:
    """The answer for a video.

    Attributes:
      video: its path; "frames" for an array.
      classes: names, by label.
      probabilities: of each class, mean over the clips of the video.
      timeline: the answers for its clips, in order.
      notes: what is odd about the file.
      decode_ms, model_ms: milliseconds that a clip took to read, and to compute (its share of a batch).
      error: why the video failed; `probabilities` is then empty.
      sure: whether the probability of its label reaches the threshold of the predictor; True where it has none.
      embedding: what its classifier takes of a clip (the student's fused tokens, or the teacher's last map, averaged),
        the mean over the clips; empty where the video failed.
      is_long: whether it was cut into windows; `events` then say more of it than the mean over all of them.
    """

    video: str
    classes: tuple[str, ...]
    probabilities: Float[np.ndarray, "K"]
    timeline: tuple[ClipAnswer, ...] = ()
    notes: tuple[str, ...] = ()
    decode_ms: float = 0.0
    model_ms: float = 0.0
    error: str = ""
    sure: bool = True
    embedding: Float[np.ndarray, "E"] = dataclasses.field(default_factory=functools.partial(np.empty, 0, np.float32))
    is_long: bool = False

    @property
    def label(self) -> str:
        """Name of the likeliest class."""
        return self.classes[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        """Probability of the likeliest class."""
        return float(self.probabilities.max())

    def top_k(self, k: int) -> list[tuple[str, float]]:
        """The `k` likeliest classes with their probabilities, the likeliest first; all where there are fewer.

        Raises:
          UserError: `k` is not a positive whole number.
        """
        if not isinstance(k, int) or k < 1:
            raise UserError(f"k={k!r}: give a whole number of classes, 1 or more")
        best = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.classes[i], float(self.probabilities[i])) for i in best]

    @property
    def events(self) -> list[ClipAnswer]:
        """What was seen from when to when: neighbouring windows of a long video that have the same label, joined.

        Windows whose answer is unsure make events of their own, which are not sure.  Where windows overlap, an event
        ends in the middle of the overlap.  A video that is one clip is one event.
        """
        if not self.timeline:
            return []
        first, last = self.timeline[0], self.timeline[-1]
        if not self.is_long:
            return [ClipAnswer(first.start, last.end, self.label, self.probability, self.sure, self.probabilities)]
        alike = itertools.groupby(self.timeline, lambda clip: (clip.label, clip.sure))
        joined = [list(clips) for _, clips in alike]
        cuts = [(before[-1].end + after[0].start) / 2 for before, after in itertools.pairwise(joined)]
        spans = zip([first.start, *cuts], [*cuts, last.end], joined, strict=True)
        return [_joined(start, end, clips) for start, end, clips in spans]


def _joined(start: float, end: float, clips: list[ClipAnswer]) -> ClipAnswer:
    """The answer for clips of the same label, from `start` to `end`."""
    known = [clip.probabilities for clip in clips if clip.probabilities is not None]
    shares = np.mean(known, axis=0) if len(known) == len(clips) else None
    probability = float(np.mean([clip.probability for clip in clips]))
    return ClipAnswer(start, end, clips[0].label, probability, clips[0].sure, shares)


@dataclasses.dataclass(frozen=True)
class StreamAnswer:
    """The answer for the last T frames of a camera.

    Attributes:
      index: of the last frame, counted from 0 in the order of pushing.
      label: name of the likeliest class.
      probability: of that class.
      probabilities: of each class.
      latency_ms: milliseconds from the push of the last frame to the answer.
      time: of that frame in seconds, where it came with one.
      sure: whether the probability reaches the threshold of the predictor; True where it has none.
    """

    index: int
    label: str
    probability: float
    probabilities: Float[np.ndarray, "K"]
    latency_ms: float
    time: float | None = None
    sure: bool = True
