"""The cameras of the street: where they stand, how they move, and how much light they get."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from ..render import Viewpoint
from .timing import between


@dataclass(frozen=True)
class Framing:
    """How a clip is filmed.

    Attributes:
      fps: frames per second.
      num_frames: T, of the longest that the clip may be.
      least_frames: T, of the shortest.
      heading: of the performer in degrees, 0 towards the camera.
      focal: in heights of the picture.
      distance: from the camera to the performer along the ground, in metres.
      eye: height of the camera above the ground, in metres.
      metres: height of the picture at the performer, in metres.
      aim_at: height of the middle of the picture at the performer, as a share of the body.
      beside: place of the performer from the middle of the picture, in widths of it.
      leaves: how far a performer may leave a camera that stands, in halves of the picture.
      follows: how much of the performer's way the camera follows, 0 to about 1.
    """

    fps: int
    num_frames: int
    least_frames: int
    heading: float
    focal: float
    distance: float
    eye: float
    metres: float
    aim_at: float
    beside: float
    leaves: float
    follows: float


def frame(rng: np.random.Generator) -> Framing:
    """Draws the framing of a clip: from any side and height, a body from a quarter of the picture to more than all."""
    fps = int(rng.integers(20, 31))
    share = between(rng, 0.25, 1.3)  # of the picture's height that a body takes
    metres = 1.68 / share
    focal = between(rng, 1.0, 3.2)
    distance = max(focal * metres, 1.6)
    eye = between(rng, 0.3, 6.0) if rng.random() < 0.4 else rng.uniform(1.0, 1.8)
    eye = min(eye, 0.3 + 0.8 * distance)
    heading = rng.uniform(0, 360) if rng.random() < 0.5 else rng.choice([0, 90, 180, 270]) + rng.normal(0, 12)
    aim_at = rng.uniform(0.35, 0.65) if share < 0.8 else rng.uniform(0.45, 0.8)
    return Framing(
        fps=fps,
        num_frames=int(fps * between(rng, 1.3, 2.9)),
        least_frames=26,
        heading=float(heading),
        focal=distance / metres,
        distance=distance,
        eye=eye,
        metres=metres,
        aim_at=aim_at,
        beside=rng.uniform(-0.18, 0.18),
        leaves=rng.uniform(0.75, 1.15),
        follows=rng.uniform(0.6, 1.05) if rng.random() < 0.35 else 0.0,
    )


def in_sight(framing: Framing, seen: np.ndarray) -> tuple[int, int]:
    """The first frame, and the one after the last, in which the performer is in the picture or near it.

    `seen` [T,2] is the waist, from the middle of the picture, in halves of its width and height.
    """
    count = len(seen)
    if framing.follows:
        return 0, count
    near = np.flatnonzero(_near(framing, seen))
    if not len(near):
        near = np.array([count // 2])
    first = min(int(near[0]), max(count - framing.least_frames, 0))
    return first, min(max(int(near[-1]) + 1, first + framing.least_frames), count)


def kept_up(framing: Framing, seen: np.ndarray, rng: np.random.Generator) -> Framing:
    """The framing with a camera that follows, where one that stands would hardly see the performer pass."""
    if framing.follows or np.sum(_near(framing, seen)) >= min(framing.least_frames, len(seen)):
        return framing
    return dataclasses.replace(framing, follows=rng.uniform(0.75, 1.05))


def _near(framing: Framing, seen: np.ndarray) -> np.ndarray:
    return np.abs(seen).max(axis=1) < framing.leaves


def aim(framing: Framing, body_height: float, height: int) -> Viewpoint:
    """The camera of a framing for a body of this height in metres, in a picture of `height` pixels."""
    pitch = math.atan2(framing.eye - framing.aim_at * body_height, framing.distance)
    reach = math.hypot(framing.eye - framing.aim_at * body_height, framing.distance)
    focal = framing.focal * reach / framing.distance  # as large from above as from the front
    return Viewpoint(focal * height, framing.eye, framing.distance, pitch)


def drift_of(
    framing: Framing, view: Viewpoint, pelvis: np.ndarray, height: int, rng: np.random.Generator
) -> np.ndarray:
    """How the picture moves, [T,2] in pixels: a stand, a hand or a pan, which may follow `pelvis` [T,3] with a lag."""
    seconds = np.arange(len(pelvis)) / framing.fps
    drift = np.zeros((len(pelvis), 2))
    if rng.random() < 0.65:  # held by hand
        strength = between(rng, 0.0015, 0.025)
        rate, phase = rng.uniform(0.15, 2.5, (5, 2)), rng.uniform(0, 2 * np.pi, (5, 2))
        size = strength * rng.uniform(0.2, 1, (5, 2)) / (0.4 + rate)
        drift += np.sum(size * np.sin(2 * np.pi * rate * seconds[:, None, None] + phase), axis=1)
    if rng.random() < 0.15:  # pans by itself
        drift += (seconds - seconds.mean())[:, None] * rng.normal(0, [0.12, 0.04])
    drift = drift * height
    if framing.follows:
        seen = view.project(pelvis)[:, :2]
        lag = rng.uniform(0.05, 0.35) * framing.fps
        kernel = np.exp(-np.arange(int(4 * lag) + 1) / lag)
        padded = np.concatenate([np.repeat(seen[:1], len(kernel) - 1, axis=0), seen])
        late = np.stack([np.convolve(padded[:, i], kernel / kernel.sum(), mode="valid") for i in (0, 1)], -1)
        shares = np.array([framing.follows, framing.follows * (rng.random() < 0.4)])
        drift = drift + shares * late
    return np.clip(drift, -2.2 * height, 2.2 * height)


@dataclass(frozen=True)
class Exposure:
    """How bright a clip is, mean luma in 8-bit codes, and how noisy its camera: see `lift_flax.video.camera.Camera`."""

    luma: float
    balance: tuple[float, float, float]
    full_well: float
    read_noise: float


def expose_by(rng: np.random.Generator, day: float) -> Exposure:
    """Draws an exposure, from dark to bright; `day` (0 to 1) of the place makes it brighter."""
    luma = between(rng, 9.0, 70.0) ** (1 - day) * between(rng, 45.0, 150.0) ** day
    balance = tuple((np.exp(rng.normal(0, 0.06, 3))).tolist())
    return Exposure(luma, balance, between(rng, 5000.0, 80000.0), rng.uniform(1.0, 5.0))
