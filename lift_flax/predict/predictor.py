"""A trained run as a function from videos to answers: clips are read ahead, computed in batches, joined by video.

Frames, sizes, gamma and normalisation are those of the run.
"""

import collections
import contextlib
import dataclasses
import functools
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from lift_flax import compiling
from lift_flax.errors import UserError
from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.predict import inference
from lift_flax.predict.answers import ClipAnswer, VideoAnswer
from lift_flax.predict.given import Source, is_one_video, name_of
from lift_flax.predict.live.smoothing import Smoothing
from lift_flax.predict.live.stream import Programs, Stream, compile_programs
from lift_flax.predict.live.window import Pace
from lift_flax.predict.prefetch import prefetch
from lift_flax.predict.reading import ReadClip, VideoEnd, preparation_of, read_video, read_videos, usual_windows
from lift_flax.runs.trained import TrainedRun
from lift_flax.video.clips import Clip, Windows
from lift_flax.video.sampling import FrameWindow

ON_BAD = ("error", "warn")


@dataclasses.dataclass(frozen=True)
class _Computed:
    """The answer for a clip; its pixels are no longer needed.  `probabilities` have no temperature yet."""

    answer: ClipAnswer
    probabilities: Float[np.ndarray, "K"]
    embedding: Float[np.ndarray, "E"]
    read_seconds: float
    model_seconds: float


