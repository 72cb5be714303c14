"""What is odd about a video, in a few words each: other readers may read it wrongly, or show it otherwise."""

import av
import numpy as np
from jaxtyping import Float64, Int

from lift_flax.video.picture import hdr, matrices

_CURVES = {8: "linear", 9: "logarithmic", 10: "logarithmic", 17: "SMPTE ST 428"}  # that no note of HDR covers
_NARROW = 64  # levels; a clip of deep pixels that fills no more of the 256 is told so


class Pictures:
    """The oddities of the frames of a video, gathered one by one."""

    def __init__(self) -> None:
        self.sizes: dict[tuple[int, int], None] = {}  # width and height as coded, in the order of coming
        self._notes: dict[str, None] = {}
        self._bits = 8

    def add(self, frame: av.VideoFrame, turns: int, mirrored: bool) -> None:
        """Takes a frame that differs from the one before in more than its pixels, or the first one."""
        self.sizes[frame.width, frame.height] = None
        components = frame.format.components
        if turns:
            self._note(f"rotated: {90 * turns} degrees clockwise")
        if mirrored:
            self._note("mirrored")
        if frame.width % 2 or frame.height % 2:
            self._note(f"odd size: {frame.width}x{frame.height}")
        if sum(not component.is_alpha for component in components) == 1 and frame.format.name != "pal8":
            self._note("grey")
        if any(component.is_alpha for component in components):
            self._note("alpha channel")
        if rare := matrices.note(frame):
            self._note(rare)
        if curve := hdr.curve(frame):
            self._note(f"HDR: {curve}, mapped to SDR")
        elif curve := _CURVES.get(int(frame.color_trc)):
            self._note(f"rare transfer curve: {curve}, not undone")
        if frame.interlaced_frame:
            self._note("interlaced: stored as it is")
        self._bits = max(self._bits, *(component.bits for component in components))

    def notes(self, levels: Int[np.ndarray, "256"]) -> list[str]:
        """All notes, given the number of pixels at each level of luma."""
        notes = list(self._notes)
        if len(self.sizes) > 1:
            notes.insert(0, "resolution changes: " + ", ".join(f"{width}x{height}" for width, height in self.sizes))
        if self._bits > 8:
            notes.append(f"more than 8 bits: {self._bits} a channel, scaled to 8{_narrow(levels)}")
        return notes

    def _note(self, words: str) -> None:
        self._notes[words] = None


def _narrow(levels: Int[np.ndarray, "256"]) -> str:
    """What to say of pixels that lie in a small part of their range, as those of thermal cameras do."""
    filled = np.flatnonzero(levels > 0.001 * levels.sum())
    width = int(filled[-1] - filled[0]) + 1 if filled.size else 256
    return f"; they fill {width} of its 256 levels" if width <= _NARROW else ""


def of_stream(stream: av.VideoStream) -> list[str]:
    """Notes on what the header says."""
    notes = []
    if (streams := len(stream.container.streams.video)) > 1:
        notes.append(f"several streams: {streams}, of which the main one is used")
    if (aspect := stream.sample_aspect_ratio) not in (None, 0, 1):
        notes.append(f"pixels not square: {aspect.numerator}:{aspect.denominator}, stored as they are")
    if stream.metadata.get("alpha_mode") == "1":
        notes.append("alpha channel")
    return notes


def of_rate(steps: Float64[np.ndarray, "M"]) -> list[str]:
    """Notes on a rate that varies, given the seconds from each frame to the next, without pauses."""
    if not steps.size or (steps.max() <= 1.5 * np.median(steps) and steps.min() >= 0.5 * np.median(steps)):
        return []
    return [f"variable frame rate: {1000 * steps.min():.0f} to {1000 * steps.max():.0f} ms a frame"]
