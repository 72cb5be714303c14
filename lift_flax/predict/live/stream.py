"""Answers for a camera: frames come one at a time, and each goes through the ViT once.

    stream = run.stream(every=5)
    for frame in camera:                              # uint8 RGB [H, W, 3]
        answer = stream.push(frame)                   # None between answers
        if answer:
            print(answer.index, answer.label, answer.probability)

An answer is that of the last T frames as an array, or of every `data.stride`th of a run on frames in a row; or, where
frames come with times, of T frames of the last seconds.  The main
stream reads each frame alone, unless it takes motion, so its token of a frame is computed when the frame comes, while
the camera makes the next one, and kept for all windows that hold the frame.  Gathering frames would be no cheaper on a
CPU and would delay the answer: five blocks of ViT-B/16 on two cores take 72 ms for a frame alone, 79 ms a frame among
five, 92 ms among thirty.  What looks across frames (the R(2+1)D, the levels, the head) is computed for each answer.
"""

import dataclasses
import functools
import math
import time as clock
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from lift_flax.augment.streams import clip_streams
from lift_flax.compiling import compile_once
from lift_flax.errors import UserError
from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.models.inputs import main_inputs, teacher_inputs
from lift_flax.predict.answers import StreamAnswer
from lift_flax.predict.inference import Folded, input_shapes
from lift_flax.predict.live.smoothing import Smoothing
from lift_flax.predict.live.window import LiveClip, LiveWindow, Pace, SeenFrame
from lift_flax.video.clips import Preparation
from lift_flax.video.decode import VideoError
from lift_flax.video.inspection import coder_errors


@dataclasses.dataclass(frozen=True)
class Programs:
    """The compiled programs, which any number of streams share.

    Attributes:
      token: uint8 frame [H,W,3] -> its token of the main stream [1,1,E]; None where nothing reads the main stream.
      answer: (T tokens, or none; {"clip": uint8 [1,T,H,W,3], "flow": uint8 [1,T,H,W,2] where used}) -> [1,K].
    """

    token: Callable[..., jax.Array] | None
    answer: Callable[..., jax.Array]


def compile_programs(folded: Folded, network: str) -> Programs:
    """Compiles the programs of a run's network: student or teacher."""
    config, arrays = folded.config, folded.arrays
    inputs = {name: jax.ShapeDtypeStruct((1, *shape), np.uint8) for name, shape in input_shapes(config).items()}
    _, t, *frame_shape = inputs["clip"].shape

    def token(arrays, frame):
        dark = main_inputs(config, {"dark": frame[None, None]})  # [1, 1, H, W, 3]
        main = folded.student(arrays).main
        assert main is not None, "this program is compiled where the main stream is read"
        return main(dark)  # [1, 1, E]

    def answer(arrays, tokens, batch):
        streams, student = clip_streams(batch, config), folded.student(arrays)
        main = jnp.concatenate(tokens, axis=1) if tokens else None  # [1, T, E]
        if config.model.main_is_lit and student.main is not None:  # which may look across frames
            main = student.main(main_inputs(config, streams))
        luminous = teacher_inputs(config, streams)
        if network == "teacher":
            out = student.luminous_stream(luminous, train=False)
        else:
            out = student.from_tokens(main, luminous, train=False)
        return jax.nn.softmax(out[NETWORKS[network]])

    def compiled(function, *shapes):
        return functools.partial(compile_once(function, arrays, *shapes), arrays)

    if network == "teacher" or config.model.streams == "luminous" or config.model.main_is_lit:
        return Programs(None, compiled(answer, (), inputs))
    frame = jax.ShapeDtypeStruct(tuple(frame_shape), np.uint8)
    tokens = (jax.eval_shape(token, arrays, frame),) * t
    return Programs(compiled(token, frame), compiled(answer, tokens, inputs))


