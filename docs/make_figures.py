"""Draws the pictures of the README and the notes:  python docs/make_figures.py

docs/figures/network.svg and .png: the network of the `paper` preset.  Every shape and count in it, and what is trained
or frozen, is asked of the code by shape evaluation, so the picture changes when the code does.
docs/figures/night_figures.png: the embedded data set, four actions in four lights.
docs/figures/street.png: its second scene set, eight clips.
docs/figures/augment.png: what each augmentation does to clips of it.
docs/figures/rooms.png: the rooms of the code and what they import (docs/rooms.py).
The picture of an answer needs a trained run: docs/answer.py.
"""

import dataclasses
import functools
import sys
from pathlib import Path

import jax
import numpy as np
from board import FAINT, FROZEN, PLAIN, TEXT, TRAINED, Board
from flax import nnx
from matplotlib import rc_context
from matplotlib.figure import Figure
from rooms import draw_rooms

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from configs import arid  # noqa: E402
from data_prep.night_figures import street, write  # noqa: E402
from data_prep.night_figures.scene import LIGHTS, ClipPlan  # noqa: E402
from lift_flax.augment import preview  # noqa: E402
from lift_flax.config import Config  # noqa: E402
from lift_flax.config_checks import from_dict  # noqa: E402
from lift_flax.models.build import make_student  # noqa: E402
from lift_flax.models.functional import count_parameters, create  # noqa: E402
from lift_flax.models.lift_net import LiftNet  # noqa: E402
from lift_flax.train.optim import split_params, trains_in_student_phase  # noqa: E402
from lift_flax.video import sampling  # noqa: E402
from lift_flax.video.gamma import gamma_table  # noqa: E402

