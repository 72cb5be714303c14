"""A trained run as a function from videos to answers.

    predictor = lift_flax.load("RUN")
    answer = predictor("clip.mp4")                # a path, or uint8 frames [T, H, W, 3]
    print(answer.label, answer.probability)
    for answer in predictor.each(paths):          # many: reading and computing overlap, memory does not grow
        print(answer.video, answer.error or answer.label)
    stream = predictor.stream(every=5)            # a camera: frames one at a time (lift_flax/predict/stream.py)

What is done to a video first (frames, sizes, gamma, normalisation) comes from the run.
"""

import collections
import dataclasses
import functools
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lift_flax import compiling
from lift_flax.errors import UserError
from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.predict import inference
from lift_flax.predict.answers import Moment, Prediction
from lift_flax.predict.stream import Programs, Stream, compile_programs
from lift_flax.runs.trained import TrainedRun, open_trained
from lift_flax.video.clips import Clip, Preparation, Video, Windows, open_array, open_file, read_clips
from lift_flax.video.decode import VideoError
from lift_flax.video.inspection import coder_errors

Source = str | Path | np.ndarray  # the last: uint8 [T,H,W,3]
_PATIENCE = 2.0  # seconds that leaving waits for the reading thread, which may be amid a long file


@dataclasses.dataclass(frozen=True)
class _Read:
    """What the reading thread hands over: a clip, or that a video has ended (well, or with an error)."""

    video: str
    clip: Clip | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str = ""


@dataclasses.dataclass(frozen=True)
class _Answer:
    """What is kept of a clip."""

    moment: Moment
    shares: Float[np.ndarray, "K"]
    read_seconds: float
    model_seconds: float


