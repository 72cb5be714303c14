"""What is done on the spot: waving, picking up, sitting, standing up, turning, drinking and pouring."""

from collections.abc import Callable

import numpy as np

from .. import actions
from ..pose import SIDES, Curves
from .gait import push, run, walk
from .jumps import jump
from .motion import Motion, Take
from .timing import between, smooth, strokes, sway


def wave(take: Take) -> Motion:
    """Waves with one hand or both: straight arms swung over the head, or bent ones from side to side."""
    rng, seconds = take.rng, take.seconds
    rate = between(rng, 0.6, 2.2)
    both, parallel = rng.random() < 0.5, rng.random() < 0.2
    phase = 2 * np.pi * (rate * seconds + rng.random() + sway(seconds, rng, 0.02))
    up = np.ones_like(seconds)
    if rng.random() < 0.3:
        up = up * smooth((seconds - rng.uniform(0, 0.4)) / rng.uniform(0.3, 0.8))
    if rng.random() < 0.15:
        up = up * (1 - smooth((seconds - take.duration + rng.uniform(0.3, 0.9)) / rng.uniform(0.3, 0.8)))
    sides = [(n, s) for n, s in SIDES if both or s == take.side]
    straight = rng.random() < 0.55
    low, high = rng.uniform(55, 115), rng.uniform(140, 180)
    elbow, front = rng.uniform(2, 45), rng.uniform(-10, 45)
    place = (rng.uniform(0.12, 0.3), rng.uniform(0.88, 1.16), rng.uniform(0.02, 0.25), rng.uniform(0.06, 0.2))
    curves: Curves = {"twist": rng.uniform(0, 8) * np.sin(phase)}
    for name, sign in sides:
        beat = np.sin(phase + (np.pi if parallel and sign > 0 else 0.0))
        if straight:
            raised = (low + high) / 2 + (high - low) / 2 * beat
            curves[f"{name}_arm_out"] = 8 + (raised - 8) * up
            curves |= {f"{name}_elbow": elbow * (1 - 0.5 * beat), f"{name}_arm": front * up * 0.5}
            continue
        x, y, z, wide = place
        curves[f"{name}_reach"] = take.point(sign * (x + wide * beat), y - 0.4 * wide * beat**2, z)
        curves |= {f"{name}_pull": up, f"{name}_elbow_out": 1.2}
    return Motion(curves)


def pick(take: Take) -> Motion:
    """Bends down to the ground or a low place, with straight legs or a squat, with one hand or both, and comes up."""
    rng = take.rng
    bend = strokes(rng, take.duration, (0.5, 1.3), (0.0, 0.6), (0.5, 1.3), (0.1, 1.0))
    level = bend.level(take.seconds)
    squat = rng.choice([0.1, rng.random(), 1.0], p=[0.45, 0.35, 0.2])
    knee, lean = 14 + 100 * squat, rng.uniform(88, 112) - 50 * squat
    height = rng.uniform(0.02, 0.06) if rng.random() < 0.7 else rng.uniform(0.06, 0.22)
    there = take.point(take.side * rng.uniform(-0.02, 0.1), height, rng.uniform(0.16, 0.32))
    main, other = take.hands
    curves: Curves = {"lean": lean * level, "nod": rng.uniform(-5, 25) * level}
    curves |= {f"{main}_reach": there, f"{main}_pull": level**1.5, "taken": np.zeros(len(level), bool)}
    if rng.random() < 0.5:
        curves |= {f"{other}_reach": there * [-1.0, 1.0, 1.0], f"{other}_pull": level**1.5}
    else:
        curves |= {f"{other}_arm": rng.uniform(-10, 60) * level, f"{other}_elbow": 12 + rng.uniform(0, 50) * level}
    step = rng.uniform(0, 10)
    for name, sign in SIDES:
        curves |= {f"{name}_knee": knee * level, f"{name}_hip": (10 + 0.82 * knee + step * sign * take.side) * level}
    return Motion(curves)


def sit(take: Take) -> Motion:
    """Sits down."""
    return Motion(_seat(take, _passage(take)))


