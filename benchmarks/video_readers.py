"""Readers of video to compare with: each returns the same clip of a video, on one thread.

A clip is uint8 RGB [T,size,size,3]: frames at given native indices, scaled so that the shorter side is `size`, cut in
the centre.  Each reader is written as its users write it, with the fastest way of its own to resize.
"""

import dataclasses
import io
from collections.abc import Callable

import av
import numpy as np
from PIL import Image
from rich.console import Console

from lift_flax.video import decode, sampling

REFERENCE = "plain PyAV"


@dataclasses.dataclass(frozen=True)
class Video:
    """A path or encoded bytes, and what a reader may know beforehand: frames, and (width, height) after scaling."""

    source: bytes | str
    num_frames: int
    scaled: tuple[int, int]
    native: tuple[int, int]


Read = Callable[[Video, np.ndarray, int], np.ndarray]  # (video, indices, size) -> uint8 [T,size,size,3]


def centre(frames: np.ndarray, size: int) -> np.ndarray:
    """The centre crop of [T,H,W,3], as the loader cuts it."""
    y, x = sampling.crop_origin(*frames.shape[1:3], size, 0.5, 0.5)
    return np.ascontiguousarray(frames[:, y : y + size, x : x + size])


def ours(video: Video, indices: np.ndarray, size: int) -> np.ndarray:
    """What the loader does."""
    return centre(decode.decode_frames(video.source, indices, size), size)


def plain_pyav(video: Video, indices: np.ndarray, size: int) -> np.ndarray:
    """Every frame decoded and converted, the wanted ones resized by Pillow."""
    source = io.BytesIO(video.source) if isinstance(video.source, bytes) else video.source
    with av.open(source) as container:
        container.streams.video[0].thread_type = "NONE"
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    images = (Image.fromarray(frames[i]).resize(video.scaled, Image.Resampling.BILINEAR) for i in indices)
    return centre(np.stack([np.asarray(image) for image in images]), size)


def opencv() -> Read:
    """VideoCapture: every frame grabbed, the wanted ones converted and resized."""
    import cv2

    cv2.setNumThreads(1)

    def read(video: Video, indices: np.ndarray, size: int) -> np.ndarray:
        capture = cv2.VideoCapture(video.source, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        wanted, frames = set(indices.tolist()), {}
        for index in range(indices[-1] + 1):
            if not capture.grab():
                raise OSError(f"no frame {index}")
            if index in wanted:
                frames[index] = cv2.resize(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB), video.scaled)
        capture.release()
        return centre(np.stack([frames[i] for i in indices.tolist()]), size)

    return read


def decord() -> Read:
    """VideoReader, which resizes by itself."""
    import decord as package

    def read(video: Video, indices: np.ndarray, size: int) -> np.ndarray:
        width, height = video.scaled
        reader = package.VideoReader(video.source, ctx=package.cpu(0), width=width, height=height, num_threads=1)
        return centre(reader.get_batch(indices).asnumpy(), size)

    return read


def torchcodec(seek_mode: str) -> Read:
    """VideoDecoder, which resizes and crops by itself."""
    import torch
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import CenterCrop, Resize

    torch.set_num_threads(1)

    def read(video: Video, indices: np.ndarray, size: int) -> np.ndarray:
        transforms = [Resize(video.scaled[::-1]), CenterCrop((size, size))]
        options = {"dimension_order": "NHWC", "num_ffmpeg_threads": 1, "transforms": transforms}
        frames = VideoDecoder(video.source, seek_mode=seek_mode, **options).get_frames_at(indices.tolist())
        return np.ascontiguousarray(frames.data.numpy())

    return read


READERS = {  # of the original files; the functions import what they need
    "this project": lambda: ours,
    REFERENCE: lambda: plain_pyav,
    "OpenCV": opencv,
    "decord": decord,
    "torchcodec approx.": lambda: torchcodec("approximate"),
    "torchcodec exact": lambda: torchcodec("exact"),
}


def usable_readers(console: Console) -> dict[str, Read]:
    """The readers that are installed; of the others it says why not."""
    readers = {}
    for name, make in READERS.items():
        try:
            readers[name] = make()
        except (ImportError, OSError, RuntimeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            console.print(f"not available: {name} ({type(error).__name__}: {reason})")
    return readers
