"""A picture of what each augmentation does to real clips, at the default ranges of lift_flax/config.py.

    python -m lift_flax.augment --preview=FILE.png [--videos FILE FILE ... | --records DIR]

A row for each augmentation, forced on and alone, then all of them together; CutMix takes its box from the clip before.
Clips filmed in the dark are shown lifted by gamma 2.4.  Without a source it takes the records of `make demo`.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from lift_flax import command_line, presets
from lift_flax.augment import streams
from lift_flax.augment.stages import STAGES
from lift_flax.config import AUGMENTATIONS, Augment, Config
from lift_flax.config_checks import from_dict
from lift_flax.data.batches import read_eval_examples
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.files import refuse_existing, replacing
from lift_flax.video import sampling
from lift_flax.video.decode import VideoError, count_frames, decode_frames
from lift_flax.video.gamma import gamma_table
from lift_flax.video.inspection import coder_errors

DEMO = Path("runs/demo/dark")
NUM_FRAMES, SIZE = 8, 224
NUM_CLIPS = 3
SHOWN = (2, 3, 4, 5)  # frames of each clip
DARK, LIFT = 64, 2.4  # mean level of 255 below which a clip is shown lifted, and the gamma of that
CELL, GAP, LABELS = 1.05, 0.1, 2.6  # inches
GROUND, TEXT, FAINT = "#151a25", "#edeff5", "#9aa5ba"


def main() -> None:
    """The command line."""
    parser = command_line.parser("Draws what each augmentation does.", "python -m lift_flax.augment")
    parser.add_argument("--preview", type=Path, required=True, metavar="FILE.png", help="picture to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the picture where it exists")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--videos", type=Path, nargs="+", metavar="FILE", help="two or more videos")
    source.add_argument("--records", type=Path, metavar="DIR", help="folder written by `lift-flax build`")
    args = parser.parse_args()
    refuse_existing(args.preview, overwrite=args.overwrite)
    config = preview_config()
    if args.videos:
        shown = read_videos(args.videos)
    elif args.records or DEMO.is_dir():
        shown = read_records(args.records or DEMO, config)
    else:
        raise UserError(f"{DEMO} is not there: give clips to draw with --videos FILE FILE ... or --records DIR")
    print(f"drawing {len(shown)} clips; compiling takes about half a minute ...", flush=True)
    try:
        with replacing(args.preview) as part:
            draw(shown, config).savefig(part, dpi=110, format=args.preview.suffix[1:])
    except (OSError, ValueError) as error:  # no such folder, or no such picture format
        raise UserError(f"--preview={args.preview} cannot be written: {error}") from error
    print(f"{args.preview}: {len(shown)} clips, each augmentation alone and all together")


def preview_config() -> Config:
    """The defaults, for clips of 8 frames."""
    values = presets.get_config("unfreeze=all").to_dict()
    values["data"].update(num_frames=NUM_FRAMES, size=SIZE)
    return from_dict(values)


def read_videos(paths: list[Path]) -> UInt8[np.ndarray, "B T H W 3"]:
    """The first clips, as evaluation would see them.  Raises UserError where one does not decode."""
    if len(paths) < 2:
        raise UserError("--videos needs two files or more: CutMix mixes a clip with the one before it")
    shown = []
    for path in paths[:NUM_CLIPS]:
        try:
            with coder_errors():
                frames = decode_frames(path, sampling.eval_indices(count_frames(path), NUM_FRAMES), SIZE)
        except VideoError as error:
            raise UserError(f"{path} cannot be used ({error}): give another video") from error
        height, width = frames.shape[1:3]
        y, x = sampling.crop_origin(height, width, SIZE, 0.5, 0.5)
        shown.append(frames[:, y : y + SIZE, x : x + SIZE])
    return np.stack(shown)


def read_records(folder: Path, config: Config) -> UInt8[np.ndarray, "B T H W 3"]:
    """The first clip of each of the first classes.  Raises UserError where the records cannot be read."""
    records = open_records(str(folder))
    first: dict[int, str] = {}
    for clip_id, entry in records.index.items():
        first.setdefault(entry.label, clip_id)
    ids = [first[label] for label in sorted(first)][:NUM_CLIPS]
    if len(ids) < 2:
        raise UserError(f"{folder} has clips of one class only: give clips to draw with --videos FILE FILE ...")
    return np.stack([example["clip"] for example in read_eval_examples(records, config, ids)])  # [B, T, H, W, 3]


def draw(shown: UInt8[np.ndarray, "B T H W 3"], config: Config) -> Figure:
    """The picture: a row for the clips as they are, for each augmentation, and for all together."""
    ranges, key = config.augment, jax.random.key(config.seed)
    alone = [((name,), name, text) for name, text in _texts(ranges).items()]
    lift = shown.mean(axis=(1, 2, 3, 4)) < DARK
    text = f"frames {SHOWN[0] + 1} to {SHOWN[-1] + 1} of {NUM_FRAMES}"
    if lift.any():
        text += f",\ndark clips shown after gamma {LIFT:g}"
    rows = [((), "as it is", text)] + alone + [(AUGMENTATIONS, "all", "")]
    width = LABELS + len(shown) * (len(SHOWN) * CELL + GAP)
    figure = Figure(figsize=(width, len(rows) * (CELL + GAP) + GAP), facecolor=GROUND)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(len(rows) * (CELL + GAP) + GAP, 0))
    axes.set_axis_off()
    for row, (names, title, text) in enumerate(rows):
        top = GAP + row * (CELL + GAP)
        axes.text(0.12, top + 0.22, title, color=TEXT, size=11, weight="bold", va="center")
        axes.text(0.12, top + 0.36, text, color=FAINT, size=8, va="top", linespacing=1.3)
        for column, clip in enumerate(augmented(shown, names, config, key)):
            frames = gamma_table(LIFT)[clip] if lift[column] else clip
            strip = np.concatenate(list(frames[list(SHOWN)]), axis=1)  # [T, H, W, 3] -> [H, T W, 3]
            left = LABELS + column * (len(SHOWN) * CELL + GAP)
            extent = (left, left + len(SHOWN) * CELL, top + CELL, top)
            axes.imshow(strip, extent=extent, aspect="auto", interpolation="antialiased")
    axes.set(xlim=(0, width), ylim=(len(rows) * (CELL + GAP) + GAP, 0))
    return figure


def augmented(
    shown: UInt8[np.ndarray, "B T H W 3"], names: tuple[str, ...], config: Config, key: jax.Array
) -> UInt8[np.ndarray, "B T H W 3"]:
    """The dark training frames with the augmentations `names` forced on and no other."""
    probabilities = {name: float(name in names) for name in AUGMENTATIONS}
    config = dataclasses.replace(config, augment=dataclasses.replace(config.augment, **probabilities))
    count = len(shown)
    batch = {"clip": jnp.asarray(shown), "label": jnp.arange(count), "weight": jnp.ones(count)}
    return np.asarray(streams.make_train_streams(batch, key, config, count)["dark"])


def _texts(ranges: Augment) -> dict[str, str]:
    """For each augmentation its probability and range."""
    texts = {name: text(ranges) for stage in STAGES for name, text in stage.texts.items()}
    return {name: f"probability {getattr(ranges, name):g}\n{texts[name]}" for name in AUGMENTATIONS}
