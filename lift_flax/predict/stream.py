"""Answers for a camera: frames come one at a time, and each is looked at once.

    stream = predictor.stream(every=5)
    for frame in camera:                              # uint8 RGB [H, W, 3]
        answer = stream.push(frame)                   # None between answers
        if answer:
            print(answer.index, answer.label, answer.probability)

The window of an answer is the last T frames; they are answered as `predictor` answers for an array of them.  The main
stream reads every frame for itself, so its token of a frame is computed when the frame comes, while the next one is
waited for, and kept for all windows that the frame lies in.  Frames are not gathered for that: they would all have to
be computed between the last frame of a window and its answer, and on a CPU are no cheaper together (five blocks of
ViT-B/16 on two cores: 72 ms a frame alone, 79 ms among five, 92 ms among thirty).  What looks across frames (the
R(2+1)D, the levels, the head) is computed for each answer.
"""

import collections
import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import av
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from lift_flax.augment.streams import clip_streams
from lift_flax.compiling import compile_once
from lift_flax.errors import UserError
from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.models.inputs import normalise, student_inputs
from lift_flax.predict.inference import Folded, input_shapes
from lift_flax.video.clips import Parts, Preparation, flow_scaler, frame_scaler, stored_size
from lift_flax.video.decode import VideoError
from lift_flax.video.inspection import coder_errors
from lift_flax.video.optical_flow import LiveCodes


@dataclasses.dataclass(frozen=True)
class Answer:
    """For the T frames up to one.

    Attributes:
      index: of the last frame, counted from 0 in the order of pushing.
      label, probability: the likeliest class.
      probabilities: of each class.
      latency_ms: milliseconds from the push of the last frame to the answer.
    """

    index: int
    label: str
    probability: float
    probabilities: Float[np.ndarray, "K"]
    latency_ms: float


@dataclasses.dataclass(frozen=True)
class Programs:
    """What is compiled, for any number of streams.

    Attributes:
      token: uint8 frame [H,W,3] -> its token of the main stream [1,1,E]; None where nothing reads the main stream.
      answer: (T tokens, or none; {"clip": uint8 [1,T,H,W,3], "flow": uint8 [1,T,H,W,2] where used}) -> [1,K].
    """

    token: Callable[..., jax.Array] | None
    answer: Callable[..., jax.Array]


def compile_programs(folded: Folded, network: str) -> Programs:
    """The programs of a run's network: student or teacher."""
    config, arrays = folded.config, folded.arrays
    inputs = {name: jax.ShapeDtypeStruct((1, *shape), np.uint8) for name, shape in input_shapes(config).items()}
    _, t, *frame_shape = inputs["clip"].shape

    def token(arrays, frame):
        dark = normalise(frame[None, None], config.model.pvit.mean, config.model.pvit.std)  # [1, 1, H, W, 3]
        return folded.student(arrays).main(dark.astype(config.train.dtype))  # [1, 1, E]

    def answer(arrays, tokens, batch):
        main = jnp.concatenate(tokens, axis=1) if tokens else None  # [1, T, E]
        _, luminous = student_inputs(config, clip_streams(batch, config))
        student = folded.student(arrays)
        if network == "teacher":
            out = student.luminous_stream(luminous, train=False)
        else:
            out = student.from_tokens(main, luminous, train=False)
        return jax.nn.softmax(out[NETWORKS[network]])

    def compiled(function, *shapes):
        return functools.partial(compile_once(function, arrays, *shapes), arrays)

    if network == "teacher" or config.model.streams == "luminous":
        return Programs(None, compiled(answer, (), inputs))
    frame = jax.ShapeDtypeStruct(tuple(frame_shape), np.uint8)
    tokens = (jax.eval_shape(token, arrays, frame),) * t
    return Programs(compiled(token, frame), compiled(answer, tokens, inputs))


