"""What tests of the build share: the command as a user types it, and the records that it wrote."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import tensorflow_datasets as tfds

from data_prep.sources.video_list import SourceClip, VideoList
from data_prep.staging import StagedClip
from data_prep.write_records import write_records
from tests import ROOT


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "data_prep.build", *map(str, args)]


def run_build(*args: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(command(*args), cwd=ROOT, capture_output=True, text=True, timeout=120)


def read_records(out: Path, name: str = "folder") -> dict[str, dict]:
    """Every record by id."""
    source = tfds.builder_from_directory(str(out / name / "1.0.0")).as_data_source("all")
    return {record["id"].decode(): record for record in source}


def whole_clips(folder: Path) -> dict[str, int]:
    """Staged clips and when they were written."""
    paths = folder.iterdir() if folder.is_dir() else []
    return {path.name: path.stat().st_mtime_ns for path in paths if not path.name.startswith(".")}


def with_bad_clip(records: Path, out: Path, clip_id: str, video: bytes) -> Path:
    """Copies records to `out`, with other bytes as the video of one clip: what a disk may leave.  Returns `out`."""
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
        staged[name] = StagedClip(path, **facts, source=None, flow_level=0.0, flow_seconds=0.0, sizes=sizes)  # pyright: ignore[reportArgumentType]
    shutil.rmtree(folder)
    videos = VideoList(folds["classes"], clips, folds["folds"])
    shutil.move(write_records(report["source"], videos, staged, out / "again"), folder)
    return out
