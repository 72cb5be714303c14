"""Dresses a skeleton: the capsules that stand for trunk, head, limbs and clothes, in the colours of its outfit."""

from dataclasses import dataclass

import numpy as np

from .pose import SIDES, Body, Joints


@dataclass(frozen=True)
class Outfit:
    """Linear albedos [3] of a figure; `bare_arms` and `bare_legs`: short sleeves, short trousers."""

    skin: np.ndarray
    hair: np.ndarray
    shirt: np.ndarray
    trousers: np.ndarray
    shoes: np.ndarray
    bare_arms: bool
    bare_legs: bool


def dress(joints: Joints, frames: Joints, body: Body, outfit: Outfit, eye: np.ndarray) -> list[tuple]:
    """Puts flesh and clothes on the joints of a figure.

    Args:
        joints: name -> [T,3] in world metres.
        frames: orientation of root, chest and head, [T,3,3].
        body: the proportions.
        outfit: the colours.
        eye: where the camera is, [3] in world metres.

    Returns:
        Parts for `figure_render.join_capsules`.
    """
    h, wide = body.height, body.height * body.build
    j, o, parts = joints, outfit, []

    def add(a, b, ra, rb, colour, thick=None):
        ra, rb = np.broadcast_to(ra, len(a)), np.broadcast_to(rb, len(a))
        thin = (ra, rb) if thick is None else thick
        parts.append((a, b, np.stack([ra, rb], -1), np.stack(np.broadcast_arrays(*thin, ra), -1)[:, :2], colour))

    def trunk(a, b, frame, across, deep, colour):
        """A capsule of elliptic section: how wide it looks depends on how it is turned to the camera."""
        sight = eye - a
        sight = sight / np.linalg.norm(sight, axis=-1, keepdims=True)
        side = np.cross(b - a, sight)
        side = side / (np.linalg.norm(side, axis=-1, keepdims=True) + 1e-9)
        left, ahead = frame[:, :, 0], frame[:, :, 2]

        def extent(way):
            """Half the ellipse along `way` [T,3], at both ends."""
            return [
                np.hypot(w * np.sum(left * way, -1), d * np.sum(ahead * way, -1))
                for w, d in zip(across, deep, strict=True)
            ]

        near, far = extent(side)
        add(a, b, near, far, colour, extent(sight))

    root, chest, head = frames["root"], frames["chest"], frames["head"]
    top = j["neck"] - chest @ [0.0, 0.085 * h, 0.0]
    trunk(
        j["pelvis"] - root @ [0, 0.012 * h, 0],
        j["pelvis"] + root @ [0, 0.02 * h, 0],
        root,
        (0.08 * wide, 0.088 * wide),
        (0.054 * wide, 0.064 * wide),
        o.trousers,
    )
    trunk(
        j["pelvis"] + root @ [0, 0.035 * h, 0],
        j["waist"],
        chest,
        (0.086 * wide, 0.088 * wide),
        (0.066 * wide, 0.068 * wide),
        o.shirt,
    )
    trunk(j["waist"], top, chest, (0.088 * wide, 0.106 * wide), (0.068 * wide, 0.073 * wide), o.shirt)
    add(j["neck"] - chest @ [0, 0.03 * h, 0], j["head"], 0.034 * h, 0.03 * h, o.skin)
    add(
        j["head"] - head @ [0, 0.022 * h, -0.008 * h], j["head"] + head @ [0, 0.018 * h, 0], 0.043 * h, 0.05 * h, o.skin
    )
    add(
        j["head"] + head @ [0, 0.0, -0.02 * h], j["head"] + head @ [0, 0.03 * h, -0.012 * h], 0.05 * h, 0.05 * h, o.hair
    )
    add(
        j["head"] + head @ [0, 0.002 * h, 0.05 * h],
        j["head"] + head @ [0, -0.008 * h, 0.058 * h],
        0.007 * h,
        0.01 * h,
        o.skin,
    )
    for n, s in SIDES:
        eye_at = j["head"] + head @ [s * 0.018 * h, 0.008 * h, 0.043 * h]
        add(eye_at, eye_at, 0.0065 * h, 0.0065 * h, o.hair * 0.4)
        add(j[f"{n}_shoulder"], j[f"{n}_elbow"], 0.037 * wide, 0.027 * wide, o.shirt)
        add(j[f"{n}_elbow"], j[f"{n}_wrist"], 0.025 * wide, 0.017 * wide, o.skin if o.bare_arms else o.shirt)
        add(j[f"{n}_wrist"], j[f"{n}_hand"], 0.017 * h, 0.024 * h, o.skin)
        add(j[f"{n}_hip"], j[f"{n}_knee"], 0.056 * wide, 0.037 * wide, o.trousers)
        add(j[f"{n}_knee"], j[f"{n}_ankle"], 0.036 * wide, 0.024 * wide, o.skin if o.bare_legs else o.trousers)
        heel = j[f"{n}_ankle"] + np.array([0, -0.02 * h, 0])
        add(heel, j[f"{n}_toe"], 0.026 * h, 0.02 * h, o.shoes)
    return parts