def stand(take: Take) -> Motion:
    """Stands up from a seat."""
    return Motion(_seat(take, 1 - _passage(take)))


def _passage(take: Take) -> np.ndarray:
    """A single smooth passage [T] from 0 to 1, anywhere in the clip."""
    seconds = min(between(take.rng, 0.7, 2.2), 0.95 * take.duration)
    return smooth((take.seconds - take.rng.uniform(0, take.duration - seconds)) / seconds)


def _seat(take: Take, down: np.ndarray) -> Curves:
    """Curves of a figure that stands at `down` [T] = 0 and is seated at 1, on a high seat or a low one."""
    rng = take.rng
    deep, bow = rng.uniform(0.72, 1.12), rng.uniform(18, 52)
    curves: Curves = {"lean": rng.normal(4, 6) * down + bow * np.sin(np.pi * down**0.9) ** 1.5}
    hands, rest = rng.uniform(5, 40), rng.uniform(20, 75)
    reach = rng.uniform(-30, 25) * np.sin(np.pi * down)
    for name, _ in SIDES:
        curves |= {f"{name}_hip": 86 * deep * down, f"{name}_knee": 90 * deep * down}
        curves |= {f"{name}_hip_out": 3 + rng.uniform(0, 12) * down}
        curves |= {f"{name}_arm": hands * np.sqrt(down) + reach, f"{name}_elbow": 12 + rest * down}
    return curves


def turn(take: Take) -> Motion:
    """Turns on the spot with small steps, by a quarter to more than once around, and back at times."""
    rng, seconds = take.rng, take.seconds
    degrees, rate = between(rng, 60, 380), rng.uniform(50, 190)
    length = np.clip(degrees / rate, 0.5, 0.97 * take.duration)
    start = rng.uniform(0, max(take.duration - length, 0.01) * 0.7)
    go = smooth((seconds - start) / length)
    if rng.random() < 0.3:
        go = go - smooth((seconds - start - length - rng.uniform(0, 0.5)) / length)
    moving = np.clip(np.abs(np.gradient(go, seconds)) * length / 1.2, 0, 1)
    curves: Curves = {"yaw": take.side * degrees * go, "look": take.side * rng.uniform(0, 35) * moving}
    curves["twist"] = take.side * rng.uniform(0, 14) * moving
    pace, phase, lift = rng.uniform(1.0, 1.9), rng.random(), rng.uniform(0.3, 1.1)
    for name, sign in SIDES:
        step = np.clip(np.sin(2 * np.pi * (pace * seconds + phase) + np.pi * (sign > 0)), 0, 1) * moving * lift
        curves |= {f"{name}_hip": 28 * step, f"{name}_knee": 52 * step, f"{name}_arm_out": 7 + 8 * moving}
    return Motion(curves)


def drink(take: Take) -> Motion:
    """A cup goes to the mouth, is tilted, and comes down."""
    return _handled(take, actions.drink)


def pour(take: Take) -> Motion:
    """A bottle is lifted above a cup, tilted, and set upright again."""
    return _handled(take, actions.pour)


def _handled(take: Take, action: Callable) -> Motion:
    """An action of the room with times, sizes and repetitions of its own."""
    rng = take.rng
    share = strokes(rng, take.duration, (0.9, 2.4), (0.0, 0.6), (0.9, 2.4), (0.0, 0.8)).share(take.seconds)
    style = actions.Style(
        take.side, rng.uniform(0.8, 1.3), rng.random(), rng.uniform(0.8, 1.2), rng.uniform(-0.03, 0.03), rng.random()
    )
    return Motion(action(actions.Clock(take.seconds, share), style, take.body))


def idle(take: Take) -> Motion:
    """Stands about: what a second person does who does not walk."""
    return Motion({})


MOTIONS: dict[str, Callable[[Take], Motion]] = {
    "Drink": drink, "Jump": jump, "Pick": pick, "Pour": pour, "Push": push, "Run": run,
    "Sit": sit, "Stand": stand, "Turn": turn, "Walk": walk, "Wave": wave,
}  # fmt: skip
