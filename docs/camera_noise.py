"""Draws the noise of real dark clips beside that of the camera model:  python docs/camera_noise.py FOLDER [--out=FILE]

FOLDER holds videos (in any depth).  Of the first frames of each, the noise of static places is measured by their level:
the deviation of the change from frame to frame, over the root of two, in sRGB codes of the green channel.  A place is
static if its mean does not move between the two halves.  The lines are the camera model (lift_flax/video/camera.py)
with different full wells; what a codec smooths away is not in it.
"""

import sys
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lift_flax import command_line
from lift_flax.errors import UserError
from lift_flax.video.camera import Camera, expose, to_linear
from lift_flax.video.decode import decode_frames

FRAMES, SIDE = 16, 240  # of each clip, and px of its shorter side
LEVELS = np.arange(0, 130, 4)  # codes at which noise is binned
WELLS, READ_NOISE = (5000, 20000, 40000), 3.0
ENDINGS = (".avi", ".mp4", ".mkv", ".mov", ".webm")


def noise_by_level(green: UInt8[np.ndarray, "T H W"]) -> np.ndarray:
    """The deviation of static places at each of `LEVELS`; NaN where there are too few."""
    x = green.astype(np.float32)
    half = len(x) // 2
    level, moved = x.mean(0), np.abs(x[:half].mean(0) - x[half:].mean(0))
    deviation = np.sqrt((np.diff(x, axis=0) ** 2).mean(0) / 2)  # [H, W]
    found = np.full(len(LEVELS), np.nan)
    bins = np.digitize(level, LEVELS) - 1
    for i in range(len(LEVELS)):
        here = (bins == i) & (moved < 1 + deviation)
        if here.sum() > 200:
            found[i] = np.median(deviation[here])
    return found


def modelled(well: float) -> np.ndarray:
    """The deviation that the camera model gives a grey field of each of `LEVELS`."""
    rng = np.random.default_rng(0)
    codes = np.broadcast_to(LEVELS[:, None, None, None].astype(np.uint8), (len(LEVELS), 64, 64, 3))
    frames = expose(to_linear(codes), Camera(full_well=well, read_noise=READ_NOISE), rng)
    return frames.astype(np.float32).std(axis=(1, 2, 3))


def main() -> None:
    """Measures, prints the medians and draws."""
    parser = command_line.parser(__doc__, "python docs/camera_noise.py")
    parser.add_argument("folder", type=Path, help="of videos")
    parser.add_argument("--out", type=Path, default=Path("camera_noise.png"), help="the picture")
    args = parser.parse_args()
    videos = sorted(path for path in args.folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if not videos:
        raise UserError(f"{args.folder} holds no videos: give a folder of {', '.join(ENDINGS)}")
    measured = np.stack([noise_by_level(decode_frames(v, np.arange(FRAMES), SIDE)[..., 1]) for v in videos])
    quartiles = np.full((3, len(LEVELS)), np.nan)
    for i in range(len(LEVELS)):
        if np.isfinite(measured[:, i]).sum() >= 5:
            quartiles[:, i] = np.nanpercentile(measured[:, i], (25, 50, 75))
    figure = Figure(figsize=(7, 4.4), layout="constrained", dpi=150)
    axes = figure.subplots()
    axes.fill_between(LEVELS, quartiles[0], quartiles[2], alpha=0.25, label=f"{len(videos)} clips, quartiles")
    axes.plot(LEVELS, quartiles[1], linewidth=2, label="median")
    for well in WELLS:
        axes.plot(LEVELS, modelled(well), linestyle="--", label=f"model, well of {well:,} electrons")
    axes.set(xlabel="level (sRGB code)", ylabel="noise (deviation in codes)", ylim=(0, 5))
    axes.legend()
    axes.grid(alpha=0.2)
    figure.savefig(args.out)
    for i, level in enumerate(LEVELS):
        print(f"level {level:3d}: measured {quartiles[1, i]:.2f}, " + ", ".join(
            f"well {well} {modelled(well)[i]:.2f}" for well in WELLS))  # fmt: skip


if __name__ == "__main__":
    main()
