"""Draws the embedded data set and reads it as ARID's, whose layout and lists it has."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from lift_flax.files import only_writer

from ..night_figures import street, write
from . import arid
from .video_list import VideoList

VERSIONS = {"room": write.VERSION, "street": street.VERSION}  # of each scene set


def read(out: Path, old: dict[str, Any] | None, *, workers: int, scenes: str = "room", **drawing: Any) -> VideoList:
    """Draws the videos that are missing in `out/videos` and reads them.

    Args:
      out: folder of the records.
      old: `prep_report.json` of an older build in that folder; its videos are removed if they were drawn otherwise.
      workers: number of processes.
      scenes: the scene set, room or street.
      drawing: settings of `write.write_dataset`, or of `street.write_street`.

    Raises:
      UserError: a setting is out of range, or another process writes to `out`.
    """
    videos = out / "videos"
    with only_writer(out / ".staging", "--out"):
        if old is not None and old["source"] == "night_figures":
            settings = {**drawing, "version": VERSIONS[scenes]} | ({} if scenes == "room" else {"scenes": scenes})
            if any(old["settings"].get(key) != value for key, value in settings.items()):
                shutil.rmtree(videos, ignore_errors=True)
        draw = write.write_dataset if scenes == "room" else street.write_street
        draw(videos, **drawing, workers=workers)
    listed = arid.read(videos, videos / "clips")
    # A scene serves several classes: its number alone is the group.
    clips = [dataclasses.replace(clip, group=clip.group.rsplit("_", 1)[-1]) for clip in listed.clips]
    return dataclasses.replace(listed, clips=clips)
