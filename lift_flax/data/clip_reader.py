"""One example from one record: frames sampled, decoded, scaled and cropped, on the host.

Loader processes unpickle and run this file, so it must never import JAX.
"""

import bisect
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from lift_flax.data import fixed_views
from lift_flax.data.flow_in_light import flow_in_light
from lift_flax.data.kept_features import KeptFeatures
from lift_flax.errors import UserError
from lift_flax.video import sampling
from lift_flax.video.clips import Parts
from lift_flax.video.decode import VideoError, decode_flow, decode_frames, decode_jpegs
from lift_flax.video.inspection import coder_errors

Batch = dict[str, np.ndarray]
Example = dict[str, Any]  # a row of a batch; its id is text
PIXELS = frozenset({"clip", "flow"})  # what of it is pictures
ChangeLight = Callable[[np.ndarray, str], np.ndarray]  # (frames uint8 [T,H,W,3], id of the clip) -> frames
Cache = dict[tuple[int, int, bool], tuple[sampling.Timing, Parts]]


class Part(NamedTuple):
    """One folder among records that may be mixed of several.

    Attributes:
      folder: the TFDS folder.
      first: position of its first clip among all.
      name: stands before the ids of its clips; empty where there is one folder alone.
      labels: of the whole, by the folder's own labels; empty where they are the same.
    """

    folder: Path
    first: int = 0
    name: str = ""
    labels: tuple[int, ...] = ()

    def clip_id(self, own: str) -> str:
        """The id among all of the clip that the folder calls `own`."""
        return f"{self.name}:{own}" if self.name else own

    def label(self, own: int) -> int:
        """The label among all of the folder's own label; -1 stays -1."""
        return self.labels[own] if self.labels and own >= 0 else own


class StoredFlow(NamedTuple):
    """How the optical flow of records was made: its method, and the short side of its frames at most."""

    method: str
    short_side: int

    @classmethod
    def of(cls, prepared: dict[str, Any]) -> "StoredFlow":
        """That of `Records.prepared`."""
        return cls(prepared["flow"], prepared["short_side"])


