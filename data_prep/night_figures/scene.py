"""A scene, the performance of a figure in it, and both rendered in linear light, before any camera.

All randomness of a clip comes from the two seeds of its plan.  The performance does not depend on the light, so a plan
gives the same act from the same viewpoint in the dark, by day and in infrared.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from .actions import ACTIONS, Clock, Style
from .outfit import Outfit, dress
from .pose import Body, Joints, pose, rotation
from .props import Props, make_props
from .render import (
    Cuboid,
    Light,
    Viewpoint,
    draw_capsules,
    draw_cuboid,
    join_capsules,
    prepare_capsules,
    random_albedo,
    shifted,
)
from .room import Room, cast_shadow, draw_room, floor_part, make_room

LIGHTS = ("dark", "day", "infrared")


@dataclass(frozen=True)
class ClipPlan:
    """One clip: `name` is "Class/Class_g_k"; `group` numbers its scene; the seeds are all its randomness."""

    name: str
    class_name: str
    label: int
    group: int
    split: str
    seed: int
    scene_seed: int


@dataclass(frozen=True)
class Scene:
    """Everything that the clips of a group share; `luma` is the mean of the dark clips in 8-bit codes."""

    room: Room
    body: Body
    outfit: Outfit
    lamp: np.ndarray
    lamp_colour: np.ndarray
    ambient: np.ndarray
    heading: float
    eye_height: float
    distance: float
    luma: float
    balance: tuple[float, float, float]


def make_scene(seed: int) -> Scene:
    """Draws a scene from a seed."""
    rng = np.random.default_rng(seed)
    skin = np.array([0.50, 0.29, 0.19]) * np.exp(rng.uniform(-1.1, 0.25))
    clothes = [
        random_albedo(rng, 0.2, 0.7, 0.9),
        random_albedo(rng, 0.12, 0.4, 0.5),
        random_albedo(rng, 0.03, 0.5, 0.4),
    ]
    hair = np.array([0.06, 0.04, 0.025]) * np.exp(rng.uniform(-1, 1.2))
    bare = rng.random(2) < (0.6, 0.3)
    warm = rng.random()
    lamp = np.array([rng.choice([-1, 1]) * rng.uniform(0.3, 1.6), rng.uniform(1.7, 2.6), rng.uniform(0.9, 2.0)])
    return Scene(
        room=make_room(rng),
        body=Body(rng.normal(1.71, 0.07), rng.uniform(0.88, 1.14), rng.uniform(0.96, 1.04)),
        outfit=Outfit(skin, hair, *clothes, bare_arms=bool(bare[0]), bare_legs=bool(bare[1])),
        lamp=lamp,
        lamp_colour=np.array([1.0, 0.95 - 0.25 * warm, 0.9 - 0.5 * warm]),
        ambient=rng.uniform(0.12, 0.4) * np.array([0.8, 0.95, 1.15]),
        heading=rng.uniform(-1, 1),
        eye_height=rng.uniform(1.0, 1.7),
        distance=rng.uniform(2.55, 2.9),
        luma=float(np.clip(np.exp(rng.normal(np.log(17.0), 0.4)), 8.5, 46.0)),
        balance=tuple(np.array([1.0, 1.0, 1.0]) * np.exp(rng.normal(0, 0.06, 3))),
    )


@dataclass(frozen=True)
class Performance:
    """A clip before it is lit.

    Attributes:
      joints: name -> [T,3] in world metres.
      frames: orientation of root, chest and head, [T,3,3].
      props: the things of the action, in world metres.
    """

    joints: Joints
    frames: Joints
    props: Props


def perform(plan: ClipPlan, num_frames: int, fps: float) -> Performance:
    """Performs a clip: everything but the light.

    Args:
      plan: the clip.
      num_frames: T.
      fps: frames per second.
    """
    scene, rng = make_scene(plan.scene_seed), np.random.default_rng(plan.seed)
    side = rng.choice([-1.0, 1.0])
    style = Style(
        side, rng.uniform(0.85, 1.2), rng.random(), rng.uniform(0.85, 1.12), rng.uniform(-0.04, 0.04), rng.random()
    )
    seconds = np.arange(num_frames) / fps
    clock = Clock(seconds, np.linspace(0, 1, num_frames))
    curves = ACTIONS[plan.class_name](clock, style, scene.body)
    joints, frames = pose(curves, scene.body, num_frames)
    props = make_props(plan.class_name, curves, joints, frames["root"], style, scene.body, rng)
    degrees = _heading(plan.class_name, scene.heading, rng.normal(0, 7))
    turn = rotation("y", np.array(degrees))
    far = {"Run": 1.0, "Walk": 0.7, "Push": 0.6}.get(plan.class_name, 0.1)
    place = np.array([rng.uniform(-0.25, 0.25) / (1 + far), 0.0, rng.uniform(-0.4, 0.4) - far])
    place[0] -= (joints["pelvis"] @ turn.T)[:, 0].mean()  # half-way across, the figure is in the middle of the picture

    def moved(points: np.ndarray) -> np.ndarray:
        return points @ turn.T + place

    def moved_box(box: Cuboid) -> Cuboid:
        return Cuboid(moved(box.centre), box.half, box.yaw + math.radians(degrees), box.colour)

    return Performance(
        {name: moved(points) for name, points in joints.items()},
        {name: turn @ frame for name, frame in frames.items()},
        Props(
            [(moved(a), moved(b), *rest) for a, b, *rest in props.held],
            [moved_box(box) for box in props.still],
            [[moved_box(box) for box in boxes] for boxes in props.moving],
        ),
    )


def _heading(action: str, share: float, jitter: float) -> float:
    """Heading of a figure in degrees, 0 towards the camera, from the scene's `share` (-1 to 1)."""
    if action in ("Push", "Run", "Walk"):
        return math.copysign(48 + 30 * abs(share), share) + jitter
    return 40 * share + jitter


