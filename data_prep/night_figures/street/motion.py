"""What a performer of the street does: the curves of `pose`, and the way over the ground."""

from dataclasses import dataclass

import numpy as np

from ..pose import SIDES, Body, Curves, rotation
from .timing import sway


@dataclass(frozen=True)
class Take:
    """What a motion is made from.

    Attributes:
      seconds: of every frame since the first, [T].
      body: of the performer.
      side: +1 acts with the left hand or turns left, -1 with the right.
      rng: of all else.
    """

    seconds: np.ndarray
    body: Body
    side: float
    rng: np.random.Generator

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return float(self.seconds[-1])

    @property
    def hands(self) -> tuple[str, str]:
        """The hand that acts, and the other."""
        return ("l", "r") if self.side > 0 else ("r", "l")

    def point(self, x, y, z) -> np.ndarray:
        """A target [T,3] from shares of the body's height, each a number or [T]."""
        axes = np.broadcast_arrays(x, y, z, self.seconds)[:3]
        return self.body.height * np.stack(axes, axis=-1)


@dataclass(frozen=True)
class Motion:
    """A motion before it has a place.

    Attributes:
      curves: of `pose`, without `travel`.
      speed: forward, [T] in metres per second.
      bend: of the way, [T] in degrees per second.
    """

    curves: Curves
    speed: np.ndarray | float = 0.0
    bend: np.ndarray | float = 0.0

    def way(self, seconds: np.ndarray, heading: float) -> tuple[np.ndarray, np.ndarray]:
        """Places [T,3] in metres about the middle of the way, and headings [T] in degrees about `heading`."""
        step = np.gradient(seconds)
        turned = np.cumsum(np.broadcast_to(self.bend, seconds.shape) * step)
        degrees = heading + turned - turned[len(turned) // 2]
        ahead = rotation("y", degrees) @ [0.0, 0.0, 1.0]  # [T,3]
        places = np.cumsum(ahead * (np.broadcast_to(self.speed, seconds.shape) * step)[:, None], axis=0)
        return places - (places.max(0) + places.min(0)) / 2, degrees


def loosened(take: Take, curves: Curves) -> Curves:
    """The curves with the small movements that nobody stands without."""
    rng, seconds = take.rng, take.seconds
    loose = rng.uniform(0.2, 1.6)
    sizes = {"lean": 1.5, "twist": 3.0, "nod": 5.0, "look": 9.0, "l_arm": 3.0, "r_arm": 3.0}
    sizes |= {"l_elbow": 4.0, "r_elbow": 4.0}
    rest = {"l_elbow": rng.uniform(4, 40), "r_elbow": rng.uniform(4, 40), "lean": rng.normal(1, 3)}
    out = dict(curves)
    for name, size in sizes.items():
        out[name] = np.asarray(curves.get(name, rest.get(name, 0.0))) + sway(seconds, rng, loose * size)
    for name, _ in SIDES:
        out.setdefault(f"{name}_arm_out", rng.uniform(4, 18))
        out.setdefault(f"{name}_hip_out", rng.uniform(1, 7))
    return out
