"""A clip of the street: who does what where, seen by which camera, and its frames in linear light."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ..actions import Style
from ..pose import Joints, pose, rotation
from ..props import Props, make_props
from ..render import Cuboid, Viewpoint, draw_capsules, draw_cuboid, join_capsules, prepare_capsules, shifted
from ..room import cast_shadow, floor_part
from ..scene import ClipPlan
from .acts import MOTIONS, idle
from .camera import Framing, aim, drift_of, frame, in_sight, kept_up
from .gait import walk
from .motion import Motion, Take, loosened
from .people import Person, dressed, make_person
from .place import Place, cold, draw_place, light_of, make_place, warmed

_HEAT = (0.85, 0.4, 0.52, 0.42, 0.2)  # of skin, hair, shirt, trousers and shoes in infrared
_SHADING = ("l_ankle", "r_ankle", "pelvis", "neck")  # joints that cast a shadow
_SEEN = 0.4  # pixels: the radius from which a part is drawn


@dataclass(frozen=True)
class Figure:
    """A person in motion, in world metres: joints [T,3], frames [T,3,3], and the things of the action."""

    person: Person
    joints: Joints
    frames: Joints
    props: Props


@dataclass(frozen=True)
class Shot:
    """A clip before it is drawn.

    Attributes:
      place: where it is.
      figures: the performer first.
      view: the camera.
      drift: of the picture, [T,2] in pixels.
      screens: boxes between the camera and the performer.
      fps: frames per second.
    """

    place: Place
    figures: list[Figure]
    view: Viewpoint
    drift: np.ndarray
    screens: list[Cuboid]
    fps: int


def compose(plan: ClipPlan, height: int, width: int) -> Shot:
    """Draws all of a clip from the seeds of its plan.

    Args:
      plan: the clip.
      height: rows H in pixels.
      width: columns W in pixels.
    """
    place = make_place(np.random.default_rng(plan.scene_seed))
    rng = np.random.default_rng(plan.seed)
    person, framing = make_person(rng), frame(rng)
    seconds = np.arange(framing.num_frames) / framing.fps
    take = Take(seconds, person.body, rng.choice([-1.0, 1.0]), rng)
    motion = MOTIONS[plan.class_name](take)
    spread = framing.metres * width / height
    view = aim(framing, person.body.height, height)
    way = _placed(motion.way(seconds, framing.heading), framing, spread)
    seen = view.project(way[0] + [0.0, 0.6 * person.body.height, 0.0])[:, :2] / [width / 2, height / 2]
    framing = kept_up(framing, seen, rng)
    part = slice(*in_sight(framing, seen))
    seconds, way = seconds[part] - seconds[part.start], (way[0][part], way[1][part])
    motion = Motion(
        {name: np.asarray(value)[part] if np.ndim(value) else value for name, value in motion.curves.items()}
    )
    take = dataclasses.replace(take, seconds=seconds)
    props = plan.class_name if rng.random() < 0.75 or plan.class_name == "Push" else ""
    performer = _figure(person, take, motion, way, props)
    drift = drift_of(framing, view, performer.joints["pelvis"], height, rng)
    figures = [performer]
    if rng.random() < 0.25:
        figures.append(_second(seconds, framing, spread, rng))
    farthest = min(float(figure.joints["pelvis"][:, 2].min()) for figure in figures)
    place = dataclasses.replace(place, wall=max(place.wall, 0.5 - farthest))
    return Shot(place, figures, view, drift, _screens(framing, spread, rng), framing.fps)


def _placed(way: tuple[np.ndarray, np.ndarray], framing: Framing, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """A way in world metres: near the middle of a picture `spread` metres wide, and not into the camera."""
    places, degrees = way
    limit = 0.55 * framing.distance  # how near the performer comes to the camera
    beyond = max(float(places[:, 2].max()) - limit, 0.0)
    return places + [framing.beside * spread, 0.0, -beyond], degrees


def _figure(person: Person, take: Take, motion: Motion, way: tuple[np.ndarray, np.ndarray], action: str) -> Figure:
    """Poses a person along a way; `action` names its things, empty for none."""
    places, degrees = way
    curves = loosened(take, motion.curves)
    joints, frames = pose(curves, person.body, len(take.seconds))
    style = Style(take.side)
    props = make_props(action, curves, joints, frames["root"], style, person.body, take.rng)
    turn = rotation("y", degrees)  # [T,3,3]

    def moved(points: np.ndarray) -> np.ndarray:
        return np.einsum("tij,tj->ti", turn, points) + places

    def moved_box(box: Cuboid, t: int) -> Cuboid:
        return Cuboid(turn[t] @ box.centre + places[t], box.half, box.yaw + math.radians(degrees[t]), box.colour)

    things = Props(
        [(moved(a), moved(b), *rest) for a, b, *rest in props.held],
        [moved_box(box, 0) for box in props.still],
        [[moved_box(box, t) for box in boxes] for t, boxes in enumerate(props.moving)],
    )
    placed = {name: moved(points) for name, points in joints.items()}
    return Figure(person, placed, {name: turn @ axes for name, axes in frames.items()}, things)


def _second(seconds: np.ndarray, framing: Framing, spread: float, rng: np.random.Generator) -> Figure:
    """A second person, who stands or walks behind the performer."""
    person = make_person(rng)
    take = Take(seconds, person.body, rng.choice([-1.0, 1.0]), rng)
    motion = walk(take) if rng.random() < 0.4 else idle(take)
    places, degrees = motion.way(seconds, rng.uniform(0, 360))
    away = rng.uniform(0.8, 4.0)
    side = rng.choice([-1.0, 1.0]) * rng.uniform(0.15, 0.6) * spread * (framing.distance + away) / framing.distance
    places = places + [side, 0.0, -away - places[:, 2].max()]
    return _figure(person, take, motion, (places, degrees), "")


def _screens(framing: Framing, spread: float, rng: np.random.Generator) -> list[Cuboid]:
    """Posts, fences and bins that hide a part of the performer in every eighth clip."""
    if rng.random() > 0.125:
        return []
    near = rng.uniform(0.55, 0.8)  # share of the way from the performer to the camera, from 0 to 1
    z, scale = framing.distance * (1 - near) + 0.3, near
    if rng.random() < 0.5:  # a post
        half = np.array([rng.uniform(0.01, 0.05) * spread * scale, 3.0, 0.05])
    else:  # low, in the foreground
        tall = min(rng.uniform(0.1, 0.4), 0.35 * framing.eye)
        half = np.array([rng.uniform(0.1, 0.6) * spread * scale, tall, 0.1])
    x = rng.uniform(-0.4, 0.4) * spread * scale
    return [Cuboid(np.array([x, half[1], z]), half, rng.normal(0, 0.1), np.full(3, rng.uniform(0.03, 0.5)))]


def render_shot(shot: Shot, height: int, width: int) -> Float32[np.ndarray, "T H W 3"]:
    """Renders a clip in linear light, float32 [T,H,W,3], for a camera to photograph."""
    place, view, light = shot.place, shot.view, light_of(shot.place)
    eye = np.array([0, view.height, view.distance])
    parts = [part for figure in shot.figures for part in _parts(figure, place, eye) if _is_seen(part, view)]
    ready = prepare_capsules(join_capsules(parts), view, light)
    away = np.ceil(np.abs(shot.drift).max(0)).astype(int) + 2
    stage, ground = draw_place(view, place, light, height + 2 * int(away[1]), width + 2 * int(away[0]))
    for box in [*shot.screens, *(box for figure in shot.figures for box in figure.props.still)]:
        draw_cuboid(stage, view, dataclasses.replace(box, colour=cold(box.colour, place)), light)
    spots = np.concatenate([np.stack([f.joints[name] for name in _SHADING], axis=1) for f in shot.figures], axis=1)
    spots = spots.astype(np.float32)
    share = 0.6 * (1 - place.warmth)
    frames = np.empty((len(shot.drift), height, width, 3), np.float32)
    for t, (dx, dy) in enumerate(shot.drift):
        canvas, at = shifted(stage, dx, dy, height, width)
        if share > 0.05:
            cast_shadow(canvas, floor_part(ground, at), spots[t], light, share)
        for figure in shot.figures:
            for box in figure.props.moving[t]:
                draw_cuboid(canvas, view, dataclasses.replace(box, colour=cold(box.colour, place)), light)
        draw_capsules(canvas, view, ready, t, light)
        frames[t] = canvas.image
    return frames


def _is_seen(part: tuple, view: Viewpoint) -> bool:
    """Whether a capsule is ever large enough to be worth drawing: eyes are not, from far away."""
    near = max(float(view.project(part[0])[:, 2].min()), 0.25)
    return float(part[2].max()) * view.focal / near > _SEEN


def _parts(figure: Figure, place: Place, eye: np.ndarray) -> list[tuple]:
    """The capsules of a figure in the light of the place, for a camera at `eye` [3]."""
    person, outfit = figure.person, figure.person.outfit
    names = ("skin", "hair", "shirt", "trousers", "shoes")
    colours = {name: warmed(getattr(outfit, name), heat, place) for name, heat in zip(names, _HEAT, strict=True)}
    extras = np.stack([warmed(colour, 0.4, place) for colour in person.extras])
    seen = dataclasses.replace(person, outfit=dataclasses.replace(outfit, **colours), extras=extras)
    parts = dressed(seen, figure.joints, figure.frames, eye)
    return parts + [(*part, cold(colour, place)) for *part, colour in figure.props.held]
