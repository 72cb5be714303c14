"""Answers for a camera: frames come one at a time, and each goes through the ViT once.

    stream = run.stream(every=5)
    for frame in camera:                              # uint8 RGB [H, W, 3]
        answer = stream.push(frame)                   # None between answers
        if answer:
            print(answer.index, answer.label, answer.probability)

An answer is that of the last T frames as an array, or of every `data.stride`th of a run on frames in a row.  The main
stream reads each frame alone, unless it takes motion, so its token of a frame is computed when the frame comes, while
the camera makes the next one, and kept for all windows that hold the frame.  Gathering frames would be no cheaper on a
CPU and would delay the answer: five blocks of ViT-B/16 on two cores take 72 ms for a frame alone, 79 ms a frame among
five, 92 ms among thirty.  What looks across frames (the R(2+1)D, the levels, the head) is computed for each answer.
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
from jaxtyping import Int, UInt8

from lift_flax.augment.streams import clip_streams
from lift_flax.compiling import compile_once
from lift_flax.errors import UserError
from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.models.inputs import main_inputs, teacher_inputs
from lift_flax.predict.answers import StreamAnswer
from lift_flax.predict.inference import Folded, input_shapes
from lift_flax.video.clips import Parts, Preparation, flow_scaler, frame_scaler, stored_size
from lift_flax.video.decode import VideoError
from lift_flax.video.inspection import coder_errors
from lift_flax.video.optical_flow import LiveCodes


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
      taken: the frames of a window that a clip is made of, counted from its first frame; it ends with the last of them.
      every: frames from one answer to the next; the first answer comes with the last frame of the first window.  Where
        some frames lie in no window, nothing is computed for them.

    Raises:
      UserError: `every` is not a positive whole number, or the run takes the flow of one frame.  With the first frame:
        the run takes optical flow, and OpenCV is not installed.
    """

    def __init__(
        self,
        programs: Programs,
        preparation: Preparation,
        classes: tuple[str, ...],
        taken: Int[np.ndarray, "T"],
        *,
        every: int,
    ):
        if not isinstance(every, int) or every < 1:
            raise UserError(f"every={every!r}: give a whole number of frames from one answer to the next, 1 or more")
        if preparation.flow != "none" and preparation.num_frames == 1:
            raise UserError(
                "optical flow leads from one frame to the next, and this run takes one: it cannot be streamed"
            )
        self._programs, self._preparation, self._classes, self._every = programs, preparation, classes, every
        self._size: tuple[int, ...] = ()  # height and width of the first frame
        self._window: _Window | None = None
        self._taken, self._span = taken.tolist(), int(taken.max()) + 1
        self._tokens: collections.deque[jax.Array | None] = collections.deque(maxlen=self._span)
        self._count = 0

    def push(self, frame: Any) -> StreamAnswer | None:
        """Takes the next frame, uint8 RGB [H,W,3]; the array may be overwritten afterwards.

        Returns:
          The answer for the last T frames if one is due, else None.
        Raises:
          UserError: the frame is another kind of array, or differs in size from the first.  It then does not count.
        """
        since, span = time.perf_counter(), self._span
        window = self._checked(frame)
        index = self._count
        if index % self._every < span:  # otherwise it lies between two windows
            try:
                with coder_errors():
                    scaled = window.add(frame)
            except VideoError as error:
                raise UserError(f"frame {index} cannot be used ({error}): push another") from error
            if self._programs.token:
                self._tokens.append(
                    self._programs.token(scaled) if self._is_taken(index) else None
                )  # in the background
        self._count += 1
        if index < span - 1 or (index - (span - 1)) % self._every:
            return None
        tokens = tuple(self._tokens[place] for place in self._taken) if self._tokens else ()
        shares = np.asarray(self._programs.answer(tokens, window.batch(self._taken)))[0]  # [1, K] -> [K]
        label = int(shares.argmax())
        seconds = time.perf_counter() - since
        return StreamAnswer(index, self._classes[label], float(shares[label]), shares, 1000 * seconds)

    def _is_taken(self, index: int) -> bool:
        """Whether a window takes this frame, and does not only pass it over."""
        first = max(index, self._span - 1)
        due = first + (self._span - 1 - first) % self._every  # the next answer
        starts = (last - self._span + 1 for last in range(due, index + self._span, self._every))
        return any(index - start in self._taken for start in starts)

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
            self._size, self._window = (height, width), _Window(width, height, self._preparation, self._span)
        if (height, width) != self._size:
            raise UserError(
                f"frame {self._count} has {width}x{height} px, the first had {self._size[1]}x{self._size[0]}: "
                "make another stream for another size"
            )
        return self._window


class _Window:
    """The last frames at the size that the network takes, and the flow between them if it takes flow."""

    def __init__(self, width: int, height: int, preparation: Preparation, span: int):
        self._scale = frame_scaler(width, height, preparation)
        self._scale_flow = flow_scaler(width, height, preparation)
        self._codes = None
        if preparation.flow != "none":
            self._codes = LiveCodes(stored_size(width, height, preparation), preparation.flow)
        self._frames: collections.deque[np.ndarray] = collections.deque(maxlen=span)
        self._flows: collections.deque[np.ndarray] = collections.deque(maxlen=span - 1)

    def add(self, frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """Adds a frame and returns it scaled.  Raises VideoError, and adds nothing, if scaling or flow fails."""
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        scaled, codes = self._scale(picture), self._codes and self._codes(picture)
        if codes is not None:
            self._flows.append(self._scale_flow(codes))
        self._frames.append(scaled)
        return scaled

    def batch(self, taken: list[int]) -> Parts:
        """Returns a batch of one, of the frames `taken` of the window.

        The last frame has no successor yet, so it repeats the flow of the one before.
        """
        parts = {"clip": list(self._frames)}
        if self._codes:
            parts["flow"] = [*self._flows, self._flows[-1]]
        return {
            name: np.stack([rows[place] for place in taken])[None] for name, rows in parts.items()
        }  # [H,W,C] -> [1,T,H,W,C]