class Predictor:
    """Answers for videos; its programs are compiled at the first answer.

    Several threads may ask one predictor at once.  Pickled, it holds the run's arrays but no programs: in another
    process it compiles its own.

    Args:
      trained: the run.
      network: student or teacher.
      batch_size: clips that are computed together when that many are ready.
      windows: how long videos are cut into clips; None: as is usual for the run (`reading.usual_windows`).
      fps: frames per second of frames in memory and of folders of pictures; None: each is one clip, however long.
      on_bad: what becomes of a file that can be read but is damaged or cut off: error, or warn (an answer with a note).
      threshold: answers of a lower probability are unsure; None takes that of the run's calibration, if it has one.
      fit: how frames become squares: crop, pad or squeeze (`lift_flax.video.clips.Preparation`).

    Attributes:
      preparation: how videos become clips.
      threshold: 0 where there is none.

    Raises:
      UserError: the run has no such network, or an option has another value than these.  With the first answer: the run
        takes optical flow, and OpenCV is not installed.
    """

    def __init__(
        self,
        trained: TrainedRun,
        *,
        network: str = "student",
        batch_size: int = 8,
        windows: Windows | None = None,
        fps: float | None = None,
        on_bad: str = "error",
        threshold: float | None = None,
        fit: str = "crop",
    ):
        if network not in NETWORKS:
            raise UserError(f"network={network!r} is unknown: choose {' or '.join(NETWORKS)}")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise UserError(f"batch_size={batch_size!r}: give a whole number of clips, 1 or more")
        if fps is not None and not 0 < fps < math.inf:  # false for NaN, too
            raise UserError(f"fps={fps!r}: give a number of frames per second, above 0")
        if network == "teacher" and not trained.config.train.distill:
            raise UserError(f"{trained.workdir} has no teacher: it was trained without distillation")
        if on_bad not in ON_BAD:
            raise UserError(f"on_bad={on_bad!r} is unknown: choose {' or '.join(ON_BAD)}")
        if threshold is not None and not 0 <= threshold <= 1:  # false for NaN, too
            raise UserError(f"threshold={threshold!r}: give a probability, from 0 to 1")
        calibration = trained.calibrated.get(network)
        self._threshold = threshold  # as it was given
        self.threshold = calibration.threshold if threshold is None and calibration else threshold or 0.0
        self.trained, self.batch_size, self.windows = trained, batch_size, windows or usual_windows(trained)
        self.preparation = preparation_of(trained, fit)
        self._network, self.fps, self._on_bad = network, fps, on_bad
        self._programs: dict[int, Callable] = {}  # compiled, by number of clips: 1 and batch_size
        self._compiling = threading.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        options = {"network": self._network, "batch_size": self.batch_size, "windows": self.windows, "fps": self.fps}
        options |= {"on_bad": self._on_bad, "threshold": self._threshold, "fit": self.preparation.fit}
        return functools.partial(Predictor, **options), (self.trained,)

    @functools.cached_property
    def _folded(self) -> inference.Folded:
        return inference.fold(self.trained)

    @functools.cached_property
    def _stream_programs(self) -> Programs:
        return compile_programs(self._folded, self._network)

    def __call__(self, video: Source) -> VideoAnswer:
        """Answers for one video, given as to `LoadedRun`.  Raises UserError if it cannot be used."""
        (answer,) = self.each([video])
        if answer.error:
            raise UserError(f"{answer.video} cannot be used: {answer.error}")
        return answer

    def each(self, videos: Iterable[Source]) -> Iterator[VideoAnswer]:
        """Answers for many videos in order, each as soon as its clips are computed.

        A thread reads the next clips meanwhile.  The answer for a bad video has an `error`.

        Raises:
          UserError: `videos` is one video.
        """
        if is_one_video(videos):
            raise UserError(f"each() takes several videos: give a list of them, not {name_of(videos)!r}")
        return self._each(videos)

    def stream(
        self,
        *,
        every: int = 5,
        seconds: float | None = None,
        fps: float | None = None,
        smooth: int = 1,
        hysteresis: float = 0.0,
    ) -> Stream:
        """Answers for frames that come one at a time, after every so many.  Streams of a predictor share programs.

        The arguments are those of `LoadedRun.stream`.

        Raises:
          UserError: a value is not one of these.
        """
        for name, value in (("seconds", seconds), ("fps", fps)):
            if value is not None and not 0 < value < math.inf:  # false for NaN, too
                raise UserError(f"{name}={value!r}: give a number above 0")
        smoothing = Smoothing(smooth, hysteresis)
        pace = self._pace(seconds, fps or self.fps)
        with self._compiling:
            programs = self._stream_programs
        confidence = {"stated": functools.partial(self.trained.stated, network=self._network)}
        confidence |= {"threshold": self.threshold}
        options = {"every": every, "smoothing": smoothing, **confidence}
        return Stream(programs, self.preparation, self.trained.classes, pace, **options)

    def _pace(self, seconds: float | None, fps: float | None) -> Pace:
        """Which frames of a camera make a window."""
        window, t = self.preparation.window, self.preparation.num_frames
        if window and not window.seconds and seconds is None:
            return Pace(window.live(t, 1.0))  # by its stride
        length = seconds or (window.seconds if window else self.trained.clip_seconds)
        if length is None:
            return Pace(np.arange(t))
        timed = FrameWindow(seconds=length)
        if fps is not None:
            return Pace(timed.live(t, fps), timed)
        return Pace(None if seconds or window else np.arange(t), timed)

    def read(self, video: Source) -> Iterator[Clip]:
        """Reads the clips of a video as the network takes them.  Raises VideoError if it cannot be used."""
        return read_video(video, self.preparation, self.windows, self.fps, tolerant=self._on_bad == "warn")

    def probabilities(self, clips: list[Clip]) -> Float[np.ndarray, "B K"]:
        """Computes the class probabilities of clips; compiled once for each number of clips."""
        return self.trained.stated(self._timed(clips)[0], self._network)

    def of_clips(
        self, video: str, clips: Sequence[Clip], notes: tuple[str, ...] = (), *, seconds: float, is_long: bool = False
    ) -> VideoAnswer:
        """Answers for a video that is called `video`, from its clips, read elsewhere with this `preparation`.

        Args:
          notes: what is odd about the file.
          seconds: that reading them took.
          is_long: whether it was cut into windows.
        """
        parts: list[ReadClip | VideoEnd] = [ReadClip(clip, seconds / len(clips)) for clip in clips]
        (answer,) = self._answers(self._computed([[*parts, VideoEnd(video, notes, is_long=is_long)]]))
        return answer

    def _each(self, videos: Iterable[Source]) -> Iterator[VideoAnswer]:
        """Reads clips, computes them, and yields the answers."""
        read = read_videos(videos, self.preparation, self.windows, self.fps, tolerant=self._on_bad == "warn")
        with contextlib.closing(prefetch(read, 2 * self.batch_size)) as ready:
            yield from self._answers(self._computed(ready))

    def _computed(self, ready: Iterable[list[ReadClip | VideoEnd]]) -> Iterator[_Computed | VideoEnd]:
        """Computes the clips that are ready, as whole batches and the rest one by one: two programs serve any load.

        A clip with the frames of the one before, as in a pause, has its answer.
        """
        frames, (shares, embedding) = None, (np.empty(0, np.float32),) * 2  # of the last clip
        for parts in ready:
            clips = [part.clip for part in parts if isinstance(part, ReadClip)]
            before = [frames, *(clip.parts for clip in clips)]
            waiting = collections.deque(c for c, earlier in zip(clips, before, strict=False) if c.parts is not earlier)
            rows: collections.deque[tuple[np.ndarray, np.ndarray, float]] = collections.deque()
            for part in parts:
                if isinstance(part, VideoEnd):
                    yield part
                    continue
                seconds = 0.0
                if part.clip.parts is not frames:
                    if not rows:
                        size = self.batch_size if len(waiting) >= self.batch_size else 1
                        rows.extend(self._batch([waiting.popleft() for _ in range(size)]))
                    frames, (shares, embedding, seconds) = part.clip.parts, rows.popleft()
                yield _Computed(self._clip_answer(part.clip, shares), shares, embedding, part.seconds, seconds)

    def _batch(self, clips: list[Clip]) -> list[tuple[Float[np.ndarray, "K"], Float[np.ndarray, "E"], float]]:
        """Returns (probabilities, embedding, share of the seconds) of each clip."""
        shares, embeddings, seconds = self._timed(clips)
        return [(row, embedding, seconds / len(clips)) for row, embedding in zip(shares, embeddings, strict=True)]

    def _clip_answer(self, clip: Clip, shares: Float[np.ndarray, "K"]) -> ClipAnswer:
        stated = self.trained.stated(shares, self._network)
        best, label = float(stated.max()), self.trained.classes[int(shares.argmax())]
        return ClipAnswer(clip.start, clip.end, label, best, best >= self.threshold, stated)

    def _timed(self, clips: list[Clip]) -> tuple[Float[np.ndarray, "B K"], Float[np.ndarray, "B E"], float]:
        """Returns (probabilities, embeddings, seconds without compilation)."""
        rows = [clip.parts for clip in clips]
        batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}  # [T,H,W,C] -> [B,T,H,W,C]
        with self._compiling:
            arrays = self._folded.arrays
            if len(rows) not in self._programs:
                program = functools.partial(inference.answers, self._folded, self._network)
                self._programs[len(rows)] = compiling.compile_once(program, arrays, batch)
        since = time.perf_counter()
        shares, embeddings = map(np.asarray, self._programs[len(rows)](arrays, batch))
        return shares, embeddings, time.perf_counter() - since

    def _answers(self, parts: Iterable[_Computed | VideoEnd]) -> Iterator[VideoAnswer]:
        """Joins the clips of each video as soon as its end comes."""
        clips: list[_Computed] = []
        for part in parts:
            if isinstance(part, VideoEnd):
                yield self._video_answer(part, clips)
                clips = []
            else:
                clips.append(part)

    def _video_answer(self, end: VideoEnd, clips: list[_Computed]) -> VideoAnswer:
        classes = self.trained.classes
        if end.error:
            return VideoAnswer(end.video, classes, np.empty(0, np.float32), error=end.error)
        shares = self.trained.stated(np.mean([clip.probabilities for clip in clips], axis=0), self._network)
        return VideoAnswer(
            end.video,
            classes,
            shares,
            tuple(clip.answer for clip in clips),
            end.notes,
            decode_ms=1000 * float(np.mean([clip.read_seconds for clip in clips])),
            model_ms=1000 * float(np.mean([clip.model_seconds for clip in clips])),
            sure=float(shares.max()) >= self.threshold,
            embedding=np.mean([clip.embedding for clip in clips], axis=0),
            is_long=end.is_long,
        )