class Stream:
    """The frames of one camera, all of one size.  What it keeps does not grow.

    Args:
      programs: of the network that answers.
      how: what a frame goes through first.
      classes: names, by label.
      every: frames from one answer to the next; the first comes with frame T.  Above T there are frames that no
        window holds; nothing is computed of them.

    Raises:
      UserError: `every` is not 1 or more; the run takes optical flow, and OpenCV is not there (with the first frame).
    """

    def __init__(self, programs: Programs, how: Preparation, classes: tuple[str, ...], *, every: int):
        if not isinstance(every, int) or every < 1:
            raise UserError(f"every={every!r}: an answer can come after every frame (1) or after more of them")
        self._programs, self._how, self._classes, self._every = programs, how, classes, every
        self._size: tuple[int, ...] = ()  # height and width of the first frame
        self._window: _Window | None = None
        self._tokens: collections.deque[jax.Array] = collections.deque(maxlen=how.num_frames)
        self._count = 0

    def push(self, frame: Any) -> Answer | None:
        """Takes the next frame, uint8 RGB [H,W,3]; it may be overwritten afterwards.

        Returns:
          The answer for the last T frames where one is due.
        Raises:
          UserError: the frame is no such array, or of another size than the first.  It then does not count.
        """
        since, t = time.perf_counter(), self._how.num_frames
        window = self._checked(frame)
        index = self._count
        if index % self._every < t:  # else it lies between two windows
            try:
                with coder_errors():
                    scaled = window.add(frame)
            except VideoError as error:
                raise UserError(f"frame {index} cannot be used ({error}): push another") from error
            if self._programs.token:
                self._tokens.append(self._programs.token(scaled))  # goes on beside what the caller does next
        self._count += 1
        if index < t - 1 or (index - (t - 1)) % self._every:
            return None
        shares = np.asarray(self._programs.answer(tuple(self._tokens), window.batch()))[0]  # [1, K] -> [K]
        label = int(shares.argmax())
        seconds = time.perf_counter() - since
        return Answer(index, self._classes[label], float(shares[label]), shares, 1000 * seconds)

    def _checked(self, frame: Any) -> "_Window":
        if (
            not isinstance(frame, np.ndarray)
            or frame.dtype != np.uint8
            or frame.ndim != 3
            or frame.shape[-1] != 3
            or not frame.size
        ):
            given = f"{frame.dtype} {list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
            raise UserError(f"frame {self._count} is {given}: push frames of uint8 RGB [H, W, 3]")
        height, width = frame.shape[:2]
        if self._window is None:
            self._size, self._window = (height, width), _Window(width, height, self._how)
        if (height, width) != self._size:
            raise UserError(
                f"frame {self._count} has {width}x{height} px, the first had {self._size[1]}x{self._size[0]}: "
                "make another stream for another size"
            )
        return self._window


class _Window:
    """The last T frames as the network gets them, and the flow between them where it takes flow."""

    def __init__(self, width: int, height: int, how: Preparation):
        self._scale, self._scale_flow = frame_scaler(width, height, how), flow_scaler(width, height, how)
        self._codes = None if how.flow == "none" else LiveCodes(stored_size(width, height, how), how.flow)
        self._frames: collections.deque[np.ndarray] = collections.deque(maxlen=how.num_frames)
        self._flows: collections.deque[np.ndarray] = collections.deque(maxlen=how.num_frames - 1)

    def add(self, frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """The frame scaled.  Raises VideoError where that, or the flow to it, cannot be made; it is then left out."""
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        scaled, codes = self._scale(picture), self._codes and self._codes(picture)
        if codes is not None:
            self._flows.append(self._scale_flow(codes))
        self._frames.append(scaled)
        return scaled

    def batch(self) -> Parts:
        """A batch of one; the last frame has no follower yet and repeats its predecessor's flow."""
        parts = {"clip": list(self._frames)}
        if self._codes:
            parts["flow"] = [*self._flows, self._flows[-1]]
        return {name: np.stack(rows)[None] for name, rows in parts.items()}  # [H,W,C] -> [1,T,H,W,C]
