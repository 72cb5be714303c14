"""Clips of T frames in a row (`data.sampling=window`): how they are taken, and how many of them answer for a video."""

from lift_flax.config import Config
from lift_flax.data.records import Records
from lift_flax.errors import UserError
from lift_flax.video.sampling import FrameWindow


def frame_window(config: Config) -> FrameWindow | None:
    """How T frames in a row are taken; None spreads them over the whole clip."""
    data = config.data
    return FrameWindow(data.stride, data.window_seconds, data.short) if data.sampling == "window" else None


def usual_views(config: Config) -> str:
    """The clips x crops of a video that answer for it, where nothing else is asked for."""
    return f"{config.data.test_windows}x1"


def usual_average(config: Config) -> str:
    """What is averaged over them (`metrics.average_views`): of windows their probabilities, as for videos."""
    return "softmax" if config.data.sampling == "window" else "logits"


def check_windows(records: Records, config: Config, otherwise: str) -> None:
    """Raises UserError if `config` takes frames in a row, and the records lack some.

    Args:
      otherwise: what to do instead of building them again.
    """
    if config.data.sampling != "window" or records.all_frames:
        return
    lacking = [one for one in records.folders or (records,) if not one.all_frames]
    raise UserError(
        f"{lacking[0].dir} holds {lacking[0].prepared['max_frames']} frames of a long video, and config.data.sampling="
        f"window takes frames in a row: build it again with --max-frames=all --overwrite, or {otherwise}"
    )
