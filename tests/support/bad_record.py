"""Records in which one clip does not decode: what a disk or another program may leave behind."""

import json
import shutil
from pathlib import Path

import tensorflow_datasets as tfds

from data_prep.sources.video_list import SourceClip, VideoList
from data_prep.staging import StagedClip
from data_prep.write_records import write_records


def with_bad_clip(records: Path, out: Path, clip_id: str, video: bytes) -> Path:
    """Copies records to `out`, with other bytes as the video of one clip.  Returns `out`."""
    shutil.copytree(records, out)
    report = json.loads((out / "prep_report.json").read_text())
    folds = json.loads((out / "folds.json").read_text())
    folder = out / report["records"]
    clips, staged = [], {}
    for number, record in enumerate(tfds.builder_from_directory(folder).as_data_source("all")):
        name = record["id"].decode()
        parts = {part: record[part] for part in ("video", "flow") if part in record}
        if name == clip_id:
            parts["video"] = video
        path = out / f"{number}.staged"
        path.write_bytes(b"{}\n" + b"".join(parts.values()))
        clips.append(SourceClip(path, int(record["label"]), name, record["group"].decode()))
        sizes = {part: len(data) for part, data in parts.items()}
        seconds = {name: float(record[name]) for name in ("fps", "seconds")}
        facts = {"num_frames": int(record["num_frames"]), "times": record["times"], **seconds}
        staged[name] = StagedClip(path, **facts, source=None, sizes=sizes)  # pyright: ignore[reportArgumentType]
    shutil.rmtree(folder)
    videos = VideoList(folds["classes"], clips, folds["folds"])
    shutil.move(write_records(report["source"], videos, staged, out / "again"), folder)
    return out
