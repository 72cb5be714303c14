"""The eleven actions as joint angles over time.

Every action is a function from a clock to curves of joint angles (degrees) and targets of the hands (metres); `pose`
turns them into joints in space.  Everything is vectorised over time: an array is [T] or [T,3].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .pose import SIDES, Body, Curves


@dataclass(frozen=True)
class Style:
    """The manner in which one clip performs its action.

    Attributes:
      side: +1 acts with the left hand or turns left, -1 with the right.
      speed: about 1; scales rates and shortens transitions.
      phase: 0 to 1, the start of a cycle.
      size: about 1; scales amplitudes.
      delay: about 0; shifts transitions, as a share of the clip.
      level: 0 to 1; each action uses it in its own way (height of the object, angle of the turn).
    """

    side: float = 1.0
    speed: float = 1.0
    phase: float = 0.0
    size: float = 1.0
    delay: float = 0.0
    level: float = 0.5


@dataclass(frozen=True)
class Clock:
    """Time of every frame [T]: `seconds` since the start, and `share` of the clip from 0 to 1."""

    seconds: np.ndarray
    share: np.ndarray

    def ramp(self, start: float, end: float, style: Style) -> np.ndarray:
        """A smooth step [T] from 0 to 1 between two shares of the clip, at the speed and delay of the style."""
        middle, half = (start + end) / 2 + style.delay, (end - start) / 2 / style.speed
        x = np.clip((self.share - middle + half) / (2 * half), 0.0, 1.0)
        return x * x * (3 - 2 * x)


def _hand(style: Style) -> tuple[str, str]:
    return ("l", "r") if style.side > 0 else ("r", "l")


def _point(body: Body, x, y, z) -> np.ndarray:
    """A target [T,3] or [3] from shares of the body height."""
    return body.height * np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def _gait(clock: Clock, style: Style, rate: float, hip: float, knee: float, arm: float) -> Curves:
    """Legs and arms of a gait: `rate` cycles per second, amplitudes in degrees; arms swing against the legs."""
    curves: Curves = {}
    for name, sign in SIDES:
        angle = 2 * np.pi * (rate * style.speed * clock.seconds + style.phase) + (0 if sign > 0 else np.pi)
        swing = (0.5 + 0.5 * np.cos(angle + 0.6)) ** 2
        curves[f"{name}_hip"] = hip * style.size * (np.sin(angle) + 0.25)
        curves[f"{name}_knee"] = 6 + knee * swing
        curves[f"{name}_arm"] = -arm * style.size * np.sin(angle)
    curves["twist"] = 0.25 * arm * np.sin(2 * np.pi * (rate * style.speed * clock.seconds + style.phase))
    return curves


def drink(clock: Clock, style: Style, body: Body) -> Curves:
    """A cup moves from the waist to the mouth, is tilted together with head and trunk, and comes down."""
    hand, _ = _hand(style)
    up = clock.ramp(0.05, 0.32, style) * (1 - clock.ramp(0.74, 0.97, style))
    tilt = clock.ramp(0.25, 0.5, style) * (1 - clock.ramp(0.66, 0.85, style))
    low, mouth = _point(body, style.side * 0.15, 0.52, 0.20), _point(body, style.side * 0.035, 0.885, 0.125)
    path = low + (mouth - low) * up[:, None]
    path[:, 2] += 0.05 * body.height * np.sin(np.pi * up)
    out = 0.06 * body.height * np.sin(np.pi * up) * style.side
    path[:, 0] += out
    return {
        f"{hand}_reach": path,
        f"{hand}_pull": 1.0,
        f"{hand}_elbow_out": 0.9 * up,
        "nod": -34 * tilt,
        "cup_tilt": 10 * up + 65 * tilt,
        "lean": -16 * tilt,
    }


def jump(clock: Clock, style: Style, body: Body) -> Curves:
    """Crouches, swings the arms, flies and lands, again and again."""
    cycle = (clock.seconds * style.speed / 1.05 + style.phase) % 1.0
    air = np.clip((cycle - 0.42) / 0.43, 0, 1)
    crouch = np.interp(cycle, [0, 0.22, 0.36, 0.43, 0.84, 0.93, 1], [0.25, 1, 0.75, 0, 0.05, 0.6, 0.25])
    arms = np.interp(cycle, [0, 0.22, 0.42, 0.6, 0.85, 1], [0, -45, 120, 150, 40, 0])
    curves: Curves = {"rise": 0.34 * style.size * 4 * air * (1 - air), "lean": 34 * crouch}
    for name, _ in SIDES:
        curves |= {f"{name}_hip": 70 * crouch, f"{name}_knee": 98 * crouch, f"{name}_arm": arms * style.size}
        curves |= {f"{name}_elbow": 25 + 15 * crouch, f"{name}_arm_out": 14 + 8 * np.sin(np.pi * air)}
    return curves


def pick(clock: Clock, style: Style, body: Body) -> Curves:
    """Bends down to an object, takes it and straightens up with it."""
    hand, other = _hand(style)
    down, rise = clock.ramp(0.03, 0.42, style), clock.ramp(0.52, 0.93, style)
    bend = down * (1 - rise) * (1 - 0.3 * style.level)
    there = _point(body, style.side * 0.07, 0.045 + 0.17 * style.level, 0.27)
    carry = _point(body, style.side * 0.09, 0.60, 0.22)
    lift = (rise * rise)[:, None]
    curves: Curves = {
        "lean": 78 * bend,
        "nod": 12 * bend,
        f"{hand}_reach": there + (carry - there) * lift,
        f"{hand}_pull": down,
    }
    curves |= {f"{other}_arm": 25 * bend, f"{other}_elbow": 12 + 40 * bend, "taken": rise > 0.01}
    for name, sign in SIDES:
        curves |= {f"{name}_hip": 80 * bend + 8 * sign * style.side * bend, f"{name}_knee": 92 * bend}
    return curves


def pour(clock: Clock, style: Style, body: Body) -> Curves:
    """At a table, a bottle is lifted above a cup in the other hand, tilted, and set upright again."""
    hand, other = _hand(style)
    lift = clock.ramp(0.03, 0.3, style) * (1 - clock.ramp(0.78, 0.98, style))
    tilt = clock.ramp(0.22, 0.42, style) * (1 - clock.ramp(0.7, 0.88, style))
    low, high = _point(body, style.side * 0.17, 0.52, 0.19), _point(body, style.side * 0.085, 0.76, 0.28)
    cup = _point(body, -style.side * 0.085, 0.575, 0.25) + np.zeros((len(lift), 3))
    curves: Curves = {
        f"{hand}_reach": low + (high - low) * lift[:, None],
        f"{hand}_pull": 1.0,
        f"{hand}_elbow_out": 0.9 * lift,
    }
    return curves | {
        f"{other}_reach": cup,
        f"{other}_pull": 1.0,
        "nod": 18.0,
        "lean": 8 + 16 * lift,
        "bottle_tilt": 112 * tilt,
    }


def push(clock: Clock, style: Style, body: Body) -> Curves:
    """Leans into a heavy box and walks it forward."""
    curves = _gait(clock, style, 0.8, 26, 42, 0)
    curves |= {"lean": 30 * style.size, "travel": 0.62 * style.speed * clock.seconds, "nod": -10.0, "walks": True}
    for name, sign in SIDES:
        target = _point(body, sign * 0.11, 0.63, 0.42) + np.zeros((len(clock.share), 3))
        curves |= {f"{name}_reach": target, f"{name}_pull": 1.0, f"{name}_hip": curves[f"{name}_hip"] - 8}
    return curves


def run(clock: Clock, style: Style, body: Body) -> Curves:
    """Runs: long quick strides with a flight, heels up behind, bent arms, the trunk forward."""
    curves = _gait(clock, style, 1.6, 44, 105, 52)
    flight = np.sin(4 * np.pi * (1.6 * style.speed * clock.seconds + style.phase) - 0.6)
    curves |= {"lean": 20.0, "travel": 1.6 * style.speed * clock.seconds, "rise": 0.05 + 0.05 * flight, "walks": True}
    return curves | {"l_elbow": 95.0, "r_elbow": 95.0, "l_arm_out": 12.0, "r_arm_out": 12.0}


def walk(clock: Clock, style: Style, body: Body) -> Curves:
    """Walks: upright, nearly straight arms, always one foot on the floor."""
    curves = _gait(clock, style, 0.8, 22, 42, 18)
    return curves | {"lean": 3.0, "travel": 0.85 * style.speed * clock.seconds, "walks": True}


def sit(clock: Clock, style: Style, body: Body) -> Curves:
    """Sits down on the chair behind, with the trunk forward on the way."""
    return _seat(clock.ramp(0.1, 0.75, style), style)


def stand(clock: Clock, style: Style, body: Body) -> Curves:
    """Stands up from a chair."""
    return _seat(1 - clock.ramp(0.2, 0.85, style), style)


def _seat(down: np.ndarray, style: Style) -> Curves:
    """Curves of a figure that stands at `down` [T] = 0 and is seated at 1."""
    curves: Curves = {"lean": 4 * down + 42 * style.size * np.sin(np.pi * down**0.9) ** 1.5}
    for name, _ in SIDES:
        curves |= {f"{name}_hip": 86 * down, f"{name}_knee": 90 * down, f"{name}_hip_out": 3 + 6 * down}
        curves |= {f"{name}_arm": 14 * np.sqrt(down), f"{name}_elbow": 12 + 44 * down}
    return curves


def turn(clock: Clock, style: Style, body: Body) -> Curves:
    """Turns about the vertical axis with small steps; the head leads."""
    go = clock.ramp(0.02, 0.98, style)
    speed = np.clip(4 * go * (1 - go), 0, 1)
    curves: Curves = {"yaw": style.side * (250 + 100 * style.level) * go, "look": style.side * 22 * speed}
    for name, sign in SIDES:
        step = np.clip(np.sin(2 * np.pi * 1.5 * clock.seconds + np.pi * (sign > 0)), 0, 1) * speed
        curves |= {f"{name}_hip": 30 * step, f"{name}_knee": 55 * step, f"{name}_arm_out": 8 + 6 * speed}
    return curves


def wave(clock: Clock, style: Style, body: Body) -> Curves:
    """Raises both hands and waves from side to side, as to somebody far away."""
    up = clock.ramp(0.0, 0.18, style) if style.level < 0.25 else np.ones_like(clock.share)
    beat = np.sin(2 * np.pi * (1.25 * style.speed * clock.seconds + style.phase))
    curves: Curves = {"twist": 10 * style.side * beat * up}
    for name, sign in SIDES:
        path = _point(body, 0.17 * sign + 0.15 * style.size * style.side * beat, 1.08 - 0.05 * beat**2, 0.06)
        curves |= {f"{name}_reach": path, f"{name}_pull": up, f"{name}_elbow_out": 1.2}
    return curves


ACTIONS: dict[str, Callable[[Clock, Style, Body], Curves]] = {
    "Drink": drink, "Jump": jump, "Pick": pick, "Pour": pour, "Push": push, "Run": run,
    "Sit": sit, "Stand": stand, "Turn": turn, "Walk": walk, "Wave": wave,
}  # fmt: skip
