"""Dresses a skeleton: capsules for trunk, head, limbs and clothes, in the colours of an outfit."""

from dataclasses import dataclass

import numpy as np

from .pose import SIDES, Body, Joints


@dataclass(frozen=True)
class Outfit:
    """Colours of a figure, linear albedos [3]; `bare_arms` are short sleeves, `bare_legs` short trousers."""

    skin: np.ndarray
    hair: np.ndarray
    shirt: np.ndarray
    trousers: np.ndarray
    shoes: np.ndarray
    bare_arms: bool
    bare_legs: bool


def dress(joints: Joints, frames: Joints, body: Body, outfit: Outfit, eye: np.ndarray) -> list[tuple]:
    """Covers the joints of a figure with its body and clothes.

    Args:
      joints: name -> [T,3] in world metres.
      frames: orientation of root, chest and head, [T,3,3].
      body: the proportions.
      outfit: the colours.
      eye: place of the camera, [3] in world metres.

    Returns:
      Parts for `render.join_capsules`.
    """
    trunk = _trunk(joints, frames, body, outfit, eye)
    return [*trunk, *_head(joints, frames, body.height, outfit), *_limbs(joints, frames["head"], body, outfit)]


def _capsule(a, b, ra, rb, colour, thick=None) -> tuple:
    """A part from `a` to `b` [T,3] of radii `ra` and `rb` in metres; `thick` are its radii towards the camera."""
    ra, rb = np.broadcast_to(ra, len(a)), np.broadcast_to(rb, len(a))
    thin = (ra, rb) if thick is None else thick
    return a, b, np.stack([ra, rb], -1), np.stack(np.broadcast_arrays(*thin, ra), -1)[:, :2], colour


def _oval(eye, a, b, frame, across, deep, colour) -> tuple:
    """A capsule of elliptic section: its width in the picture depends on how it is turned to the camera at `eye`."""
    sight = eye - a
    sight = sight / np.linalg.norm(sight, axis=-1, keepdims=True)
    side = np.cross(b - a, sight)
    side = side / (np.linalg.norm(side, axis=-1, keepdims=True) + 1e-9)
    left, ahead = frame[:, :, 0], frame[:, :, 2]

    def extent(way):
        """Half the ellipse along `way` [T,3], at both ends."""
        return [
            np.hypot(w * np.sum(left * way, -1), d * np.sum(ahead * way, -1)) for w, d in zip(across, deep, strict=True)
        ]

    first, second = extent(side)
    return _capsule(a, b, first, second, colour, extent(sight))


def _trunk(joints: Joints, frames: Joints, body: Body, outfit: Outfit, eye: np.ndarray) -> list[tuple]:
    """Hips, belly and chest."""
    h, wide = body.height, body.height * body.build
    root, chest, pelvis = frames["root"], frames["chest"], joints["pelvis"]
    hips = (pelvis - root @ [0, 0.012 * h, 0], pelvis + root @ [0, 0.02 * h, 0])
    top = joints["neck"] - chest @ [0.0, 0.085 * h, 0.0]
    return [
        _oval(eye, *hips, root, (0.08 * wide, 0.088 * wide), (0.054 * wide, 0.064 * wide), outfit.trousers),
        _oval(
            eye, pelvis + root @ [0, 0.035 * h, 0], joints["waist"], chest,
            (0.086 * wide, 0.088 * wide), (0.066 * wide, 0.068 * wide), outfit.shirt,
        ),
        _oval(
            eye, joints["waist"], top, chest,
            (0.088 * wide, 0.106 * wide), (0.068 * wide, 0.073 * wide), outfit.shirt,
        ),
    ]  # fmt: skip


def _head(joints: Joints, frames: Joints, h: float, outfit: Outfit) -> list[tuple]:
    """Neck, face, hair and nose of a figure of `h` metres."""
    at, head = joints["head"], frames["head"]
    neck = joints["neck"] - frames["chest"] @ [0, 0.03 * h, 0]
    face = (at - head @ [0, 0.022 * h, -0.008 * h], at + head @ [0, 0.018 * h, 0])
    hair = (at + head @ [0, 0.0, -0.02 * h], at + head @ [0, 0.03 * h, -0.012 * h])
    nose = (at + head @ [0, 0.002 * h, 0.05 * h], at + head @ [0, -0.008 * h, 0.058 * h])
    return [
        _capsule(neck, at, 0.034 * h, 0.03 * h, outfit.skin),
        _capsule(*face, 0.043 * h, 0.05 * h, outfit.skin),
        _capsule(*hair, 0.05 * h, 0.05 * h, outfit.hair),
        _capsule(*nose, 0.007 * h, 0.01 * h, outfit.skin),
    ]


def _limbs(joints: Joints, head: np.ndarray, body: Body, outfit: Outfit) -> list[tuple]:
    """Eye, arm and leg of each side."""
    h, wide, j = body.height, body.height * body.build, joints
    forearm = outfit.skin if outfit.bare_arms else outfit.shirt
    shin = outfit.skin if outfit.bare_legs else outfit.trousers
    parts = []
    for n, s in SIDES:
        eye = j["head"] + head @ [s * 0.018 * h, 0.008 * h, 0.043 * h]
        heel = j[f"{n}_ankle"] + np.array([0, -0.02 * h, 0])
        parts += [
            _capsule(eye, eye, 0.0065 * h, 0.0065 * h, outfit.hair * 0.4),
            _capsule(j[f"{n}_shoulder"], j[f"{n}_elbow"], 0.037 * wide, 0.027 * wide, outfit.shirt),
            _capsule(j[f"{n}_elbow"], j[f"{n}_wrist"], 0.025 * wide, 0.017 * wide, forearm),
            _capsule(j[f"{n}_wrist"], j[f"{n}_hand"], 0.017 * h, 0.024 * h, outfit.skin),
            _capsule(j[f"{n}_hip"], j[f"{n}_knee"], 0.056 * wide, 0.037 * wide, outfit.trousers),
            _capsule(j[f"{n}_knee"], j[f"{n}_ankle"], 0.036 * wide, 0.024 * wide, shin),
            _capsule(heel, j[f"{n}_toe"], 0.026 * h, 0.02 * h, outfit.shoes),
        ]
    return parts