def render_scene(
    plan: ClipPlan, light: str, height: int, width: int, num_frames: int, fps: float
) -> Float32[np.ndarray, "T H W 3"]:
    """Renders a clip in linear light, float32 [T,H,W,3], for a camera to photograph.

    Args:
      plan: the clip.
      light: one of `LIGHTS`; performance and view do not depend on it.
      height: rows H in pixels.
      width: columns W in pixels.
      num_frames: T.
      fps: frames per second.
    """
    scene, act = make_scene(plan.scene_seed), perform(plan, num_frames, fps)
    lamp, infrared = _light(scene, light), light == "infrared"
    room, outfit = _in_infrared(scene) if infrared else (scene.room, scene.outfit)
    view = _view(scene, plan, height)
    looks = _warmth if infrared else np.asarray
    parts = dress(act.joints, act.frames, scene.body, outfit, np.array([0, view.height, view.distance]))
    parts += [(*part, looks(colour)) for *part, colour in act.props.held]
    ready = prepare_capsules(join_capsules(parts), view, lamp)
    margin = 2 + math.ceil(0.03 * height)
    stage, floor = draw_room(view, room, lamp, height + 2 * margin, width + 2 * margin)
    for box in act.props.still:
        draw_cuboid(stage, view, dataclasses.replace(box, colour=looks(box.colour)), lamp)
    shading = ("l_ankle", "r_ankle", "l_knee", "r_knee", "pelvis", "neck")
    spots = np.stack([act.joints[name] for name in shading], axis=1)  # [T,6,3]
    drift = _shake(plan, num_frames, fps) * height
    frames = np.empty((num_frames, height, width, 3), np.float32)
    for t in range(num_frames):
        dx, dy = drift[t]
        canvas, at = shifted(stage, dx, dy, height, width)
        if not infrared:
            cast_shadow(canvas, floor_part(floor, at), spots[t], lamp, 0.5 if light == "day" else 0.6)
        for box in act.props.moving[t]:
            draw_cuboid(canvas, view, dataclasses.replace(box, colour=looks(box.colour)), lamp)
        draw_capsules(canvas, view, ready, t, lamp)
        frames[t] = canvas.image
    return frames


def _light(scene: Scene, light: str) -> Light:
    """The illumination of a scene in one of `LIGHTS`."""
    if light == "infrared":  # bodies glow by themselves
        return Light(scene.lamp, np.zeros(3), np.ones(3), facing=0.55)
    if light == "day":
        return Light(np.array([scene.lamp[0], 3.2, 2.6]), np.full(3, 0.85), np.array([0.42, 0.45, 0.5]))
    return Light(scene.lamp, scene.lamp_colour, scene.ambient * 0.25, glow=6.0)


def _in_infrared(scene: Scene) -> tuple[Room, Outfit]:
    """Room and outfit for an infrared camera: warmth in place of colour."""
    room, outfit = scene.room, scene.outfit
    warm = dataclasses.replace(
        room,
        wall_colour=_warmth(room.wall_colour),
        floor_colour=_warmth(room.floor_colour) * 0.85,
        patches=tuple((*patch[:4], _warmth(patch[4]) * 0.7, 0.0) for patch in room.patches),
        boxes=tuple(dataclasses.replace(box, colour=_warmth(box.colour) * 1.2) for box in room.boxes),
    )
    heat = [np.full(3, level) for level in (0.85, 0.4, 0.52, 0.42, 0.2)]
    return warm, Outfit(*heat, bare_arms=outfit.bare_arms, bare_legs=outfit.bare_legs)


def _warmth(colour: np.ndarray) -> np.ndarray:
    """The infrared colour of a thing: close to that of the room, with a small difference between materials."""
    return np.full(3, 0.045 + 0.05 * float(np.mean(colour)))


def _view(scene: Scene, plan: ClipPlan, height: int) -> Viewpoint:
    """The camera of a clip: that of its scene, with a small change for every take."""
    rng = np.random.default_rng((plan.seed, 1))
    eye, distance = scene.eye_height + rng.normal(0, 0.05), scene.distance * np.exp(rng.normal(0, 0.04))
    return Viewpoint(1.3 * height, eye, distance, math.atan2(eye - 0.96, distance))


def _shake(plan: ClipPlan, num_frames: int, fps: float) -> np.ndarray:
    """A hand-held camera's drift, [T,2] as a share of the frame height, at most about 0.02."""
    rng = np.random.default_rng((plan.seed, 2))
    amplitude, rate = rng.uniform(0.001, 0.006, (3, 2)), rng.uniform(0.2, 1.6, (3, 2))
    phase = rng.uniform(0, 2 * np.pi, (3, 2))
    seconds = np.arange(num_frames)[:, None, None] / fps
    return np.sum(amplitude * np.sin(2 * np.pi * rate * seconds + phase), axis=1)  # [T,3,2] -> [T,2]
