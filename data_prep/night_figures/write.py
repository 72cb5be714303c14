"""The embedded data set: ARID's eleven actions, performed by a rendered figure in the dark.

Tests and the demo need dark video without a download.  Every clip is planned from a seed, performed by a figure with
its own proportions and clothes in its own room, photographed by the low-light camera, and written as H.264 in the
layout and list format of ARID.  The same plan in daylight and in infrared is the same performance in another light.
"""

import json
import math
import os
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from rich.console import Console

from lift_flax.errors import UserError
from lift_flax.files import replacing, write_text
from lift_flax.video import encode
from lift_flax.video.camera import Camera, expose, exposure_for
from lift_flax.video.decode import VideoError
from lift_flax.video.guarded import pool

from ..progress import counting
from .actions import ACTIONS
from .scene import LIGHTS, ClipPlan, make_scene, render_scene

CLASSES = tuple(sorted(ACTIONS))
CLIPS_PER_GROUP = 2
SCENES_PER_CLASS_GROUP = 2.4  # scenes to deal from, for each group of a class: a scene serves several classes
SETTINGS_FILE = "night_figures.json"
_TIME_LIMIT = 600  # seconds for one clip
VERSION = 3  # of the rendering: raise it when the same settings give other pictures


def plan_clips(seed: int, train_per_class: int, test_per_class: int) -> list[ClipPlan]:
    """Plans the data set.

    A group is a scene (room, actor, clothes, base viewpoint, illumination).  Several classes share a scene, so that the
    room does not give the action away.  Training and test clips share no scene, and test groups are numbered after the
    training groups.

    Args:
      seed: determines all plans.
      train_per_class: training clips of each class.
      test_per_class: test clips of each class.

    Returns:
      The plans, train before test, by class, group and clip.
    """
    plans, first_group = [], 1
    for part, (split, count) in enumerate((("train", train_per_class), ("test", test_per_class))):
        rng = np.random.default_rng(np.random.SeedSequence((seed, part)))
        groups = math.ceil(count / CLIPS_PER_GROUP)
        pool = math.ceil(groups * SCENES_PER_CLASS_GROUP)
        rounds = math.ceil(len(CLASSES) * groups / max(pool, 1)) + 2
        deck = np.concatenate([rng.permutation(pool) for _ in range(rounds)])
        for label, class_name in enumerate(CLASSES):
            hand, deck = _deal(deck, groups)
            for index in range(count):
                group = first_group + int(hand[index // CLIPS_PER_GROUP])
                take = index % CLIPS_PER_GROUP + 1
                name = f"{class_name}/{class_name}_{group}_{take}"
                scene = np.random.SeedSequence((seed, part, group)).generate_state(1, np.uint64)[0]
                own = np.random.SeedSequence((seed, part, group, label + 1, take)).generate_state(1, np.uint64)[0]
                plans.append(ClipPlan(name, class_name, label, group, split, int(own), int(scene)))
        first_group += pool
    return plans


def _deal(deck: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Takes `count` different scenes from the top of the deck; returns them sorted, and the rest."""
    places = np.sort(np.unique(deck, return_index=True)[1])[:count]
    return np.sort(deck[places]), np.delete(deck, places)


def render_clip(
    plan: ClipPlan, light: str, height: int, width: int, num_frames: int, fps: float
) -> UInt8[np.ndarray, "T H W 3"]:
    """Films a clip; the same arguments give the same bytes.

    Args:
      plan: the clip.
      light: "dark", "day" or "infrared"; performance and view do not depend on it.
      height: rows H in pixels.
      width: columns W in pixels.
      num_frames: T.
      fps: frames per second.

    Returns:
      sRGB frames, uint8 [T,H,W,3].

    Raises:
      ValueError: an unknown light.
    """
    if light not in LIGHTS:
        raise ValueError(f"light is one of {', '.join(LIGHTS)}, not {light!r}")
    linear, scene = render_scene(plan, light, height, width, num_frames, fps), make_scene(plan.scene_seed)
    rng = np.random.default_rng((plan.seed, 3))
    luma = {"dark": scene.luma, "day": 95 + 1.2 * scene.luma, "infrared": 0.0}[light] * math.exp(rng.normal(0, 0.06))
    if light == "infrared":
        codes = expose(linear[..., :1], Camera(1.0, (1.0,), full_well=2500.0, read_noise=6.0), rng)
        return np.repeat(codes, 3, axis=-1)  # [T,H,W,1] -> [T,H,W,3]
    well, read = (8000.0, 3.0) if light == "dark" else (20000.0, 4.0)
    return expose(linear, Camera(exposure_of_film(linear, luma), scene.balance, well, read), rng)


def exposure_of_film(linear: Float32[np.ndarray, "T H W 3"], luma: float) -> float:
    """The exposure that gives frames [T,H,W,3] the mean luma `luma` (0 to 255), by a sample of their pixels."""
    return exposure_for(linear[::6, 1::3, 1::3], luma)


def clip_frames(plan: ClipPlan, num_frames: tuple[int, int]) -> int:
    """The length of a clip, drawn from its own seed between the two bounds, both included."""
    return int(np.random.default_rng((plan.seed, 4)).integers(num_frames[0], num_frames[1] + 1))


def encode_clip(frames: UInt8[np.ndarray, "T H W 3"], path: Path, fps: int) -> None:
    """Writes frames, uint8 [T,H,W,3], as H.264 at CRF 12, which keeps dark detail; the file is whole or missing.

    The fastest preset takes less than half the time of `veryfast`, for the same PSNR and half as many bytes again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    video = encode.h264(encode.rgb_frames(frames), fps=Fraction(fps), crf=12, preset="ultrafast")
    with replacing(path) as part:
        part.write_bytes(video)


def write_dataset(
    out_dir: str | Path,
    *,
    light: str = "dark",
    seed: int = 0,
    train_per_class: int = 60,
    test_per_class: int = 12,
    height: int = 120,
    num_frames: tuple[int, int] = (36, 48),
    fps: int = 20,
    workers: int | None = None,
) -> None:
    """Writes the data set: `clips/Class/Class_g_k.mp4`, lists in ARID's format, and a file with the settings.

    A call that was stopped can be repeated: it makes the missing clips.  The files do not depend on the number of
    workers.

    Args:
      out_dir: folder of the data set, made if missing.
      light: "dark", "day" or "infrared".
      seed: of the plan.
      train_per_class: training clips of each of the eleven classes.
      test_per_class: test clips of each class.
      height: rows in pixels, a multiple of 12; the width is 4/3 of it.
      num_frames: least and most frames of a clip.
      fps: frames per second.
      workers: processes; as many as cores by default.

    Raises:
      UserError: a setting is out of range, or the folder holds a data set of other settings.
    """
    out_dir = Path(out_dir)
    settings = {"version": VERSION, "light": light, "seed": seed, "train_per_class": train_per_class}
    settings |= {"test_per_class": test_per_class, "height": height, "width": height * 4 // 3}
    settings |= {"num_frames": [*num_frames], "fps": fps}
    _check(settings)
    write_clips(out_dir, settings, plan_clips(seed, train_per_class, test_per_class), _make_clip, light, workers)


def write_clips(
    out_dir: Path,
    settings: dict[str, Any],
    plans: list[ClipPlan],
    make_clip: Callable[[ClipPlan, Path, dict[str, Any]], None],
    shown: str,
    workers: int | None,
) -> None:
    """Writes settings and lists, and the clips that are missing.

    Args:
      out_dir: folder of the data set, made if missing.
      settings: that the clips depend on, as JSON.
      plans: of all clips.
      make_clip: writes the clip of a plan below `out_dir` with these settings, in another process.
      shown: what the bar of progress says of them.
      workers: processes; as many as cores by default.

    Raises:
      UserError: the folder holds a data set of other settings, or a clip cannot be drawn.
    """
    _settle(out_dir, settings)
    _write_lists(out_dir, plans)
    for part in out_dir.glob("clips/*/.*.part*"):  # of a run that was killed
        part.unlink()
    missing = [plan for plan in plans if not clip_file(out_dir, plan).exists()]
    tasks = {plan.name: (plan, out_dir, settings) for plan in missing}
    workers = workers or len(os.sched_getaffinity(0))
    with counting(f"drawing night_figures ({shown})", len(missing), Console(file=sys.stdout)) as advance:
        for name, result in pool.run_each(make_clip, tasks, workers=workers, time_limit=_TIME_LIMIT):
            if isinstance(result, VideoError):
                raise UserError(f"{name} cannot be drawn ({result}); run the same command again (what is done is kept)")
            advance()


def clip_file(out_dir: Path, plan: ClipPlan) -> Path:
    """Where the clip of a plan lies."""
    return out_dir / "clips" / f"{plan.name}.mp4"


def _check(settings: dict) -> None:
    """Raises UserError for a setting that is out of range."""
    low, high = settings["num_frames"]
    if settings["light"] not in LIGHTS:
        raise UserError(f"light={settings['light']} is unknown; use one of {', '.join(LIGHTS)}")
    if settings["height"] < 24 or settings["height"] % 12:
        raise UserError(f"height={settings['height']} is not a multiple of 12; use 120 or 240, for example")
    names = ("num_frames", "fps", "seed", "train_per_class", "test_per_class")
    if not 2 <= low <= high or settings["fps"] < 1 or min(settings[name] for name in names[2:]) < 0:
        shown = ", ".join(f"{name}={settings[name]}" for name in names)
        raise UserError(f"one of {shown} is out of range; use at least 2 frames, 1 frame per second and 0 clips")


def _settle(out_dir: Path, settings: dict) -> None:
    """Writes the settings into the folder, or checks that its clips were made with them.

    Raises:
      UserError: the folder holds something else.
    """
    note = out_dir / SETTINGS_FILE
    if out_dir.exists() and not out_dir.is_dir():
        raise UserError(f"{out_dir} is a file; choose a folder")
    if not note.exists():
        if (out_dir / "clips").exists():
            raise UserError(f"{out_dir} holds clips that night_figures did not make; choose another folder")
        out_dir.mkdir(parents=True, exist_ok=True)
        write_text(note, json.dumps(settings, indent=1) + "\n")
        return
    try:
        old = json.loads(note.read_text())
    except ValueError:
        raise UserError(f"{note} is damaged; delete {out_dir} or choose another folder") from None
    differ = [name for name in settings if not isinstance(old, dict) or old.get(name) != settings[name]]
    if differ:
        raise UserError(
            f"{out_dir} was made with other settings ({', '.join(differ)}); delete it or choose another folder"
        )


def _write_lists(out_dir: Path, plans: list[ClipPlan]) -> None:
    for split in ("train", "test"):
        rows = [plan for plan in plans if plan.split == split]
        lines = [f"{number}\t{plan.label}\t{plan.name}.mp4\n" for number, plan in enumerate(rows)]
        write_text(out_dir / f"ARID_split1_{split}.txt", "".join(lines))
    write_text(out_dir / "mapping_table.txt", "".join(f"{label}\t{name}\n" for label, name in enumerate(CLASSES)))


def _make_clip(plan: ClipPlan, out_dir: Path, settings: dict) -> None:
    height = settings["height"]
    frames = clip_frames(plan, tuple(settings["num_frames"]))
    video = render_clip(plan, settings["light"], height, settings["width"], frames, settings["fps"])
    encode_clip(video, clip_file(out_dir, plan), settings["fps"])
