"""Jumping: on the spot, again and again or once, and forward."""

import numpy as np

from ..pose import SIDES, Curves
from .motion import Motion, Take
from .timing import between, smooth

_GRAVITY = 9.81  # m/s^2


def jump(take: Take) -> Motion:
    """Jumps: small hops or high leaps, the arms at rest, bent or swung; on the spot or forward."""
    rng = take.rng
    high = between(rng, 0.05, 0.42)  # metres
    air = np.sqrt(8 * high / _GRAVITY)
    crouch = between(rng, 0.16, 0.3) + (0.5 * rng.random() * high / 0.4)  # seconds before the feet leave the ground
    landing = between(rng, 0.12, 0.4)
    depth = np.clip(rng.uniform(0.25, 0.6) + 1.1 * (high - 0.1) * rng.random(), 0.15, 1.0)
    pause = 0.0 if rng.random() < 0.7 else rng.uniform(0.1, 1.2)
    cycle = crouch + air + landing * 0.6 + pause
    first = rng.uniform(-cycle, 0) if pause == 0 else rng.uniform(0, max(take.duration - cycle, 0.05))
    starts = first + cycle * np.arange(1 + max(int(np.ceil((take.duration - first) / cycle)), 0))
    since = take.seconds[:, None] - starts  # [T,N]
    flight = (since - crouch) / air
    rise = (high * 4 * flight * (1 - flight) * ((flight > 0) & (flight < 1))).max(1)
    down = smooth(since / (0.6 * crouch)) * (1 - smooth((since - 0.6 * crouch) / (0.4 * crouch)))
    after = since - crouch - air
    land = smooth((after + 0.03) / (0.35 * landing)) * (1 - smooth((after - 0.35 * landing) / (0.65 * landing)))
    bent = depth * np.maximum(down, 0.8 * land).max(1)
    flying = np.clip(((flight > 0) & (flight < 1)) * np.sin(np.pi * np.clip(flight, 0, 1)), 0, 1).max(1)
    tuck = flying * (0.0 if rng.random() < 0.6 else rng.uniform(0.1, 0.7))
    lean = rng.uniform(8, 40) * bent
    curves: Curves = {"rise": rise, "lean": lean}
    for name, _ in SIDES:
        curves |= {f"{name}_hip": 66 * bent + 55 * tuck, f"{name}_knee": 3 + 96 * bent + 85 * tuck}
    curves |= _arms(take, bent / depth, flying)
    forward = 0.0 if rng.random() < 0.6 else between(rng, 0.3, 2.2)
    return Motion(curves, forward * np.clip(flying * 1.5, 0, 1))


def _arms(take: Take, bent: np.ndarray, flying: np.ndarray) -> Curves:
    """Arms of a jump: at the sides, bent before the chest, swung up, or spread in the air."""
    rng = take.rng
    kind = rng.choice(["rest", "bent", "swing", "spread"], p=[0.4, 0.15, 0.3, 0.15])
    curves: Curves = {}
    up = rng.uniform(25, 160)
    for name, _ in SIDES:
        if kind == "rest":
            curves |= {f"{name}_arm": 6 * flying - 8 * bent, f"{name}_arm_out": 6 + rng.uniform(0, 10) * flying}
        elif kind == "bent":
            curves |= {f"{name}_arm": 10 + 14 * flying - 14 * bent, f"{name}_elbow": rng.uniform(70, 115)}
        elif kind == "swing":
            curves |= {f"{name}_arm": up * flying - rng.uniform(20, 50) * bent, f"{name}_elbow": 15 + 25 * bent}
        else:
            curves |= {f"{name}_arm_out": 8 + 0.7 * up * flying, f"{name}_elbow": 12 + 20 * bent}
    return curves
