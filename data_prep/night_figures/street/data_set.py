"""The scene set `street` on disk: which clips there are, and how each is filmed and written."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lift_flax.errors import UserError
from lift_flax.video.camera import Camera, expose
from lift_flax.video.gamma import LUMA

from ..scene import ClipPlan
from ..write import CLASSES, clip_file, encode_clip, exposure_of_film, write_clips
from .camera import expose_by
from .shot import compose, render_shot

VERSION = 1  # of the rendering: raise it when the same settings give other pictures
LEAST_CLIPS = 2 * len(CLASSES)
_TEST_SHARE = 0.1


def plan_street(seed: int, clips: int) -> list[ClipPlan]:
    """Plans the data set: a group is a place, in which every action happens once, so that it does not tell the class.

    A tenth of the places, one at least, is to test on; their groups are numbered after those of training.  Where
    `clips` is no multiple of eleven, the last place of training has some actions alone.

    Args:
      seed: determines all plans.
      clips: their number.

    Returns:
      The plans, train before test, by class and group.
    """
    test_places = max(1, round(_TEST_SHARE * clips / len(CLASSES)))
    of_training = clips - test_places * len(CLASSES)
    places = -(-of_training // len(CLASSES))
    order = np.random.default_rng(np.random.SeedSequence((seed, 0))).permutation(len(CLASSES))
    last = set(order[: of_training - (places - 1) * len(CLASSES)].tolist())  # classes of the last place of training
    plans = []
    for split, first, count in (("train", 1, places), ("test", places + 1, test_places)):
        for label, class_name in enumerate(CLASSES):
            for group in range(first, first + count):
                if group == places and label not in last:
                    continue
                own, scene = (
                    int(np.random.SeedSequence((seed, 1, group, part)).generate_state(1, np.uint64)[0])
                    for part in (label + 1, 0)
                )
                plans.append(
                    ClipPlan(f"{class_name}/{class_name}_{group}_1", class_name, label, group, split, own, scene)
                )
    return plans


def film(plan: ClipPlan, height: int, width: int) -> tuple[UInt8[np.ndarray, "T H W 3"], int]:
    """Films a clip; the same arguments give the same bytes.

    Args:
      plan: the clip.
      height: rows H in pixels.
      width: columns W in pixels.

    Returns:
      sRGB frames, uint8 [T,H,W,3], and frames per second.
    """
    shot, rng = compose(plan, height, width), np.random.default_rng((plan.seed, 1))
    linear, how = render_shot(shot, height, width), expose_by(rng, shot.place.day)
    camera = Camera(exposure_of_film(linear, how.luma), how.balance, how.full_well, how.read_noise)
    codes = expose(linear, camera, rng)
    if shot.place.warmth:  # infrared has no colours
        grey = np.rint(codes @ np.array(LUMA, np.float32))[..., None]
        codes = np.rint(codes + shot.place.warmth * (grey - codes)).astype(np.uint8)
    return codes, shot.fps


def write_street(
    out_dir: str | Path, *, seed: int = 0, clips: int = 1500, height: int = 120, workers: int | None = None
) -> None:
    """Writes the data set as `write.write_dataset` does: clips, lists in ARID's format, and the settings.

    Args:
      out_dir: folder of the data set, made if missing.
      seed: of the plan.
      clips: their number.
      height: rows in pixels, a multiple of 12; the width is 4/3 of it.
      workers: processes; as many as cores by default.

    Raises:
      UserError: a setting is out of range, or the folder holds a data set of other settings.
    """
    if clips < LEAST_CLIPS:
        raise UserError(f"clips={clips} is too few: {LEAST_CLIPS} are one of each action to train and one to test on")
    if height < 24 or height % 12:
        raise UserError(f"height={height} is not a multiple of 12; use 96 or 120, for example")
    settings = {"version": VERSION, "scenes": "street", "seed": seed, "clips": clips}
    settings |= {"height": height, "width": height * 4 // 3}
    write_clips(Path(out_dir), settings, plan_street(seed, clips), _make_clip, "street", workers)


def _make_clip(plan: ClipPlan, out_dir: Path, settings: dict[str, Any]) -> None:
    frames, fps = film(plan, settings["height"], settings["width"])
    encode_clip(frames, clip_file(out_dir, plan), fps)
