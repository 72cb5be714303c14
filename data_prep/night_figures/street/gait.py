"""Walking, running and pushing: the speed goes with the stride, so that feet do not slide.

Rates and angles are those of people: about 0.95 cycles a second at 1.35 m/s, and 1.4 at a run of 2.8 m/s.
"""

import numpy as np

from ..pose import SIDES, Curves
from .motion import Motion, Take
from .timing import between, sway, wrapped_bump


def _phases(take: Take, rate: float) -> dict[str, np.ndarray]:
    """The place [T] of each foot in its cycle, 0 where it meets the ground; `rate` cycles a second, not quite even."""
    drift = sway(take.seconds, take.rng, 0.015)
    phase = rate * take.seconds + take.rng.random() + drift
    return {name: (phase + (0.0 if sign > 0 else 0.5)) % 1.0 for name, sign in SIDES}


def _arms(take: Take, phases: dict[str, np.ndarray], swing: float, elbow: tuple[float, float]) -> Curves:
    """Arms that swing against the legs by `swing` degrees; at times one or both of them hardly do."""
    rng, curves = take.rng, {}
    still = rng.random() < 0.2
    for name, _ in SIDES:
        own = swing * (0.15 if still and rng.random() < 0.7 else rng.uniform(0.7, 1.2))
        beat = -np.cos(2 * np.pi * phases[name])
        curves[f"{name}_arm"] = own * beat + rng.normal(0, 4)
        curves[f"{name}_elbow"] = rng.uniform(*elbow) + 0.35 * own * (beat + 1)
        curves[f"{name}_arm_out"] = rng.uniform(4, 16)
    curves["twist"] = 0.25 * swing * np.cos(2 * np.pi * phases["l"])
    return curves


def walk(take: Take) -> Motion:
    """Walks, slowly or briskly, straight or in a bow."""
    rng, height = take.rng, take.body.height
    speed = between(rng, 0.65, 1.9) * height / 1.7
    rate = 0.95 * np.sqrt(speed / 1.35 * 1.7 / height) * np.exp(rng.normal(0, 0.07))
    reach = np.rad2deg(np.arcsin(min(speed / (8 * rate * take.body.thigh), 0.62)))  # half an angle between the legs
    phases, curves = _phases(take, rate), {}
    for name, _ in SIDES:
        phase = phases[name]
        curves[f"{name}_hip"] = 0.35 * reach + 1.05 * reach * np.cos(2 * np.pi * (phase + 0.02))
        knee = rng.uniform(6, 18) * wrapped_bump(phase, 0.14, 0.06)
        curves[f"{name}_knee"] = 4 + knee + rng.uniform(48, 66) * wrapped_bump(phase, 0.73, 0.1)
    curves |= _arms(take, phases, rng.uniform(8, 1.2 * reach + 10), (4, 30))
    curves |= {"lean": rng.normal(3, 3), "walks": True}
    return Motion(curves, speed, _bow(take, 18.0))


def run(take: Take) -> Motion:
    """Runs, at a jog or fast: a flight after each step, heels up behind, arms bent."""
    rng, height = take.rng, take.body.height
    speed = between(rng, 1.7, 5.0) * height / 1.7
    fast = speed / 2.8
    rate = 1.38 * fast**0.3 * np.sqrt(1.7 / height) * np.exp(rng.normal(0, 0.08))
    hip, heel = rng.uniform(26, 36) * fast**0.45, rng.uniform(65, 105) * min(fast, 1.3) ** 0.4
    phases, curves = _phases(take, rate), {}
    for name, _ in SIDES:
        phase = phases[name]
        curves[f"{name}_hip"] = 0.35 * hip + hip * np.cos(2 * np.pi * (phase + 0.06))
        knee = rng.uniform(18, 34) * wrapped_bump(phase, 0.15, 0.08)
        curves[f"{name}_knee"] = 10 + knee + heel * wrapped_bump(phase, 0.63, 0.13)
    curves |= _arms(take, phases, rng.uniform(18, 40) * fast**0.4, (60, 105))
    flight = np.cos(4 * np.pi * (phases["l"] - 0.44))
    curves |= {"lean": rng.uniform(3, 18), "rise": rng.uniform(0.03, 0.09) * np.maximum(flight + 0.2, 0), "walks": True}
    return Motion(curves, speed, _bow(take, 15.0))


def push(take: Take) -> Motion:
    """Leans into a box and walks it forward."""
    rng = take.rng
    speed = between(rng, 0.3, 1.1)
    rate = 0.8 * np.sqrt(speed / 0.62) * np.exp(rng.normal(0, 0.1))
    phases, curves = _phases(take, rate), {}
    reach = rng.uniform(16, 28) * np.sqrt(speed / 0.62)
    for name, sign in SIDES:
        phase = phases[name]
        curves[f"{name}_hip"] = -6 + reach * np.cos(2 * np.pi * phase)
        curves[f"{name}_knee"] = 10 + rng.uniform(34, 56) * wrapped_bump(phase, 0.73, 0.12)
        curves |= {f"{name}_reach": take.point(sign * 0.11, rng.uniform(0.58, 0.68), 0.42), f"{name}_pull": 1.0}
    curves |= {"lean": rng.uniform(14, 40), "nod": rng.uniform(-20, 0), "walks": True}
    return Motion(curves, speed)


def _bow(take: Take, size: float) -> float:
    """How a way bends, degrees a second: most are straight."""
    return take.rng.normal(0, size) if take.rng.random() < 0.3 else 0.0
