"""Writes the records: a TFDS data set in ArrayRecord files, written and read without TensorFlow."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from .sources.video_list import VideoList
from .staging import StagedClip

VERSION = "1.0.0"
_BYTES = tfds.features.Tensor(shape=(), dtype=np.object_)
_PARTS = {"video": _BYTES, "frames": tfds.features.Sequence(_BYTES), "flow": _BYTES}


class VideoRecords(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Every clip once and in order, in one split; folds are lists of ids beside the records.

    The split is called `clips`; read `all`, the name that TFDS reserves for every split together.  The video is opaque
    bytes: the video feature of TFDS needs TensorFlow and an ffmpeg program, and cannot decode single frames.
    """

    VERSION = tfds.core.Version(VERSION)

    def __init__(self, name: str, videos: VideoList, staged: dict[str, StagedClip], data_dir: Path):
        """Makes a builder of the data set `name` below `data_dir`, from the staged file of each clip."""
        self.name = name  # pyright: ignore[reportAttributeAccessIssue]  # TFDS sets it on the class
        self._videos = videos
        self._staged = staged
        self._parts = list(next(iter(staged.values())).sizes)
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                **{name: _PARTS[name] for name in self._parts},
                "label": tfds.features.ClassLabel(names=self._videos.classes),
                "id": tfds.features.Text(),
                "group": tfds.features.Text(),
                "num_frames": np.int32,
                "fps": np.float32,
                "times": tfds.features.Tensor(shape=(None,), dtype=np.float32),
                "seconds": np.float32,
            }
        )
        description = "Clips for action recognition."
        return tfds.core.DatasetInfo(builder=self, features=features, description=description, disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[tuple[str, dict]]]:
        del dl_manager  # nothing is downloaded
        return {"clips": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict]]:
        for clip in self._videos.clips:
            staged = self._staged[clip.id]
            yield (
                clip.id,
                {
                    **staged.parts(),
                    "label": clip.label,
                    "id": clip.id,
                    "group": clip.group,
                    "num_frames": staged.num_frames,
                    "fps": staged.fps,
                    "times": staged.times,
                    "seconds": staged.seconds,
                },
            )


def write_records(name: str, videos: VideoList, staged: dict[str, StagedClip], data_dir: Path) -> Path:
    """Writes the data set quietly and returns its folder, `data_dir/name/1.0.0`.

    Record i is clip i of `videos`, so folds.json can hold an index of the clips.

    Args:
      name: name of the data set.
      videos: the clips, their labels and groups.
      staged: the encoded clip of every id in `videos`.
      data_dir: folder for the data set, without one of this name.
    """
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints that it downloads
            VideoRecords(name, videos, staged, data_dir).download_and_prepare()
    finally:
        logging.set_verbosity(verbosity)
    return data_dir / name / VERSION