class Predictor:
    """Answers for videos, compiled once.

    Args:
      trained: the run.
      network: student or teacher.
      batch_size: clips that are computed together where several wait.
      windows: how long videos are cut.

    Raises:
      UserError: the run has no such network, or batch_size is no number of clips; with the first answer: it takes
        optical flow, and OpenCV is not there.
    """

    def __init__(
        self, trained: TrainedRun, *, network: str = "student", batch_size: int = 8, windows: Windows | None = None
    ):
        if network not in NETWORKS:
            raise UserError(f"network={network!r} is unknown: choose {' or '.join(NETWORKS)}")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise UserError(f"batch_size={batch_size!r}: it is a whole number of clips, 1 or more")
        if network == "teacher" and not trained.config.train.distill:
            raise UserError(f"{trained.workdir} has no teacher: it was trained without distillation")
        self.trained, self.batch_size, self.windows = trained, batch_size, windows or Windows()
        config, prepared = trained.config, trained.prepared
        flow = "none"
        if config.model.luminous.input == "flow":
            flow = prepared["flow"]
        self.preparation = Preparation(
            prepared["codec"], prepared["short_side"], prepared["max_frames"], flow, config.data.num_frames,
            config.data.size,
        )  # fmt: skip
        self._network = network
        self._programs: dict[int, Callable] = {}  # compiled, by number of clips: 1 and batch_size

    @functools.cached_property
    def _folded(self) -> inference.Folded:
        return inference.fold(self.trained)

    @functools.cached_property
    def _stream_programs(self) -> Programs:
        return compile_programs(self._folded, self._network)

    def stream(self, *, every: int = 5) -> Stream:
        """Takes frames one at a time and answers after every so many; the first stream compiles, others share it."""
        return Stream(self._stream_programs, self.preparation, self.trained.classes, every=every)

    def __call__(self, video: Source) -> Prediction:
        """The answer for one video.  Raises UserError where it cannot be used."""
        (answer,) = self.each([video])
        if answer.error:
            raise UserError(f"{answer.video} cannot be used ({answer.error}): give another video")
        return answer

    def read(self, video: Source) -> Iterator[Clip]:
        """The clips of a video as the network gets them.  Raises VideoError where it cannot be used."""
        with coder_errors():
            yield from read_clips(*self._opened(video))

    def _opened(self, video: Source) -> tuple[Video, Preparation, Windows]:
        """Frames in memory are one clip always: their rate is not known, so windows of seconds cannot be."""
        if isinstance(video, np.ndarray):
            return open_array(video), self.preparation, Windows(longest=math.inf)
        return open_file(Path(video)), self.preparation, self.windows

    def each(self, videos: Iterable[Source]) -> Iterator[Prediction]:
        """Answers in the order of `videos`, each as soon as it is there; a bad video has an `error` in its place.

        The next clips are read, by a thread, while one batch is computed.  Raises UserError where `videos` is one.
        """
        if isinstance(videos, (str, Path)):
            raise UserError(f"each() takes several videos: give [{str(videos)!r}]")
        yield from self._each(videos)

    def _each(self, videos: Iterable[Source]) -> Iterator[Prediction]:
        waiting: queue.Queue[_Read | BaseException | None] = queue.Queue(maxsize=2 * self.batch_size)
        stop = threading.Event()
        thread = threading.Thread(target=self._read_all, args=(videos, waiting, stop), daemon=True)
        thread.start()
        try:
            yield from self._answers(waiting)
        finally:
            stop.set()
            deadline = time.monotonic() + _PATIENCE
            while thread.is_alive() and time.monotonic() < deadline:  # it may wait for room
                _drain(waiting)
                thread.join(0.05)

    def _read_all(self, videos: Iterable[Source], waiting: queue.Queue, stop: threading.Event) -> None:
        try:
            for video in videos:
                for part in self._parts(video):
                    waiting.put(part)
                    if stop.is_set():
                        return
            waiting.put(None)
        except BaseException as error:  # is raised again where the answers are taken
            waiting.put(error)

    def _parts(self, video: Source) -> Iterator[_Read]:
        name = "frames" if isinstance(video, np.ndarray) else str(video)
        try:
            with coder_errors():
                since = time.perf_counter()
                opened, how, windows = self._opened(video)
                for clip in read_clips(opened, how, windows):
                    yield _Read(name, clip, time.perf_counter() - since)
                    since = time.perf_counter()
            yield _Read(name, notes=opened.notes)
        except VideoError as error:
            yield _Read(name, error=str(error))

    def _answers(self, waiting: queue.Queue) -> Iterator[Prediction]:
        """Computes what waits, a whole batch or one clip at a time, so that two programs serve every load."""
        parts: collections.deque[_Read] = collections.deque()  # in order: clips, and ends of videos
        answered: list[_Answer] = []  # of the video that is under way, without its pixels
        ended = False
        while parts or not ended:
            ended = ended or self._take(parts, waiting)
            batch = [part.clip for part in parts if part.clip][: self.batch_size]
            if len(batch) < self.batch_size:
                batch = batch[:1]
            shares, seconds = self._compute(batch) if batch else ([], 0.0)
            results = collections.deque(shares)
            while parts and (results or not parts[0].clip):
                part = parts.popleft()
                if part.clip:
                    answered.append(self._answer(part, results.popleft(), seconds / len(batch)))
                else:
                    yield self._together(part, answered)
                    answered = []

    def _take(self, parts: collections.deque, waiting: queue.Queue) -> bool:
        """Adds to `parts` what waits, until it begins with a video's end or holds a batch.  True at the very end."""
        while not parts or (parts[0].clip and len(parts) < 2 * self.batch_size):
            if parts and waiting.empty():
                return False
            part = waiting.get()
            if isinstance(part, BaseException):
                raise part
            if part is None:
                return True
            parts.append(part)
        return False

    def _compute(self, clips: list[Clip]) -> tuple[Float[np.ndarray, "B K"], float]:
        """(probabilities, seconds, compilation aside)."""
        rows = [clip.parts for clip in clips]
        batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}  # [T,H,W,C] -> [B,T,H,W,C]
        arrays = self._folded.arrays
        if len(rows) not in self._programs:
            program = functools.partial(inference.probabilities, self._folded, self._network)
            self._programs[len(rows)] = compiling.compile_once(program, arrays, batch)
        since = time.perf_counter()
        return np.asarray(self._programs[len(rows)](arrays, batch)), time.perf_counter() - since

    def _answer(self, read: _Read, shares: Float[np.ndarray, "K"], seconds: float) -> _Answer:
        label = self.trained.classes[int(shares.argmax())]
        moment = Moment(read.clip.start, read.clip.end, label, float(shares.max()))
        return _Answer(moment, shares, read.seconds, seconds)

    def _together(self, end: _Read, answered: list[_Answer]) -> Prediction:
        classes = self.trained.classes
        if end.error:
            return Prediction(end.video, classes, np.empty(0, np.float32), error=end.error)
        return Prediction(
            end.video,
            classes,
            np.mean([answer.shares for answer in answered], axis=0),
            tuple(answer.moment for answer in answered),
            end.notes,
            decode_ms=1000 * float(np.mean([answer.read_seconds for answer in answered])),
            model_ms=1000 * float(np.mean([answer.model_seconds for answer in answered])),
        )


def _drain(waiting: queue.Queue) -> None:
    while not waiting.empty():
        waiting.get_nowait()


def load(
    workdir: str | Path, *, network: str = "student", batch_size: int = 8, windows: Windows | None = None
) -> Predictor:
    """The predictor of a run; arguments as of `Predictor`.  Raises UserError where the run has no trained network.

    Programs that it compiles are kept in the user's cache folder, unless JAX was told of another place.
    """
    compiling.keep_compiled_programs()
    trained = open_trained(Path(workdir))
    return Predictor(trained, network=network, batch_size=batch_size, windows=windows)
