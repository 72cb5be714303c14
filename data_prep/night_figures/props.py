"""The things of an action: a figure drinks from them, pours, picks up, pushes or sits on them."""

from dataclasses import dataclass

import numpy as np

from .actions import Style
from .pose import Body, Curves, Joints
from .render import Cuboid, random_albedo


@dataclass(frozen=True)
class Props:
    """Things in daylight colours.

    Attributes:
      held: parts for `render.join_capsules`.
      still: boxes that stay.
      moving: boxes of every frame, T lists.
    """

    held: list[tuple]
    still: list[Cuboid]
    moving: list[list[Cuboid]]


def make_props(
    action: str, curves: Curves, joints: Joints, root: np.ndarray, style: Style, body: Body, rng: np.random.Generator
) -> Props:
    """Makes the cup, bottle, table, object, box or chair of an action, in the figure's own space.

    Args:
      action: name of the class.
      curves: of the action, among them those of the things, such as the tilt of a bottle.
      joints: name -> [T,3] in metres.
      root: orientation of the figure, [T,3,3].
      style: of the performance.
      body: the proportions.
      rng: of the colours.
    """
    colour = random_albedo(rng, 0.25, 0.8, 0.8)
    main, other = ("l", "r") if style.side > 0 else ("r", "l")
    props = Props([], [], [[] for _ in joints["path"]])
    if action == "Drink":
        _add_cup(props, curves, joints[f"{main}_hand"], root, colour)
    elif action == "Pour":
        cup = _add_cup(props, curves, joints[f"{other}_hand"], root, colour)
        _add_bottle(props, curves, joints[f"{main}_hand"], root, style, cup, rng)
        table = np.array([0.34, 0.21 * body.height, 0.17])
        centre = np.array([0, table[1], 0.36 * body.height])
        props.still.append(Cuboid(centre, table, 0.0, random_albedo(rng, 0.1, 0.4, 0.5)))
    elif action == "Pick":
        _add_object(props, curves, joints, main, body.height, colour, rng)
    elif action == "Push":
        half = np.array([0.28, 0.32 * body.height, 0.26])
        for t, boxes in enumerate(props.moving):
            centre = joints["path"][t] + root[t] @ [0.0, half[1], 0.44 * body.height + 0.26]
            boxes.append(Cuboid(centre, half, 0.0, colour * 0.6))
    elif action in ("Sit", "Stand"):
        seated = joints["pelvis"][-1 if action == "Sit" else 0]
        props.still.extend(_chair(seated, 0.075 * body.height * body.build, random_albedo(rng, 0.08, 0.4, 0.6)))
    return props


def _capsule(a: np.ndarray, b: np.ndarray, ra, rb, colour: np.ndarray) -> tuple:
    """A part from `a` to `b` [T,3] of radii `ra` and `rb` in metres."""
    radius = np.stack(np.broadcast_arrays(ra, rb, np.zeros(len(a)))[:2], -1)  # [T,2]
    return a, b, radius, radius, colour


def _add_cup(props: Props, curves: Curves, hand: np.ndarray, root: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Puts a cup into a hand [T,3]; returns its place [T,3]."""
    tilt = np.deg2rad(np.broadcast_to(curves.get("cup_tilt", 0.0), len(hand)))
    axis = np.einsum("tij,tj->ti", root, np.stack([0 * tilt, np.cos(tilt), -np.sin(tilt)], -1))
    cup = hand + root @ [0, 0.02, 0.035]
    props.held.append(_capsule(cup - 0.04 * axis, cup + 0.05 * axis, 0.036, 0.045, colour))
    return cup


def _add_bottle(props: Props, curves: Curves, hand: np.ndarray, root, style: Style, cup: np.ndarray, rng) -> None:
    """Puts a bottle into a hand [T,3], and water from it to the cup [T,3] while it is tilted."""
    tilt = np.deg2rad(curves["bottle_tilt"])
    axis = np.einsum("tij,tj->ti", root, np.stack([-style.side * np.sin(tilt), np.cos(tilt), 0 * tilt], -1))
    grip, glass = hand + root @ [0, 0, 0.04], random_albedo(rng, 0.2, 0.7, 0.8)
    mouth = grip + 0.2 * axis
    flow = np.where(tilt > 1.4, 0.009, 1e-4)
    props.held.extend([
        _capsule(grip - 0.1 * axis, grip + 0.08 * axis, 0.044, 0.042, glass),
        _capsule(grip + 0.1 * axis, grip + 0.19 * axis, 0.022, 0.016, glass),
        _capsule(mouth, np.stack([mouth[:, 0], cup[:, 1], mouth[:, 2]], -1), flow, flow, np.array([0.8, 0.85, 0.9])),
    ])  # fmt: skip


def _add_object(props: Props, curves: Curves, joints: Joints, main: str, h: float, colour: np.ndarray, rng) -> None:
    """Puts an object on the floor or on a pedestal, and into the hand once it is taken."""
    there = np.asarray(curves[f"{main}_reach"])[0] - [0, 0.035 * h, -0.02]
    spot = np.where(np.asarray(curves["taken"])[:, None], joints[f"{main}_hand"] - [0, 0.05, -0.02], there)
    props.held.append(_capsule(spot - [0.05, 0, 0], spot + [0.05, 0, 0], 0.07, 0.07, colour))
    tall = there[1] - 0.06
    if tall > 0.08:
        half = np.array([0.17, tall / 2, 0.15])
        centre = np.array([there[0], tall / 2, there[2]])
        props.still.append(Cuboid(centre, half, 0.0, random_albedo(rng, 0.1, 0.4, 0.5)))


def _chair(pelvis: np.ndarray, below: float, colour: np.ndarray) -> list[Cuboid]:
    """A chair under a seated pelvis [3], its seat `below` metres under it."""
    x, seat, z = pelvis[0], pelvis[1] - below, pelvis[2] + 0.06
    parts = [((0, seat - 0.025, 0), (0.22, 0.025, 0.21)), ((0, seat + 0.32, -0.22), (0.21, 0.16, 0.018))]
    for sx in (-0.2, 0.2):
        parts += [((sx, seat / 2, sz), (0.02, seat / 2, 0.02)) for sz in (-0.2, 0.19)]
        parts.append(((sx, seat + 0.1, -0.22), (0.018, 0.1, 0.018)))
    return [Cuboid(np.array([x, 0, z]) + place, np.array(half), 0.0, colour) for place, half in parts]
