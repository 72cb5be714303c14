"""The embedded data set: ARID's eleven actions, performed by a rendered figure in the dark.

Real dark video cannot be downloaded by a test or a demo, so this one is made: every clip is planned from a seed,
acted by a figure of its own proportions and clothes in a room of its own, photographed by the low-light camera and
written as H.264 in ARID's layout and list format.  The same plan in daylight and in infrared is the same performance:
only the light differs.
"""

import dataclasses
import json
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_prep import figure_motion as motion
from data_prep import figure_render as render
from lift_flax.data.camera import Camera, expose, to_srgb
from lift_flax.errors import UserError

CLASSES = tuple(sorted(motion.ACTIONS))
LIGHTS = ("dark", "day", "infrared")
CLIPS_PER_GROUP = 2
SCENES_PER_CLASS_GROUP = 2.4  # scenes in the pool for each group of a class: every scene serves several classes
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SETTINGS_FILE = "night_figures.json"
VERSION = 1  # of the pictures: raise it when the same settings render differently


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


def plan_clips(seed: int, train_per_class: int, test_per_class: int) -> list[ClipPlan]:
    """Plans the data set.

    A group is a scene (room, actor, clothes, base viewpoint, illumination).  Several classes share a scene, so that a
    room does not tell the action; no scene of the training clips is in a test clip, and test groups are numbered after
    the training groups.

    Args:
        seed: of everything.
        train_per_class: training clips of each class.
        test_per_class: test clips of each class.

    Returns:
        The plans, train before test, by class, group and clip.
    """
    plans, first_group = [], 1
    for part, (split, count) in enumerate((("train", train_per_class), ("test", test_per_class))):
        rng = np.random.default_rng(np.random.SeedSequence((seed, part)))
        groups = math.ceil(count / CLIPS_PER_GROUP)
        pool = math.ceil(groups * SCENES_PER_CLASS_GROUP)
        rounds = math.ceil(len(CLASSES) * groups / max(pool, 1)) + 2
        deck = np.concatenate([rng.permutation(pool) for _ in range(rounds)])
        for label, class_name in enumerate(CLASSES):
            hand, deck = _deal(deck, groups)
            for index in range(count):
                group = first_group + int(hand[index // CLIPS_PER_GROUP])
                take = index % CLIPS_PER_GROUP + 1
                name = f"{class_name}/{class_name}_{group}_{take}"
                scene = np.random.SeedSequence((seed, part, group)).generate_state(1, np.uint64)[0]
                own = np.random.SeedSequence((seed, part, group, label + 1, take)).generate_state(1, np.uint64)[0]
                plans.append(ClipPlan(name, class_name, label, group, split, int(own), int(scene)))
        first_group += pool
    return plans


def _deal(deck: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Takes `count` different scenes from the top of the deck; returns them sorted, and the rest."""
    places = np.sort(np.unique(deck, return_index=True)[1])[:count]
    return np.sort(deck[places]), np.delete(deck, places)


@dataclass(frozen=True)
class Scene:
    """What the clips of a group share; `luma` is the mean of the dark clips in 8-bit codes."""

    room: render.Room
    body: motion.Body
    outfit: render.Outfit
    lamp: np.ndarray
    lamp_colour: np.ndarray
    ambient: np.ndarray
    heading: float
    eye_height: float
    distance: float
    luma: float
    balance: tuple[float, float, float]


def _paint(rng: np.random.Generator, low: float, high: float, colourful: float) -> np.ndarray:
    """A linear albedo [3] of random hue: mean between `low` and `high`, saturation up to `colourful`."""
    hue, saturation = rng.random() * 2 * np.pi, rng.random() * colourful
    tint = 1 + saturation * np.cos(hue + np.array([0.0, 2.1, 4.2]))
    return tint * np.exp(rng.uniform(np.log(low), np.log(high)))


def _make_room(rng: np.random.Generator) -> render.Room:
    wall, patches, boxes = rng.uniform(2.4, 4.2), [], []
    for _ in range(rng.integers(1, 4)):
        shape = (rng.uniform(-3.2, 3.2), rng.uniform(1.2, 1.9), rng.uniform(0.25, 0.6), rng.uniform(0.25, 0.5))
        if rng.random() < 0.25:
            shape = (shape[0], 1.02, 0.45, 1.02)  # a door
        patches.append((*shape, _paint(rng, 0.08, 0.5, 0.5), rng.choice([0.0, 0.0, 3.0])))
    for _ in range(rng.integers(1, 5)):
        half = np.array([rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.3)])
        x = rng.choice([-1, 1]) * rng.uniform(0.9, 3.2)
        boxes.append(
            render.Box(np.array([x, half[1], 0.35 - wall]), half, rng.normal(0, 0.15), _paint(rng, 0.06, 0.4, 0.5))
        )
    grain = rng.normal(0, 1, (6, 3)) * [2.5, 2.5, 3.0]
    sides = (-rng.uniform(2.4, 6.0), rng.uniform(2.4, 6.0))
    colours = (_paint(rng, 0.15, 0.6, 0.25), _paint(rng, 0.1, 0.4, 0.3))
    return render.Room(
        wall, *sides, *colours, int(rng.integers(4)), int(rng.integers(3)), grain, tuple(patches), tuple(boxes)
    )


def _make_scene(seed: int) -> Scene:
    rng = np.random.default_rng(seed)
    skin = np.array([0.50, 0.29, 0.19]) * np.exp(rng.uniform(-1.1, 0.25))
    clothes = [_paint(rng, 0.06, 0.6, 0.9), _paint(rng, 0.04, 0.3, 0.5), _paint(rng, 0.03, 0.5, 0.4)]
    hair = np.array([0.06, 0.04, 0.025]) * np.exp(rng.uniform(-1, 1.2))
    bare = rng.random(2) < (0.6, 0.3)
    warm = rng.random()
    lamp = np.array([rng.choice([-1, 1]) * rng.uniform(0.8, 2.6), rng.uniform(1.9, 3.0), rng.uniform(-1.2, 2.4)])
    return Scene(
        room=_make_room(rng),
        body=motion.Body(rng.normal(1.71, 0.07), rng.uniform(0.88, 1.14), rng.uniform(0.96, 1.04)),
        outfit=render.Outfit(skin, hair, *clothes, *(bool(b) for b in bare)),
        lamp=lamp,
        lamp_colour=np.array([1.0, 0.95 - 0.25 * warm, 0.9 - 0.5 * warm]),
        ambient=rng.uniform(0.12, 0.4) * np.array([0.8, 0.95, 1.15]),
        heading=rng.uniform(-1, 1),
        eye_height=rng.uniform(1.0, 1.7),
        distance=rng.uniform(2.8, 3.6),
        luma=float(np.clip(np.exp(rng.normal(np.log(17.0), 0.4)), 8.5, 46.0)),
        balance=tuple(np.array([1.0, 1.0, 1.0]) * np.exp(rng.normal(0, 0.06, 3))),
    )


def _light(scene: Scene, light: str) -> render.Light:
    if light == "infrared":  # bodies glow by themselves
        return render.Light(scene.lamp, np.zeros(3), np.ones(3), facing=0.55)
    if light == "day":
        return render.Light(np.array([scene.lamp[0], 3.2, 2.6]), np.full(3, 0.85), np.array([0.42, 0.45, 0.5]))
    return render.Light(scene.lamp, scene.lamp_colour, scene.ambient * 0.6, glow=6.0)


def _warmth(colour: np.ndarray) -> np.ndarray:
    """The infrared look of a lifeless thing: near the room's temperature, a little told apart by its material."""
    return np.full(3, 0.045 + 0.05 * float(np.mean(colour)))


def _in_infrared(scene: Scene) -> tuple[render.Room, render.Outfit]:
    room, outfit = scene.room, scene.outfit
    warm = dataclasses.replace(
        room,
        wall_colour=_warmth(room.wall_colour),
        floor_colour=_warmth(room.floor_colour) * 0.85,
        patches=tuple((*patch[:4], _warmth(patch[4]) * 0.7, 0.0) for patch in room.patches),
        boxes=tuple(dataclasses.replace(box, colour=_warmth(box.colour) * 1.2) for box in room.boxes),
    )
    heat = [np.full(3, level) for level in (0.85, 0.4, 0.52, 0.42, 0.2)]
    return warm, render.Outfit(*heat, outfit.bare_arms, outfit.bare_legs)


@dataclass(frozen=True)
class Performance:
    """A clip before it is lit.

    Attributes:
        joints: name -> [T,3] in world metres.
        frames: orientation of root, chest and head, [T,3,3].
        props: parts for `render.join_capsules`, with their albedos in daylight.
        still: boxes that stay.
        moving: boxes of every frame, T lists.
    """

    joints: motion.Curves
    frames: motion.Curves
    props: list[tuple]
    still: list[render.Box]
    moving: list[list[render.Box]]


def _heading(action: str, share: float, jitter: float) -> float:
    """Direction in degrees that a figure faces, 0 towards the camera, from the scene's `share` in [-1, 1]."""
    if action in ("Push", "Run", "Walk"):
        return math.copysign(38 + 40 * abs(share), share) + jitter
    return 52 * share + jitter


def perform(plan: ClipPlan, num_frames: int, fps: float) -> Performance:
    """Acts a clip: everything about it but the light.

    Args:
        plan: the clip.
        num_frames: T.
        fps: frames a second.
    """
    scene, rng = _make_scene(plan.scene_seed), np.random.default_rng(plan.seed)
    side = rng.choice([-1.0, 1.0])
    style = motion.Style(
        side, rng.uniform(0.85, 1.2), rng.random(), rng.uniform(0.85, 1.12), rng.uniform(-0.04, 0.04), rng.random()
    )
    seconds = np.arange(num_frames) / fps
    clock = motion.Clock(seconds, np.linspace(0, 1, num_frames))
    curves = motion.ACTIONS[plan.class_name](clock, style, scene.body)
    joints, frames = motion.pose(curves, scene.body, num_frames)
    props, still, moving = _props(plan.class_name, curves, joints, frames, style, scene.body, rng)
    degrees = _heading(plan.class_name, scene.heading, rng.normal(0, 7))
    turn = motion.rotation("y", np.array(degrees))
    far = {"Run": 1.0, "Walk": 0.7, "Push": 0.6}.get(plan.class_name, 0.1)
    place = np.array([rng.uniform(-0.25, 0.25) / (1 + far), 0.0, rng.uniform(-0.4, 0.4) - far])
    place[0] -= (joints["pelvis"] @ turn.T)[:, 0].mean()  # whoever crosses the picture is in its middle half-way

    def moved(points: np.ndarray) -> np.ndarray:
        return points @ turn.T + place

    def moved_box(box: render.Box) -> render.Box:
        return render.Box(moved(box.centre), box.half, box.yaw + math.radians(degrees), box.colour)

    return Performance(
        {name: moved(points) for name, points in joints.items()},
        {name: turn @ frame for name, frame in frames.items()},
        [(moved(a), moved(b), *rest) for a, b, *rest in props],
        [moved_box(box) for box in still],
        [[moved_box(box) for box in boxes] for boxes in moving],
    )


def _props(action, curves, joints, frames, style, body, rng) -> tuple[list, list, list]:
    """Cup, bottle, object, box or chair of an action, in the figure's own space: capsules, still and moving boxes."""
    num_frames, root, h = len(joints["path"]), frames["root"], body.height
    main, other = ("l", "r") if style.side > 0 else ("r", "l")
    colour, props, still, moving = _paint(rng, 0.25, 0.8, 0.8), [], [], [[] for _ in range(num_frames)]

    def add(a, b, ra, rb, paint):
        radius = np.stack(np.broadcast_arrays(ra, rb, np.zeros(num_frames))[:2], -1)  # [T,2]
        props.append((a, b, radius, radius, paint))

    if action in ("Drink", "Pour"):
        tilt = np.deg2rad(np.broadcast_to(curves.get("cup_tilt", 0.0), num_frames))
        axis = np.einsum("tij,tj->ti", root, np.stack([0 * tilt, np.cos(tilt), -np.sin(tilt)], -1))
        holder = main if action == "Drink" else other
        cup = joints[f"{holder}_hand"] + root @ [0, 0.02, 0.035]
        add(cup - 0.04 * axis, cup + 0.05 * axis, 0.036, 0.045, colour)
    if action == "Pour":
        tilt = np.deg2rad(curves["bottle_tilt"])
        axis = np.einsum("tij,tj->ti", root, np.stack([-style.side * np.sin(tilt), np.cos(tilt), 0 * tilt], -1))
        grip, glass = joints[f"{main}_hand"] + root @ [0, 0, 0.04], _paint(rng, 0.2, 0.7, 0.8)
        add(grip - 0.1 * axis, grip + 0.08 * axis, 0.044, 0.042, glass)
        add(grip + 0.1 * axis, grip + 0.19 * axis, 0.022, 0.016, glass)
        mouth = grip + 0.2 * axis
        flow = np.where(tilt > 1.4, 0.009, 1e-4)
        add(mouth, np.stack([mouth[:, 0], cup[:, 1], mouth[:, 2]], -1), flow, flow, np.array([0.8, 0.85, 0.9]))
    if action == "Pick":
        there = curves[f"{main}_reach"][0] - [0, 0.035 * h, -0.02]
        taken = curves["taken"][:, None]
        spot = np.where(taken, joints[f"{main}_hand"] - [0, 0.05, -0.02], there)
        add(spot - [0.05, 0, 0], spot + [0.05, 0, 0], 0.07, 0.07, colour)
        tall = there[1] - 0.06
        if tall > 0.08:
            half = np.array([0.17, tall / 2, 0.15])
            still.append(render.Box(np.array([there[0], tall / 2, there[2]]), half, 0.0, _paint(rng, 0.1, 0.4, 0.5)))
    if action == "Push":
        half = np.array([0.28, 0.32 * h, 0.26])
        for t, boxes in enumerate(moving):
            centre = joints["path"][t] + root[t] @ [0.0, half[1], 0.44 * h + 0.26]
            boxes.append(render.Box(centre, half, 0.0, colour * 0.6))
    if action in ("Sit", "Stand"):
        seated = -1 if action == "Sit" else 0
        still += _chair(joints["pelvis"][seated], 0.075 * h * body.build, _paint(rng, 0.08, 0.4, 0.6))
    return props, still, moving


def _chair(pelvis: np.ndarray, below: float, colour: np.ndarray) -> list[render.Box]:
    """A chair under a seated pelvis [3], its seat `below` metres under it."""
    x, seat, z = pelvis[0], pelvis[1] - below, pelvis[2] + 0.06
    parts = [((0, seat - 0.025, 0), (0.22, 0.025, 0.21)), ((0, seat + 0.32, -0.22), (0.21, 0.16, 0.018))]
    for sx in (-0.2, 0.2):
        parts += [((sx, seat / 2, sz), (0.02, seat / 2, 0.02)) for sz in (-0.2, 0.19)]
        parts.append(((sx, seat + 0.1, -0.22), (0.018, 0.1, 0.018)))
    return [render.Box(np.array([x, 0, z]) + place, np.array(half), 0.0, colour) for place, half in parts]


def render_scene(plan: ClipPlan, light: str, height: int, width: int, num_frames: int, fps: float) -> np.ndarray:
    """Renders what the camera will look at: linear light, float32 [T,H,W,3].  Arguments as `render_clip`."""
    scene, act = _make_scene(plan.scene_seed), perform(plan, num_frames, fps)
    lamp, infrared = _light(scene, light), light == "infrared"
    room, outfit = _in_infrared(scene) if infrared else (scene.room, scene.outfit)
    view = _view(scene, plan, height)
    capsules = render.figure_capsules(
        act.joints, act.frames, scene.body, outfit, np.array([0, view.height, view.distance])
    )
    looks = _warmth if infrared else np.asarray
    if act.props:
        props = render.join_capsules([(*part, looks(colour)) for *part, colour in act.props])
        capsules = render.Capsules(
            *(np.concatenate(both) for both in zip(_fields(capsules), _fields(props), strict=True))
        )
    ready = render.prepare_capsules(capsules, view, lamp)
    margin = 2 + math.ceil(0.03 * height)
    stage, floor = render.draw_room(view, room, lamp, height + 2 * margin, width + 2 * margin)
    for box in act.still:
        render.draw_box(stage, view, dataclasses.replace(box, colour=looks(box.colour)), lamp)
    spots = np.stack(
        [act.joints[n] for n in ("l_ankle", "r_ankle", "l_knee", "r_knee", "pelvis", "neck")], 1
    )  # [T,6,3]
    drift = _shake(plan, num_frames, fps) * height
    frames = np.empty((num_frames, height, width, 3), np.float32)
    for t in range(num_frames):
        canvas, at = render.shifted(stage, *drift[t], height, width)
        if not infrared:
            render.cast_shadow(canvas, _floor_part(floor, at), spots[t], lamp, 0.5 if light == "day" else 0.6)
        for box in act.moving[t]:
            render.draw_box(canvas, view, dataclasses.replace(box, colour=looks(box.colour)), lamp)
        render.draw_capsules(canvas, view, ready, t, lamp)
        frames[t] = canvas.image
    return frames


def _fields(capsules: render.Capsules) -> tuple:
    return capsules.a, capsules.b, capsules.radius, capsules.thick, capsules.colour


def _floor_part(floor: tuple, at: tuple[slice, slice]) -> tuple:
    """The floor's coordinates in a window, from the first row that has any floor."""
    x, z = (axis[at] for axis in floor)
    first = int(np.argmax(x.min(axis=1) < 1e3)) if x.min() < 1e3 else len(x)
    return x[first:], z[first:]


def _view(scene: Scene, plan: ClipPlan, height: int) -> render.View:
    rng = np.random.default_rng((plan.seed, 1))
    eye, distance = scene.eye_height + rng.normal(0, 0.05), scene.distance * np.exp(rng.normal(0, 0.04))
    return render.View(1.3 * height, eye, distance, math.atan2(eye - 0.96, distance))


def _shake(plan: ClipPlan, num_frames: int, fps: float) -> np.ndarray:
    """A hand-held camera's drift, [T,2] as a share of the frame height, at most about 0.02."""
    rng = np.random.default_rng((plan.seed, 2))
    amplitude, rate = rng.uniform(0.001, 0.006, (3, 2)), rng.uniform(0.2, 1.6, (3, 2))
    phase = rng.uniform(0, 2 * np.pi, (3, 2))
    seconds = np.arange(num_frames)[:, None, None] / fps
    return np.sum(amplitude * np.sin(2 * np.pi * rate * seconds + phase), axis=1)  # [T,3,2] -> [T,2]


def _exposure(linear: np.ndarray, luma: float) -> float:
    """The exposure at which frames [T,H,W,3] have the mean luma `luma` of 255, by bisection on a sample."""
    sample, low, high = linear[::6, 1::3, 1::3], 1e-5, 30.0
    for _ in range(18):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if (to_srgb(sample * middle) @ LUMA).mean() < luma else (low, middle)
    return math.sqrt(low * high)


def render_clip(plan: ClipPlan, light: str, height: int, width: int, num_frames: int, fps: float) -> np.ndarray:
    """Films a clip; the same arguments give the same bytes.

    Args:
        plan: the clip.
        light: "dark", "day" or "infrared"; performance and view do not depend on it.
        height: rows H in pixels.
        width: columns W in pixels.
        num_frames: T.
        fps: frames a second.

    Returns:
        sRGB frames, uint8 [T,H,W,3].

    Raises:
        ValueError: an unknown light.
    """
    if light not in LIGHTS:
        raise ValueError(f"light is one of {', '.join(LIGHTS)}, not {light!r}")
    linear, scene = render_scene(plan, light, height, width, num_frames, fps), _make_scene(plan.scene_seed)
    rng = np.random.default_rng((plan.seed, 3))
    luma = {"dark": scene.luma, "day": 95 + 1.2 * scene.luma, "infrared": 0.0}[light] * math.exp(rng.normal(0, 0.06))
    if light == "infrared":
        codes = expose(linear[..., :1], Camera(1.0, (1.0,), full_well=2500.0, read_noise=6.0), rng)
        return np.repeat(codes, 3, axis=-1)  # [T,H,W,1] -> [T,H,W,3]
    well, read = (8000.0, 3.0) if light == "dark" else (20000.0, 4.0)
    return expose(linear, Camera(_exposure(linear, luma), scene.balance, well, read), rng)


def clip_frames(plan: ClipPlan, num_frames: tuple[int, int]) -> int:
    """The length of a clip, drawn from its own seed between the two bounds, both included."""
    return int(np.random.default_rng((plan.seed, 4)).integers(num_frames[0], num_frames[1] + 1))


def encode_clip(frames: np.ndarray, path: Path, fps: int) -> None:
    """Writes frames, uint8 [T,H,W,3], as H.264 at CRF 12, which keeps the dark; the file appears when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial")
    with av.open(str(partial), "w", format="mp4") as container:
        # x264's macroblock tree is not reproducible: with it the same frames gave other bytes in one run out of ten.
        options = {"crf": "12", "preset": "veryfast", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    os.replace(partial, path)


def _make_clip(plan: ClipPlan, out_dir: Path, settings: dict) -> None:
    height = settings["height"]
    frames = clip_frames(plan, tuple(settings["num_frames"]))
    video = render_clip(plan, settings["light"], height, settings["width"], frames, settings["fps"])
    encode_clip(video, out_dir / "clips" / f"{plan.name}.mp4", settings["fps"])


def _settle(out_dir: Path, settings: dict) -> None:
    """Notes the settings in the folder, or checks that they are those of the clips that are there already."""
    note = out_dir / SETTINGS_FILE
    if out_dir.exists() and not out_dir.is_dir():
        raise UserError(f"{out_dir} is a file; give a folder")
    if not note.exists():
        if (out_dir / "clips").exists():
            raise UserError(f"{out_dir} holds clips that night_figures did not make; give another folder")
        out_dir.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(settings, indent=1) + "\n")
        return
    try:
        old = json.loads(note.read_text())
    except ValueError:
        raise UserError(f"{note} is not readable as settings; delete {out_dir} or give another folder") from None
    differ = [name for name in settings if not isinstance(old, dict) or old.get(name) != settings[name]]
    if differ:
        raise UserError(
            f"{out_dir} was made with other settings ({', '.join(differ)}); delete it or give another folder"
        )


def _write_lists(out_dir: Path, plans: list[ClipPlan]) -> None:
    for split in ("train", "test"):
        rows = [plan for plan in plans if plan.split == split]
        lines = [f"{number}\t{plan.label}\t{plan.name}.mp4\n" for number, plan in enumerate(rows)]
        (out_dir / f"ARID_split1_{split}.txt").write_text("".join(lines))
    (out_dir / "mapping_table.txt").write_text("".join(f"{label}\t{name}\n" for label, name in enumerate(CLASSES)))


def write_dataset(
    out_dir: str | Path,
    *,
    light: str = "dark",
    seed: int = 0,
    train_per_class: int = 40,
    test_per_class: int = 12,
    height: int = 120,
    num_frames: tuple[int, int] = (36, 48),
    fps: int = 20,
    workers: int | None = None,
) -> None:
    """Writes the data set: `clips/Class/Class_g_k.mp4`, ARID's lists beside them, and a note of the settings.

    A run that was stopped can be called again: whole clips are kept, the others are made.  The files do not depend on
    the number of workers.

    Args:
        out_dir: folder, made when missing.
        light: "dark", "day" or "infrared".
        seed: of the plan.
        train_per_class: training clips of each of the eleven classes.
        test_per_class: test clips of each class.
        height: rows in pixels, a multiple of 12; the width is 4/3 of it.
        num_frames: least and most frames of a clip.
        fps: frames a second.
        workers: processes; as many as cores by default.

    Raises:
        UserError: a setting is out of range, or the folder holds a data set of other settings.
    """
    out_dir, low, high = Path(out_dir), *num_frames
    if light not in LIGHTS:
        raise UserError(f"light={light} is unknown; use one of {', '.join(LIGHTS)}")
    if height < 24 or height % 12:
        raise UserError(f"height={height} does not fit; use a multiple of 12, such as 120 or 240")
    if not 2 <= low <= high or fps < 1 or min(seed, train_per_class, test_per_class) < 0:
        raise UserError(
            f"num_frames={low},{high} fps={fps} seed={seed} clips={train_per_class}+{test_per_class} is no data set"
        )
    settings = {"version": VERSION, "light": light, "seed": seed, "train_per_class": train_per_class}
    settings |= {"test_per_class": test_per_class, "height": height, "width": height * 4 // 3}
    settings |= {"num_frames": [low, high], "fps": fps}
    plans = plan_clips(seed, train_per_class, test_per_class)
    _settle(out_dir, settings)
    _write_lists(out_dir, plans)
    for stale in out_dir.glob("clips/*/.*.partial"):  # of a run that was killed
        stale.unlink()
    missing = [plan for plan in plans if not (out_dir / "clips" / f"{plan.name}.mp4").exists()]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    context = multiprocessing.get_context("spawn")
    workers = max(1, min(workers or len(os.sched_getaffinity(0)), len(missing)))
    with Progress(*columns) as progress, ProcessPoolExecutor(workers, mp_context=context) as pool:
        bar = progress.add_task(f"night_figures ({light})", total=len(plans), completed=len(plans) - len(missing))
        futures = [pool.submit(_make_clip, plan, out_dir, settings) for plan in missing]
        try:
            for future in as_completed(futures):
                future.result()
                progress.advance(bar)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
