"""The things of an action: what a figure drinks from, pours, picks up, pushes or sits on."""

from dataclasses import dataclass

import numpy as np

from .actions import Style
from .pose import Body, Curves, Joints
from .render import Box, random_albedo


@dataclass(frozen=True)
class Props:
    """Things in daylight colours.

    Attributes:
        held: parts for `figure_render.join_capsules`.
        still: boxes that stay.
        moving: boxes of every frame, T lists.
    """

    held: list[tuple]
    still: list[Box]
    moving: list[list[Box]]


def make_props(
    action: str, curves: Curves, joints: Joints, root: np.ndarray, style: Style, body: Body, rng: np.random.Generator
) -> Props:
    """Cup, bottle, table, object, box or chair of an action, in the figure's own space.

    Args:
        action: name of the class.
        curves: of the action; those of the things (how far a bottle is tilted, say) are read here.
        joints: name -> [T,3] in metres.
        root: orientation of the figure, [T,3,3].
        style: of the performance.
        body: the proportions.
        rng: of the colours.
    """
    num_frames, h = len(joints["path"]), body.height
    main, other = ("l", "r") if style.side > 0 else ("r", "l")
    colour, held, still, moving = random_albedo(rng, 0.25, 0.8, 0.8), [], [], [[] for _ in range(num_frames)]

    def add(a, b, ra, rb, paint):
        radius = np.stack(np.broadcast_arrays(ra, rb, np.zeros(num_frames))[:2], -1)  # [T,2]
        held.append((a, b, radius, radius, paint))

    holder = other if action == "Pour" else main
    cup = joints[f"{holder}_hand"] + root @ [0, 0.02, 0.035]
    if action in ("Drink", "Pour"):
        tilt = np.deg2rad(np.broadcast_to(curves.get("cup_tilt", 0.0), num_frames))
        axis = np.einsum("tij,tj->ti", root, np.stack([0 * tilt, np.cos(tilt), -np.sin(tilt)], -1))
        add(cup - 0.04 * axis, cup + 0.05 * axis, 0.036, 0.045, colour)
    if action == "Pour":
        tilt = np.deg2rad(curves["bottle_tilt"])
        axis = np.einsum("tij,tj->ti", root, np.stack([-style.side * np.sin(tilt), np.cos(tilt), 0 * tilt], -1))
        grip, glass = joints[f"{main}_hand"] + root @ [0, 0, 0.04], random_albedo(rng, 0.2, 0.7, 0.8)
        add(grip - 0.1 * axis, grip + 0.08 * axis, 0.044, 0.042, glass)
        add(grip + 0.1 * axis, grip + 0.19 * axis, 0.022, 0.016, glass)
        mouth = grip + 0.2 * axis
        flow = np.where(tilt > 1.4, 0.009, 1e-4)
        add(mouth, np.stack([mouth[:, 0], cup[:, 1], mouth[:, 2]], -1), flow, flow, np.array([0.8, 0.85, 0.9]))
        table = np.array([0.34, 0.21 * h, 0.17])
        still.append(Box(np.array([0, table[1], 0.36 * h]), table, 0.0, random_albedo(rng, 0.1, 0.4, 0.5)))
    if action == "Pick":
        there = np.asarray(curves[f"{main}_reach"])[0] - [0, 0.035 * h, -0.02]
        taken = np.asarray(curves["taken"])[:, None]
        spot = np.where(taken, joints[f"{main}_hand"] - [0, 0.05, -0.02], there)
        add(spot - [0.05, 0, 0], spot + [0.05, 0, 0], 0.07, 0.07, colour)
        tall = there[1] - 0.06
        if tall > 0.08:
            half = np.array([0.17, tall / 2, 0.15])
            still.append(Box(np.array([there[0], tall / 2, there[2]]), half, 0.0, random_albedo(rng, 0.1, 0.4, 0.5)))
    if action == "Push":
        half = np.array([0.28, 0.32 * h, 0.26])
        for t, boxes in enumerate(moving):
            centre = joints["path"][t] + root[t] @ [0.0, half[1], 0.44 * h + 0.26]
            boxes.append(Box(centre, half, 0.0, colour * 0.6))
    if action in ("Sit", "Stand"):
        seated = -1 if action == "Sit" else 0
        still += _chair(joints["pelvis"][seated], 0.075 * h * body.build, random_albedo(rng, 0.08, 0.4, 0.6))
    return Props(held, still, moving)


def _chair(pelvis: np.ndarray, below: float, colour: np.ndarray) -> list[Box]:
    """A chair under a seated pelvis [3], its seat `below` metres under it."""
    x, seat, z = pelvis[0], pelvis[1] - below, pelvis[2] + 0.06
    parts = [((0, seat - 0.025, 0), (0.22, 0.025, 0.21)), ((0, seat + 0.32, -0.22), (0.21, 0.16, 0.018))]
    for sx in (-0.2, 0.2):
        parts += [((sx, seat / 2, sz), (0.02, seat / 2, 0.02)) for sz in (-0.2, 0.19)]
        parts.append(((sx, seat + 0.1, -0.22), (0.018, 0.1, 0.018)))
    return [Box(np.array([x, 0, z]) + place, np.array(half), 0.0, colour) for place, half in parts]
