"""Small real videos whose frames say their own index, so that tests can tell exactly which frame they got."""

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

_BITS = 8


def numbered_frames(indices: list[int] | range, width: int = 96, height: int = 64) -> np.ndarray:
    """uint8 [T,H,W,3]: the index as eight dark or light bars, lowest bit on the left."""
    bars = np.array([[index >> bit & 1 for bit in range(_BITS)] for index in indices])
    rows = np.repeat(np.where(bars, 200, 40), width // _BITS, axis=1)  # [T,8] -> [T,W]
    return np.broadcast_to(rows[:, None, :, None], (len(bars), height, rows.shape[1], 3)).astype(np.uint8)


def read_numbers(frames: np.ndarray) -> list[int]:
    """The index that each frame of uint8 [T,H,W,3] shows."""
    width = frames.shape[2] / _BITS
    middles = [int((bit + 0.5) * width) for bit in range(_BITS)]
    bars = frames[:, frames.shape[1] // 2, middles, 1] > 120  # [T,8]
    return [int(sum(1 << bit for bit in range(_BITS) if row[bit])) for row in bars]


def write_video(path: Path, frames: np.ndarray, fps: int = 30, index_first: bool = False, **options: str) -> Path:
    """Encodes uint8 [T,H,W,3] as H.264 with x264's defaults (B-frames among them) and makes the folders of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"} if index_first else {}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12", **options})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode(None))
    return path


def write_numbered(path: Path, num_frames: int = 12, **kwargs) -> Path:
    """A video of `num_frames` numbered frames."""
    return write_video(path, numbered_frames(range(num_frames)), **kwargs)


def link_videos(root: Path, names: Iterable[str], sources: dict[str, list[Path]]) -> Path:
    """Real videos below `root` under `names`, in turn links to the `sources` of a name's extension; returns `root`."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        source = sources[path.suffix][number % len(sources[path.suffix])]
        with contextlib.suppress(OSError):
            os.link(source, path)
        if not path.exists():  # another file system, or more links than this one allows
            shutil.copy(source, path)
    return root
