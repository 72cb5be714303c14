"""The skeleton of a figure: its proportions, and the forward kinematics from joint angles to joints in space.

The input are curves of joint angles (degrees), the output are places of joints.  A two-bone reach leads hands to what
they must meet (a mouth, a box, the floor).  Everything is vectorised over time: an array is [T] or [T,3].  Space is
right-handed, in metres: y is up, the floor is y = 0, a figure of heading 0 faces +z, its left hand is at +x.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# name -> [T] (angles in degrees) or [T,3] (reach targets in metres); a number holds for all T
Curves = dict[str, np.ndarray | float]
Joints = dict[str, np.ndarray]  # name -> places [T,3] in metres, or orientations [T,3,3]
SIDES = (("l", 1.0), ("r", -1.0))


@dataclass(frozen=True)
class Body:
    """Proportions of a figure: `height` in metres, `build` scales its width, `legs` the share of legs in its height."""

    height: float = 1.72
    build: float = 1.0
    legs: float = 1.0

    @property
    def thigh(self) -> float:
        """Length of the thigh and of the shin, in metres."""
        return 0.245 * self.height * self.legs

    @property
    def torso(self) -> float:
        """Length from the pelvis to the base of the neck, in metres."""
        return 0.79 * self.height - 2 * self.thigh


def rotation(axis: str, degrees: np.ndarray) -> np.ndarray:
    """Rotation matrices [T,3,3] about "x", "y" or "z" by angles [T] in degrees."""
    angle = np.deg2rad(degrees)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.zeros((*angle.shape, 3, 3))  # [T] -> [T,3,3]
    matrix[..., range(3), range(3)] = 1.0
    matrix[..., i, i] = matrix[..., j, j] = np.cos(angle)
    matrix[..., j, i] = np.sin(angle)
    matrix[..., i, j] = -matrix[..., j, i]
    return matrix


def pose(curves: Curves, body: Body, num_frames: int) -> tuple[Joints, Joints]:
    """Computes the forward kinematics.

    Args:
      curves: angles and targets of an action; a joint without a curve is at rest.
      body: the proportions.
      num_frames: T.

    Returns:
      The joints, name -> [T,3] in metres in the figure's own space, and the frames of "root", "chest", "head" [T,3,3].
    """
    h = body.height

    def curve(name: str, rest: float = 0.0) -> np.ndarray:
        return np.broadcast_to(np.asarray(curves.get(name, rest), float), (num_frames,))

    root = rotation("y", curve("yaw"))
    chest = root @ rotation("y", curve("twist")) @ rotation("x", curve("lean"))
    waist = root @ rotation("y", 0.4 * curve("twist")) @ rotation("x", 0.55 * curve("lean"))
    head = chest @ rotation("x", curve("nod") - 0.45 * curve("lean")) @ rotation("y", curve("look"))
    joints = {"pelvis": np.zeros((num_frames, 3))}
    joints["waist"] = waist @ [0.0, 0.4 * body.torso, 0.0]
    joints["neck"] = joints["waist"] + chest @ [0.0, 0.6 * body.torso, 0.0]
    joints["head"] = joints["neck"] + head @ [0.0, 0.1 * h, 0.012 * h]
    for n, s in SIDES:
        leg = root @ rotation("z", s * curve(f"{n}_hip_out", 3.0)) @ rotation("x", -curve(f"{n}_hip"))
        shin = leg @ rotation("x", curve(f"{n}_knee", 2.0))
        joints[f"{n}_hip"] = root @ [s * 0.052 * h * body.build, -0.01 * h, 0.0]
        joints[f"{n}_knee"] = joints[f"{n}_hip"] + leg @ [0.0, -body.thigh, 0.0]
        joints[f"{n}_ankle"] = joints[f"{n}_knee"] + shin @ [0.0, -body.thigh, 0.0]
        ahead = root @ [s * 0.25, 0.0, 1.0] * 0.6 + shin @ [0.0, 0.0, 0.4]
        joints[f"{n}_toe"] = joints[f"{n}_ankle"] + 0.105 * h * ahead + np.array([0.0, -0.022 * h, 0.0])
    _ground(joints, root, curve, bool(curves.get("walks", False)), h)
    for n, s in SIDES:
        joints[f"{n}_shoulder"] = joints["neck"] + chest @ [s * 0.108 * h * body.build, -0.028 * h, 0.0]
        arm = chest @ rotation("z", s * curve(f"{n}_arm_out", 8.0)) @ rotation("x", -curve(f"{n}_arm"))
        elbow = joints[f"{n}_shoulder"] + arm @ [0.0, -0.168 * h, 0.0]
        wrist = elbow + arm @ rotation("x", -curve(f"{n}_elbow", 14.0)) @ [0.0, -0.15 * h, 0.0]
        pull = curve(f"{n}_pull")[:, None]
        goal = joints["path"] + np.einsum("tij,tj->ti", root, curves.get(f"{n}_reach", np.zeros((num_frames, 3))))
        out = s * (0.5 + curve(f"{n}_elbow_out"))
        pole = np.einsum("tij,tj->ti", chest, np.stack([out, np.full_like(out, -1.0), np.full_like(out, -0.35)], -1))
        pole = pole * pull + (elbow - (joints[f"{n}_shoulder"] + wrist) / 2) * 8 * (1 - pull)
        reached = _bend(joints[f"{n}_shoulder"], wrist + (goal - wrist) * pull, pole, 0.168 * h, 0.15 * h)
        joints[f"{n}_elbow"], joints[f"{n}_wrist"] = reached
        along = (reached[1] - reached[0]) / (0.15 * h)
        joints[f"{n}_hand"] = joints[f"{n}_wrist"] + 0.05 * h * along
    return joints, {"root": root, "chest": chest, "head": head}


def _ground(joints: Joints, root: np.ndarray, curve: Callable, walks: bool, h: float) -> None:
    """Moves the joints in place: the lowest foot is `rise` above the floor; feet stay in place unless it walks."""
    feet = [joints[f"{n}_ankle"][:, 1] - 0.045 * h for n, _ in SIDES] + [
        joints[f"{n}_toe"][:, 1] - 0.02 * h for n, _ in SIDES
    ]
    travel = curve("travel") - np.mean(curve("travel"))
    path = root @ [0.0, 0.0, 1.0] * travel[:, None]
    shift = path.copy()
    if not walks:
        shift -= (joints["l_ankle"] + joints["r_ankle"]) / 2
    shift[:, 1] = curve("rise") - np.minimum.reduce(feet)
    for name in joints:
        joints[name] = joints[name] + shift
    joints["path"] = path


def _bend(shoulder: np.ndarray, target: np.ndarray, pole: np.ndarray, upper: float, lower: float):
    """Elbow and wrist [T,3] of a two-bone arm that reaches for `target`, its elbow towards `pole`."""
    way = target - shoulder
    length = np.linalg.norm(way, axis=-1, keepdims=True) + 1e-9
    reach = np.clip(length, abs(upper - lower) + 0.02, upper + lower - 0.005)
    way = way / length
    pole = pole - way * np.sum(pole * way, axis=-1, keepdims=True)
    pole = pole / (np.linalg.norm(pole, axis=-1, keepdims=True) + 1e-9)
    along = (upper**2 - lower**2 + reach**2) / (2 * reach)
    away = np.sqrt(np.maximum(upper**2 - along**2, 0.0))
    return shoulder + way * along + pole * away, shoulder + way * reach
