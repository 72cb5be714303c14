"""Draws the picture of an answer, docs/figures/answer.png:  python docs/answer.py RUN

RUN is a trained run on night_figures, such as that of `make demo`.  The clip is rendered from another seed than the
demo's; the network sees it for the first time.  From above: what the camera recorded, the same frames gamma-corrected,
and what `explain` lays over them: space-time attention and class activation.  On the right the answer of `predict`.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
from board import FAINT, PLAIN, TEXT, TRAINED, Board
from jaxtyping import UInt8
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import lift_flax  # noqa: E402
from data_prep.night_figures import write  # noqa: E402
from lift_flax.explain.explainer import Explanation  # noqa: E402
from lift_flax.explain.pictures import Overlays  # noqa: E402
from lift_flax.video import sampling  # noqa: E402
from lift_flax.video.gamma import light  # noqa: E402

SEED, ACTION, NUMBER = 7, "Wave", 0  # which clip
HEIGHT, WIDTH, FRAMES, PACE = 240, 320, 24, 12.0
SHOWN = 6  # frames
ROWS = {"dark": "dark clip", "frames": "gamma-corrected", "attention": "attention", "activation": "activation"}


def render() -> UInt8[np.ndarray, "T H W 3"]:
    """The clip, as the camera recorded it."""
    plans = [plan for plan in write.plan_clips(SEED, 2, 4) if plan.split == "test" and plan.class_name == ACTION]
    return write.render_clip(plans[NUMBER], "dark", HEIGHT, WIDTH, FRAMES, PACE)


def draw_answer(
    frames: UInt8[np.ndarray, "T H H 3"], lit: UInt8[np.ndarray, "T H H 3"], explanation: Explanation, answer
) -> Figure:
    """Rows of frames beside the five likeliest classes.

    Args:
      frames: those that the network read, before its scaling; square.
      lit: the same, gamma-corrected.
      explanation: of this clip.
      answer: of this clip.
    """
    overlays = Overlays(dataclasses.replace(explanation, frames=lit), len(frames[0]))
    cell, gap, left = 14.0, 0.5, 20.0
    panel = left + SHOWN * (cell + gap) + 2
    board = Board(panel + 31, len(ROWS) * (cell + gap) + 3.5)
    columns = sampling.eval_indices(len(frames), SHOWN)
    for row, (name, head) in enumerate(ROWS.items()):
        top = board.size[1] - 1.5 - row * (cell + gap)
        board.text(left - 1.5, top - cell / 2, head, 13, TEXT if row < 2 else TRAINED[0], ha="right")
        for column, t in enumerate(columns):
            picture = frames[t] if name == "dark" else overlays.painted(name, int(t))
            x = left + column * (cell + gap)
            board.axes.imshow(picture, extent=(x, x + cell, top - cell, top), aspect="auto")
    board.keep_size()
    _draw_classes(board, panel, answer)
    return board.figure


def _draw_classes(board: Board, left: float, answer) -> None:
    top = board.size[1] - 6
    board.text(left, top, answer.label, 26, ha="left", weight="bold")
    board.text(left, top - 5, f"{100 * answer.probability:.1f} %", 18, TRAINED[0], ha="left")
    shares = zip(answer.classes, answer.probabilities, strict=True)
    likeliest = sorted(shares, key=lambda item: -item[1])[:5]
    for row, (name, share) in enumerate(likeliest):
        y = top - 14 - row * 6.5
        board.text(left, y + 2.2, name, 12, TEXT if row == 0 else FAINT, ha="left")
        board.text(left + 28, y + 2.2, f"{100 * share:.1f} %", 12, TEXT if row == 0 else FAINT, ha="right")
        for length, colour in ((28.0, PLAIN[1]), (28 * share, TRAINED[0] if row == 0 else PLAIN[0])):
            board.axes.barh(y, length, height=1.6, left=left, color=colour)
    board.keep_size()


def main() -> None:
    """Renders the clip, asks the run, draws."""
    run = lift_flax.load(sys.argv[1])
    clip = render()
    answer, explanation = run(clip), run.explain(clip)
    config = run.trained.config.data
    read = clip[sampling.eval_indices(len(clip), config.num_frames)]
    y, x = sampling.crop_origin(HEIGHT, WIDTH, HEIGHT, 0.5, 0.5)
    read = read[:, y : y + HEIGHT, x : x + HEIGHT]
    luminous = run.trained.config.model.luminous
    lit = light(read, luminous.gamma, luminous.gamma_target)
    figure = draw_answer(read, lit, explanation, answer)
    path = ROOT / "docs" / "figures" / "answer.png"
    figure.savefig(path, dpi=85)
    print(f"{path.relative_to(ROOT)}: {answer.label} {100 * answer.probability:.1f} %, acted was {ACTION}")


if __name__ == "__main__":
    main()