class Stream:
    """The frames of one camera, all of one size, in memory that does not grow.

    Args:
      programs: of the network that answers.
      preparation: how a frame becomes one of a clip.
      classes: names, by label.
      pace: which frames a clip is made of.
      every: frames from one answer to the next; the first answer comes with the last frame of the first window.  Where
        some frames lie in no window, nothing is computed for them.
      smoothing: of one answer with those before it.
      stated: the probabilities that an answer states, of those that the network gives.
      threshold: answers of a lower probability are unsure.

    Raises:
      UserError: `every` is not a positive whole number, or the run takes the flow of one frame.  With the first frame:
        the run takes optical flow, and OpenCV is not installed.
    """

    def __init__(
        self,
        programs: Programs,
        preparation: Preparation,
        classes: tuple[str, ...],
        pace: Pace,
        *,
        every: int,
        smoothing: Smoothing | None = None,
        stated: Callable[[np.ndarray], np.ndarray] = np.asarray,
        threshold: float = 0.0,
    ):
        if not isinstance(every, int) or every < 1:
            raise UserError(f"every={every!r}: give a whole number of frames from one answer to the next, 1 or more")
        if preparation.flow != "none" and preparation.num_frames == 1:
            raise UserError(
                "optical flow leads from one frame to the next, and this run takes one: it cannot be streamed"
            )
        self._programs, self._preparation, self._classes, self._every = programs, preparation, classes, every
        self._size: tuple[int, ...] = ()  # height and width of the first frame
        self._pace, self._smoothing = pace, smoothing or Smoothing()
        self._stated, self._threshold = stated, threshold
        self._window: LiveWindow | None = None
        self._timed = False  # whether frames come with times
        self._time = -math.inf  # of the last frame
        self._count = 0
        self._answered: int | None = None  # the frame that the last answer came with

    def push(self, frame: Any, time: float | None = None) -> StreamAnswer | None:
        """Takes the next frame, uint8 RGB [H,W,3]; the array may be overwritten afterwards.

        Args:
          time: of the frame in seconds, from any moment on; of all frames or of none.  The clip is then made of the
            frames that were on screen at T times, evenly spread over the last `seconds` of the stream.
        Returns:
          The answer for the last T frames if one is due, else None.
        Raises:
          UserError: the frame is another kind of array, or differs in size from the first; or its time is missing,
            given for some frames only, or not after that of the frame before.  It then does not count.
        """
        clip = self.add(frame, time)
        return None if clip is None else self.answer(clip)

    def add(self, frame: Any, time: float | None = None) -> LiveClip | None:
        """The first half of `push`: takes the next frame, and gives the clip that an answer is due for, if one is.

        One thread may add frames while another answers for the newest of the clips, or for none where it is behind.

        Raises:
          UserError: as `push` does.
        """
        since = clock.perf_counter()
        window = self._checked(frame, time)
        index = self._count
        if self._timed or index % self._every < self._pace.span:  # otherwise it lies between two windows
            try:
                with coder_errors():
                    seen = window.add(frame, time if self._timed else None)
            except VideoError as error:
                raise UserError(f"frame {index} cannot be used ({error}): push another") from error
            if not self._timed and self._is_taken(index):
                self._look_at(seen)  # in the background
        self._count, self._time = index + 1, self._time if time is None else float(time)
        places = self._due(window, index)
        if places is None:
            return None
        self._answered = index
        return LiveClip(index, time, since, tuple(window.frames[place] for place in places), window.batch(places))

    def answer(self, clip: LiveClip) -> StreamAnswer:
        """The second half of `push`: computes the answer for a clip.  Clips are answered for in their order."""
        tokens: list[jax.Array] = []
        if self._programs.token:
            tokens = [self._look_at(frame) for frame in clip.frames]
        shares = np.asarray(self._programs.answer(tuple(tokens), clip.parts))[0]  # [1, K] -> [K]
        shares, label = self._smoothing(self._stated(shares))
        best, latency = float(shares[label]), 1000 * (clock.perf_counter() - clip.since)
        sure = best >= self._threshold
        return StreamAnswer(clip.index, self._classes[label], best, shares, latency, clip.time, sure)

    def _look_at(self, seen: SeenFrame) -> Any:
        """The token of the main stream of a frame, computed once."""
        if self._programs.token and seen.token is None:
            seen.token = self._programs.token(seen.picture)
        return seen.token

    def _due(self, window: LiveWindow, index: int) -> Int[np.ndarray, "T"] | None:
        """Places in `window.frames` of the clip that is to be answered for now, if one is."""
        span, every = self._pace.span, self._every
        if self._timed:
            if self._answered is not None and index - self._answered < every:
                return None
            return window.latest()
        if index < span - 1 or (index - (span - 1)) % every:
            return None
        return self._pace.taken

    def _is_taken(self, index: int) -> bool:
        """Whether a window takes this frame, and does not only pass it over."""
        taken, span = self._pace.taken, self._pace.span
        first = max(index, span - 1)
        due = first + (span - 1 - first) % self._every  # the next answer
        starts = (last - span + 1 for last in range(due, index + span, self._every))
        return any(index - start in taken for start in starts)  # pyright: ignore[reportOperatorIssue]

    def _checked(self, frame: Any, time: float | None) -> LiveWindow:
        if (
            not isinstance(frame, np.ndarray)
            or frame.dtype != np.uint8
            or frame.ndim != 3
            or frame.shape[-1] != 3
            or not frame.size
        ):
            given = f"{frame.dtype} {list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
            raise UserError(f"frame {self._count} is {given}: push frames of uint8 RGB [H, W, 3]")
        timed = self._check_time(time)
        height, width = frame.shape[:2]
        if self._window is None:
            self._timed, self._size = timed, (height, width)
            window = self._pace.timed if timed else None
            self._window = LiveWindow(width, height, self._preparation, self._pace.span, window)
        if (height, width) != self._size:
            raise UserError(
                f"frame {self._count} has {width}x{height} px, the first had {self._size[1]}x{self._size[0]}: "
                "make another stream for another size"
            )
        return self._window

    def _check_time(self, time: float | None) -> bool:
        """Whether frames go by time.  Raises UserError where this one's does not fit."""
        timed = time is not None and self._pace.timed is not None
        if time is not None and not self._time < time < math.inf:  # false for NaN, too
            raise UserError(f"frame {self._count} is of {time} s, the one before of {self._time} s: times must grow")
        if self._window is not None and self._timed != timed:
            raise UserError(f"frame {self._count}: give a time for every frame of a stream, or for none")
        if not timed and self._pace.taken is None:
            seconds = self._pace.timed.seconds if self._pace.timed else 0
            t = self._preparation.num_frames
            raise UserError(
                f"this stream takes {t} frames in {seconds:g} s: push each frame with its time in seconds, or say how "
                "many come in a second, as fps=30"
            )
        return timed