class ClipReader:
    """Reads, samples and decodes clips.  Picklable, so that each loader process has its own.

    Args:
      parts: the folders that hold them, in the order of their positions.
      clips: (id, position in the records, label) of each; methods take a place in this list.
      num_frames: T.
      size: px, side of the square frames.
      flow: of the optical flow that examples hold beside the frames; None for frames alone.
      cache: keeps decoded clips whole; None decodes each time.
      weights: of training clips, by label; None gives each 1.
      window: how T frames in a row are taken; None spreads them over the whole clip.
      fixed_views: V of each training clip (lift_flax/data/fixed_views.py); 0 draws every view anew.
      features: kept outputs of a frozen ViT, which examples then hold as "main_features"; None holds none.

    Raises:
      UserError: the records are damaged; methods raise it, too.  With a light and flow also: OpenCV is missing.
    """

    def __init__(
        self,
        parts: tuple[Part, ...],
        clips: list[tuple[str, int, int]],
        num_frames: int,
        size: int,
        flow: StoredFlow | None,
        cache: Cache | None,
        weights: dict[int, float] | None = None,
        window: sampling.FrameWindow | None = None,
        fixed_views: int = 0,
        features: KeptFeatures | None = None,
    ):
        self.parts, self.clips, self.frames, self.size, self.flow, self.cache, self.weights = (
            parts, clips, num_frames, size, flow, cache, weights,
        )  # fmt: skip
        self.window, self.views, self.features = window, fixed_views, features
        self.sources = [_open_source(part.folder) for part in parts]

    def train(self, clip: int, rng: np.random.Generator) -> Example:
        """A view of a clip for training: drawn by `rng`, or one of V fixed ones."""
        return self.fixed(clip, int(rng.integers(self.views))) if self.views else self._drawn(clip, rng)

    def fixed(self, clip: int, view: int) -> Example:
        """The fixed view number `view` of a clip; "view" is its row for `augment.streams.make_train_streams`."""
        part, own = self._part(clip)[0], self.clips[clip][0]
        own = own.removeprefix(f"{part.name}:") if part.name else own
        example = self._drawn(clip, fixed_views.rng(own, view))
        example["view"] = fixed_views.row(own, view)
        return self._with_features(clip, view, example)

    def _with_features(self, clip: int, view: sampling.View | int, example: Example) -> Example:
        """`example` with what a frozen ViT made of that view, where that is kept."""
        if self.features is None:
            return example
        part = self._part(clip)[0]
        position = self.clips[clip][1] - part.first
        return {**example, "main_features": self.features.read(self.parts.index(part), position, view)}

    def _drawn(self, clip: int, rng: np.random.Generator) -> Example:
        """The frames at a random time in each of T equal spans, or a random window, at a random place."""
        timing, decode = self._open(clip)
        window = self.window and self.window.at(timing, self.frames, rng.random())
        parts = decode(timing.drawn(self.frames, rng) if window is None else window)
        example = self._example(clip, parts, *rng.random(2))
        if self.weights:
            example["weight"] = np.float32(self.weights[int(example["label"])])
        return example

    def eval(self, clip: int, view: sampling.View = sampling.CENTRE, light: ChangeLight | None = None) -> Example:
        """One view of a clip; a negative `clip` gives padding of weight 0.

        Args:
          light: changes the light of the frames; flow is then computed anew, of stored frames in that light.
        """
        place = max(clip, 0)
        timing, decode = self._open(place)
        window = self.window and self.window.at(timing, self.frames, view.phase)
        indices = timing.middle(self.frames, view.phase) if window is None else window
        parts = decode(indices)
        if light and self.flow:
            parts["flow"] = self._flow_in(light, place, indices, parts["clip"].shape[2:0:-1])
        example = self._example(place, parts, view.share, view.share)
        if light:
            example["clip"] = light(example["clip"], example["id"])
        example["weight"] = np.float32(clip >= 0)
        return example if light else self._with_features(place, view, example)

    def _flow_in(self, light: ChangeLight, clip: int, indices: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The flow of a clip whose stored frames are given another light; `size` is its width and height."""
        assert self.flow
        record = self._record(clip)

        def see(numbers: list[int]) -> np.ndarray:
            with self._decoding(clip):
                stored = (
                    decode_jpegs(record["frames"], numbers)
                    if "frames" in record
                    else decode_frames(record["video"], numbers)
                )
            return light(stored, self.clips[clip][0])

        count, method = int(record["num_frames"]), self.flow.method
        return flow_in_light(see, indices, count, size=size, stored_side=self.flow.short_side, method=method)

    def _open(self, clip: int) -> tuple[sampling.Timing, Callable[[np.ndarray], Parts]]:
        """When the stored frames are on screen, and a function from indices to their parts of short side `size`."""
        key = (self.clips[clip][1], self.size, self.flow is not None)
        if self.cache is not None:
            whole = self.cache.get(key)
            if whole is None:
                record = self._record(clip)
                whole = self.cache[key] = (sampling.Timing.of_record(record), self._decode(clip, record, None))
            timing, parts = whole
            return timing, lambda indices: {name: part[indices] for name, part in parts.items()}
        record = self._record(clip)
        return sampling.Timing.of_record(record), lambda indices: self._decode(clip, record, indices)

    def _decode(self, clip: int, record: dict, indices: np.ndarray | None) -> Parts:
        with self._decoding(clip):
            if "frames" in record:
                parts = {"clip": decode_jpegs(record["frames"], indices, self.size)}
            else:
                parts = {"clip": decode_frames(record["video"], indices, self.size)}
            if self.flow:
                parts["flow"] = decode_flow(record["flow"], indices, parts["clip"].shape[2:0:-1])
            return parts

    @contextlib.contextmanager
    def _decoding(self, clip: int) -> Iterator[None]:
        """Raises UserError, with the name of the record, for what is wrong with its video."""
        try:
            with coder_errors():
                yield
        except VideoError as error:
            raise UserError(
                f"record {self.clips[clip][0]} of {self._part(clip)[0].folder} does not decode ({error}): build the "
                "records again with --overwrite"
            ) from error

    def _record(self, clip: int) -> dict:
        clip_id, position, label = self.clips[clip]
        part, source = self._part(clip)
        try:
            record = source[position - part.first]
            stored = (part.clip_id(record["id"].decode()), part.label(int(record["label"])))
        except Exception as error:  # a damaged file makes the readers raise anything
            raise damaged(part.folder, error) from error
        if stored != (clip_id, label):
            raise UserError(
                f"folds.json says {(clip_id, label)} where the records have {stored}: build them again with --overwrite"
            )
        return record

    def _part(self, clip: int) -> tuple[Part, Any]:
        """The folder of a clip, and its records."""
        place = bisect.bisect_right([part.first for part in self.parts], self.clips[clip][1]) - 1
        return self.parts[place], self.sources[place]

    def _example(self, clip: int, parts: Parts, share_y: float, share_x: float) -> Example:
        clip_id, _, label = self.clips[clip]
        _, height, width, _ = parts["clip"].shape
        y, x = sampling.crop_origin(height, width, self.size, share_y, share_x)
        cropped = {  # [T, size, size, C]
            name: np.ascontiguousarray(part[:, y : y + self.size, x : x + self.size]) for name, part in parts.items()
        }
        return {**cropped, "label": np.int32(label), "weight": np.float32(1), "id": clip_id}


def _open_source(folder: Path) -> Any:
    """The records of a TFDS folder, by their positions."""
    try:
        builder = tfds.builder_from_directory(folder)
        return builder.as_data_source("all")  # pyright: ignore[reportCallIssue]  # TFDS wraps the method
    except Exception as error:  # a damaged file makes the readers raise anything
        raise damaged(folder, error) from error


def damaged(path: Path, error: Exception) -> UserError:
    """The error for records at `path` that cannot be read because of `error`."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(f"{path} is missing or damaged ({reason}): build the records again with --overwrite")