FOLDER = ROOT / "docs" / "figures"
NUM_CLASSES = 11  # of ARID
MAIN, LUMINOUS = "#b9a3ff", "#ffe08a"  # arrows of the two streams
ACTIONS = {  # which of the action's clips is shown, and which of its frames
    "Jump": (4, [8, 10, 13]),
    "Pick": (1, [3, 10, 17]),
    "Sit": (4, [3, 10, 17]),
    "Wave": (1, [3, 10, 17]),
}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the code says about a network: counts and trained share by part, and the shapes between the parts."""

    config: Config
    counts: dict[str, int]
    trained: dict[str, float]
    shapes: dict[str, tuple[int, ...]]


def network_facts() -> Facts:
    """Builds the student of the `paper` preset without arrays, and measures it."""
    values = arid.get_config().to_dict()
    values["model"]["pvit"]["init_from"] = "only shapes are asked for"
    config = from_dict(values)
    make = functools.partial(make_student, config, NUM_CLASSES)
    params = jax.eval_shape(create(make, config.seed)[1])[0]
    trains = trains_in_student_phase(config)
    trainable, frozen = split_params(params, trains)
    level, main = params["levels"]["0"], params["main"]
    parts = {
        "all": params,
        "trained": trainable,
        "frozen": frozen,
        "pvit": main["pvit"],
        "project": {k: main[k] for k in ("project", "norm")},
        "trunk": params["trunk"],
        "level": level,
        "lift": level["lift"],
        "critic": level["critic"],
        "fusion": {k: level["fusion"][k] for k in ("attention", "norm")},
        "foe": level["fusion"]["foe"],
        "head": params["head"],
    }
    share = {f"block {i}": float(trains(f"main/pvit/blocks/{i}/norm1/scale")) for i in range(config.model.pvit.blocks)}
    for name, path in {"trunk": "trunk/stem_norm/scale", "level": "levels/0/lift/norm/scale"}.items():
        share[name] = float(trains(path))
    shapes = _shapes(config, nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    return Facts(config, {name: count_parameters(tree) for name, tree in parts.items()}, share, shapes)


def _shapes(config: Config, model: LiftNet) -> dict[str, tuple[int, ...]]:
    """Shapes of one clip's inputs, tokens and logits, and of the trunk's feature map."""
    frames, size, lit = config.data.num_frames, config.data.size, config.model.luminous.size
    dark = jax.ShapeDtypeStruct((1, frames, size, size, 3), np.float32)
    luminous = jax.ShapeDtypeStruct((1, frames, lit, lit, 3), np.float32)
    arrays = {"dark": dark, "luminous": luminous}
    arrays |= nnx.eval_shape(lambda m, *clips: m(*clips, train=False), model, dark, luminous)
    arrays |= {"features": nnx.eval_shape(lambda m, x: m(x, train=False)["features"], model.trunk, luminous)}
    return {name: array.shape[1:] for name, array in arrays.items()} | {"cls": (frames, config.model.pvit.dim)}


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)


def draw_network(facts: Facts) -> Figure:
    """The whole student from left to right: main stream above, luminous stream below, levels, head and losses."""
    board = Board(124, 72)
    counts = facts.counts
    board.text(2, 68.5, "LIFT-Net as it is built", 18, ha="left", weight="bold")
    size = f"{counts['all']:,} parameters at N = {facts.config.model.levels}, K = {NUM_CLASSES} classes"
    board.text(2, 64.9, size, 12, FAINT, ha="left")
    legend = (("trained", TRAINED, counts["trained"]), ("frozen", FROZEN, counts["frozen"]))
    for i, (word, colours, count) in enumerate(legend):
        board.box(79 + 23 * i, 67.4, 82 + 23 * i, 69.6, colours)
        board.text(83 + 23 * i, 68.5, f"{word}: {count:,}", 11.5, colours[0], ha="left")
    board.text(79, 64.9, "parameters, in the student's phase", 11, FAINT, ha="left")
    _draw_inputs(board, facts)
    _draw_trunks(board, facts)
    _draw_level(board, facts)
    _draw_losses(board, facts)
    return board.figure


def _draw_inputs(board: Board, facts: Facts) -> None:
    model = facts.config.model
    plan = next(p for p in write.plan_clips(0, 8, 2) if p.class_name == "Jump")
    dark = write.render_clip(plan, "dark", 120, 160, 24, 12.0)[[14, 8, 2], :, 20:140]
    board.cards(dark, 1.5, 44.5, 10.5, 10.5)
    board.cards(gamma_table(model.luminous.gamma)[dark], 1.5, 14.5, 10.5, 10.5)
    board.text(7.5, 59.3, "dark clip", 12, MAIN, weight="bold")
    board.text(6.8, 42.6, _times(facts.shapes["dark"]), 10)
    board.arrow((5, 41), (5, 29), colour=LUMINOUS, label=f"gamma\n{model.luminous.gamma}", at=(8.9, 35))
    board.text(6.8, 12.6, _times(facts.shapes["luminous"]), 10)
    board.text(7.5, 10.2, "luminous clip", 12, LUMINOUS, weight="bold")


def _draw_trunks(board: Board, facts: Facts) -> None:
    counts, shapes, pvit = facts.counts, facts.shapes, facts.config.model.pvit
    board.arrow((14.6, 50), (18, 50), colour=MAIN)
    board.box(18, 40, 32.4, 60, FROZEN)
    board.text(25.2, 57.8, "PViT", 14, weight="bold", zorder=4)
    width = 12.8 / pvit.blocks
    for i in range(pvit.blocks):
        left = 18.8 + i * width
        board.box(left + 0.2, 47.5, left + width - 0.2, 55.5, TRAINED if facts.trained[f"block {i}"] else FROZEN, z=3)
        board.text(left + width / 2, 51.5, str(i + 1), 12, weight="bold", zorder=5)
    board.text(25.2, 45.5, "ViT-B/16 blocks", 10.5, zorder=4)
    board.text(25.2, 43.6, "CLS of each frame", 10.5, zorder=4)
    board.text(25.2, 41.6, f"{counts['pvit']:,}", 11, FROZEN[0], weight="bold", zorder=4)
    board.arrow((32.4, 50), (39.6, 50), colour=MAIN, label=_times(shapes["cls"]), at=(35.9, 52))
    board.part(39.6, 43, 49.9, 57, TRAINED, "Project", ("Linear", "LayerNorm"), counts["project"])
    board.arrow((49.9, 50), (59, 50), colour=MAIN, label=_times(shapes["main_tokens"]), at=(53.4, 52))

    board.arrow((14.6, 20), (18, 20), colour=LUMINOUS)
    colours = TRAINED if facts.trained["trunk"] else FROZEN
    lines = ("trained as the", "teacher, shared")
    board.part(18, 11.5, 32.4, 28.5, colours, "R(2+1)D-34", lines, counts["trunk"])
    features = _times(shapes["features"][:2]) + "×\n" + _times(shapes["features"][2:])
    board.arrow((32.4, 20), (39.6, 20), colour=LUMINOUS, label=features, at=(35.9, 23.4))
    board.part(39.6, 14, 49.9, 26, PLAIN, "Pool", ("adaptive", "average"))
    board.arrow((49.9, 20), (59, 20), colour=LUMINOUS, label=_times(shapes["luminous_tokens"]), at=(53.4, 22))


def _draw_level(board: Board, facts: Facts) -> None:
    counts, levels = facts.counts, facts.config.model.levels
    colours = TRAINED if facts.trained["level"] else FROZEN
    for shift in (1.4, 0.7, 0):
        board.box(57 + shift, 9.5 + shift, 106 + shift, 60 + shift, (FAINT, "#1b2130"), z=1)
    board.text(58.5, 57.8, f"level, {levels} times", 13, ha="left", weight="bold", zorder=4)
    board.text(104.5, 57.8, f"{counts['level']:,} each", 11, colours[0], ha="right", weight="bold", zorder=4)
    board.part(58.5, 43.5, 72.2, 55.5, colours, "LIFT", ("x + LN(MSA(x))",), counts["lift"])
    lines = ("x + LN(MSA(x))", "x + LN(GELU(MLP(x)))")
    board.part(58.5, 12.5, 77, 27.5, colours, "Critic", lines, counts["critic"])
    board.part(76.8, 42, 89, 55.5, colours, "Fusion", ("LN(attention)", "+ luminous"), counts["fusion"])
    board.part(91.7, 42, 104.5, 55.5, colours, "FoE", ("FFT, + MLP, LN", "inverse FFT"), counts["foe"])
    board.arrow((72.2, 49.5), (76.8, 49.5), colour=MAIN, label="K, V", at=(74.4, 51.6))
    board.arrow((77, 22), (82.5, 22), (82.5, 42), colour=LUMINOUS, label="Q", at=(84.2, 33))
    board.arrow((89, 49.5), (91.7, 49.5))
    board.arrow((104.5, 49.5), (109.5, 49.5))
    board.text(97.5, 38.4, "to the next LIFT,\nat last to the head", 10.5, zorder=5, linespacing=1.3)
    board.arrow((77, 16.5), (106, 16.5), colour=LUMINOUS, label="to the next Critic", at=(96, 18.6))


def _draw_losses(board: Board, facts: Facts) -> None:
    lines = ("token mean", "Linear, GELU", "BatchNorm", "Linear")
    board.part(109.5, 41, 122.5, 58, TRAINED, "Head", lines, facts.counts["head"])
    board.arrow((116, 41), (116, 29), label=f"logits\nh2  [{_times(facts.shapes['logits'])}]", at=(119.8, 35))
    weight = facts.config.train.distill_weight
    times = "" if weight == 1 else f"{weight:g} · "
    rows = [("Loss", 14, TEXT, "bold"), ("cross-entropy", 10.5, TEXT, "normal")]
    rows += [(f"+ {times}Σ|h1 − h2|", 10.5, TEXT, "normal")]
    board.box(109.5, 16, 122.5, 29, PLAIN, rows)
    label = f"distillation: the teacher's logits  h1  [{_times(facts.shapes['teacher_logits'])}]"
    board.arrow((25.5, 11.5), (25.5, 4.5), (116, 4.5), (116, 16), colour=LUMINOUS, label=label, at=(70, 6.7))


def draw_night_figures() -> Figure:
    """Four actions, three moments of each, in four lights."""
    gamma = from_dict(arid.get_config("unfreeze=all").to_dict()).model.luminous.gamma
    table = gamma_table(gamma)
    plans = write.plan_clips(0, 8, 2)
    labels = ("dark", f"dark, gamma {gamma}", "same, by day", "same, in infrared")
    cell_w, cell_h, left, gap = 8.4, 10.4, 11.5, 1.6
    board = Board(left + 12 * cell_w + 4 * gap, 4 * (cell_h + 0.4) + 4.6)
    for row, label in enumerate(labels):
        board.text(
            left - 1, board.size[1] - 4 - (row + 0.5) * (cell_h + 0.4), label.replace(", ", ",\n"), 11.5, ha="right"
        )
    for column, (action, (number, moments)) in enumerate(ACTIONS.items()):
        plan = [p for p in plans if p.class_name == action][number]
        dark, day, infrared = _moments(plan, moments)
        start = left + column * (3 * cell_w + gap)
        board.text(start + 1.5 * cell_w, board.size[1] - 2, action, 14, weight="bold")
        for row, frames in enumerate((dark, table[dark], day, infrared)):
            top = board.size[1] - 4 - row * (cell_h + 0.4)
            for i, frame in enumerate(frames):
                box = (start + i * cell_w, start + (i + 1) * cell_w - 0.3, top - cell_h, top)
                board.axes.imshow(frame, extent=box, aspect="auto", interpolation="antialiased")
        board.keep_size()
    return board.figure


def _moments(plan: ClipPlan, indices: list[int]) -> list[np.ndarray]:
    """Frames of a clip in each light, cut to the figure (it glows in infrared): uint8 [T, H, W, 3] each."""
    clips = [write.render_clip(plan, light, 240, 320, 24, 8.0)[indices] for light in LIGHTS]
    columns = np.nonzero(clips[-1][..., 0] > 150)[2]
    left = int(np.clip((columns.min() + columns.max()) / 2 - 93, 0, 320 - 187))
    return [clip[:, :, left : left + 187] for clip in clips]


def draw_street() -> Figure:
    """Eight clips of the street, three moments of each."""
    plans = [plan for plan in street.plan_street(1, 110) if plan.split == "train"][::11]
    cell_w, cell_h, gap = 9.6, 7.2, 1.6
    board = Board(2 * (3 * cell_w + gap), 4 * (cell_h + 2.6))
    for number, plan in enumerate(plans[:8]):
        row, column = divmod(number, 2)
        frames = street.film(plan, 240, 320)[0]
        left, top = column * (3 * cell_w + gap), board.size[1] - row * (cell_h + 2.6) - 2
        board.text(left + 1.5 * cell_w, top + 0.9, plan.class_name, 11, weight="bold")
        for i, share in enumerate((0.25, 0.5, 0.75)):
            box = (left + i * cell_w, left + (i + 1) * cell_w - 0.3, top - cell_h, top)
            frame = frames[int(share * len(frames))]
            board.axes.imshow(frame, extent=box, aspect="auto", interpolation="antialiased")
        board.keep_size()
    return board.figure


def draw_augmentations() -> Figure:
    """Each augmentation on two dark clips of the embedded data set."""
    plans = {plan.class_name: plan for plan in write.plan_clips(0, 8, 2)}
    size = preview.SIZE
    width = size * 4 // 3
    y, x = sampling.crop_origin(size, width, size, 0.5, 0.5)
    filmed = [write.render_clip(plans[a], "dark", size, width, 24, 8.0) for a in ("Pick", "Jump")]
    shown = np.stack(filmed)[:, 3:19:2, y : y + size, x : x + size]  # [B, 8, size, size, 3]
    return preview.draw(shown, preview.preview_config())


def main() -> None:
    """Draws all."""
    FOLDER.mkdir(exist_ok=True)
    network = draw_network(network_facts())
    with rc_context({"svg.hashsalt": "lift_flax"}):
        network.savefig(FOLDER / "network.svg", metadata={"Date": None})
    network.savefig(FOLDER / "network.png", dpi=150)
    draw_night_figures().savefig(FOLDER / "night_figures.png", dpi=85)
    draw_street().savefig(FOLDER / "street.png", dpi=120)
    draw_augmentations().savefig(FOLDER / "augment.png", dpi=75)
    draw_rooms().savefig(FOLDER / "rooms.png", dpi=100)
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main()
