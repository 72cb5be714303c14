"""The room behind a figure: its surfaces and furniture, how it is drawn at random, rendered and shadowed.

The room says nothing about the action.  It fills most of the picture, so every scene has a room of its own.
"""

from dataclasses import dataclass

import numpy as np

from .render import Canvas, Cuboid, Light, Viewpoint, draw_cuboid, random_albedo


@dataclass(frozen=True)
class Room:
    """A floor, a wall at z = -`wall`, side walls at x = `left` and `right` (metres), furniture and pictures.

    `wall_pattern`: 0 plaster, 1 corrugated, 2 bricks, 3 panels; `floor_pattern`: 0 concrete, 1 tiles, 2 planks.
    `patches` are windows, doors and pictures on the wall: (x, y, half width, half height, colour [3], glow).
    """

    wall: float
    left: float
    right: float
    wall_colour: np.ndarray
    floor_colour: np.ndarray
    wall_pattern: int
    floor_pattern: int
    grain: np.ndarray  # [6,3], waves of the mottling: two frequencies a metre and a phase
    patches: tuple
    boxes: tuple[Cuboid, ...]


def make_room(rng: np.random.Generator) -> Room:
    """A room of random size, surfaces and furniture."""
    wall, patches, boxes = rng.uniform(2.4, 4.2), [], []
    for _ in range(rng.integers(1, 4)):
        shape = (rng.uniform(-3.2, 3.2), rng.uniform(1.2, 1.9), rng.uniform(0.25, 0.6), rng.uniform(0.25, 0.5))
        if rng.random() < 0.25:
            shape = (shape[0], 1.02, 0.45, 1.02)  # a door
        patches.append((*shape, random_albedo(rng, 0.08, 0.5, 0.5), rng.choice([0.0, 0.0, 3.0])))
    for _ in range(rng.integers(1, 5)):
        half = np.array([rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.3)])
        x = rng.choice([-1, 1]) * rng.uniform(0.9, 3.2)
        boxes.append(
            Cuboid(np.array([x, half[1], 0.35 - wall]), half, rng.normal(0, 0.15), random_albedo(rng, 0.06, 0.4, 0.5))
        )
    grain = rng.normal(0, 1, (6, 3)) * [2.5, 2.5, 3.0]
    sides = (-rng.uniform(2.4, 6.0), rng.uniform(2.4, 6.0))
    colours = (random_albedo(rng, 0.15, 0.6, 0.25), random_albedo(rng, 0.1, 0.4, 0.3))
    return Room(wall, *sides, *colours, int(rng.integers(4)), int(rng.integers(3)), grain, tuple(patches), tuple(boxes))


def draw_room(view: Viewpoint, room: Room, light: Light, height: int, width: int) -> tuple[Canvas, tuple]:
    """Draws the room without the figure.

    Args:
      view: the camera.
      room: the room.
      light: the illumination.
      height: rows H of the canvas.
      width: columns W of the canvas.

    Returns:
      The canvas [H,W], and the floor coordinates (x, z), each float32 [H,W] (1000 beside the floor).
    """
    xs, ys = (np.arange(n, dtype=np.float64) - (n - 1) / 2 for n in (width, height))
    which, depth, spot = _surfaces(view, room, xs, ys)
    x, y, z = np.moveaxis(spot, -1, 0)
    floor, u = which == 0, np.where(which == 1, x, z)
    tone = np.where(floor, floor_texture(room.floor_pattern, x, z), wall_texture(room.wall_pattern, u, y))
    v = np.where(floor, z, y)
    along = np.where(floor, x, u)
    tone = tone * (1 + 0.025 * sum(np.sin(a * along + b * v + c) for a, b, c in room.grain))
    tone = tone * np.where(~floor & (y < 0.1), 0.55, 1.0)  # skirting board
    albedo = np.where(floor[..., None], room.floor_colour, room.wall_colour) * tone[..., None]
    glow = np.zeros_like(tone)
    for px, py, half_x, half_y, colour, shine in room.patches:
        inside = np.minimum(half_x - np.abs(x - px), half_y - np.abs(y - py))
        on = which == 1
        albedo[on & (inside > -0.05)] = room.wall_colour * 0.45  # frame
        albedo[on & (inside > 0)] = colour
        bars = (np.abs(x - px) > 0.03) & (np.abs(y - py) > 0.03) | (shine == 0)
        glow += np.where(on & (inside > 0) & bars, shine, 0.0)
    normals = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0], [-1, 0, 0]], float)[which]
    way, strength = light.arriving(spot)
    key = np.maximum(np.sum(normals * way, -1), 0.0) * strength
    corner = 1 - 0.35 * np.exp(-y / 0.4) * (which != 0)  # walls darken towards the floor
    image = albedo * (key[..., None] * light.colour + (corner + glow)[..., None] * light.ambient)
    canvas = Canvas(image.astype(np.float32), depth.astype(np.float32), xs.astype(np.float32), ys.astype(np.float32))
    for box in room.boxes:
        draw_cuboid(canvas, view, box, light)
    if light.glow and view.space(light.lamp)[2] > 0.5:  # the lamp and its halo
        at_x, at_y, at_depth = view.project(light.lamp)
        away = ((xs - at_x) ** 2 + (ys[:, None] - at_y) ** 2) / (view.focal / at_depth) ** 2
        halo = np.exp(-away / 0.008) + 0.05 / (1 + away / 0.02)
        canvas.image += (light.glow * halo[..., None] * light.colour).astype(np.float32)
    return canvas, tuple(np.where(floor, axis, 1e3).astype(np.float32) for axis in (x, z))


def _surfaces(view: Viewpoint, room: Room, xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each pixel shows: the surface [H,W] (0 floor, 1 back wall, 2 and 3 sides), its depth, its place [H,W,3]."""
    sin, cos = np.sin(view.pitch), np.cos(view.pitch)
    right, up = np.broadcast_arrays(xs / view.focal, -ys[:, None] / view.focal)  # [H,W]
    rays = np.stack([right, up * cos - sin, -up * sin - cos], axis=-1)  # [H,W,3], of depth 1
    safe = np.where(np.abs(rays) < 1e-6, 1e-6, rays)
    planes = [view.height / -safe[..., 1], (room.wall + view.distance) / -safe[..., 2]]
    planes += [room.left / safe[..., 0], room.right / safe[..., 0]]
    planes = np.stack([np.where(plane > 0, plane, 1e3) for plane in planes])  # [4,H,W]
    which, depth = planes.argmin(0), planes.min(0)
    return which, depth, rays * depth[..., None] + [0.0, view.height, view.distance]


def wall_texture(pattern: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Relative albedo [...] of a wall at `u` metres along and `v` up."""
    if pattern == 1:
        return 0.78 + 0.22 * np.sin(u * 22)
    if pattern == 2:
        row = np.floor(v / 0.16)
        along = u / 0.42 + 0.5 * (row % 2)
        joint = (np.abs((v / 0.16) % 1 - 0.5) > 0.41) | (np.abs(along % 1 - 0.5) > 0.465)
        return np.where(joint, 1.2, 0.88 + 0.12 * np.sin(row * 12.9 + np.floor(along) * 78.2))
    if pattern == 3:
        return np.where(np.abs((u / 0.9) % 1 - 0.5) > 0.475, 0.6, 1.0) * np.where(v < 0.9, 0.7, 1.0)
    return np.ones_like(u)


def floor_texture(pattern: int, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Relative albedo [...] of the floor."""
    if pattern == 1:
        return 0.72 + 0.4 * ((np.floor(x / 0.5) + np.floor(z / 0.5)) % 2)
    if pattern == 2:
        plank = np.floor(x / 0.18)
        return np.where(np.abs((x / 0.18) % 1 - 0.5) > 0.46, 0.6, 0.9 + 0.15 * np.sin(plank * 45.3))
    return np.ones_like(x)


def cast_shadow(canvas: Canvas, floor: tuple, spots: np.ndarray, light: Light, share: float) -> None:
    """Darkens the floor by soft spots where the lamp's rays through `spots` [N,3] meet it.

    `floor` holds x and z [h,W] in metres of the lowest h rows, 1000 beside the floor.  The darkest place loses `share`
    of the lamp's light.
    """
    x, z = floor
    if not x.size:
        return
    dark = np.zeros(x.shape, np.float32)
    for spot in spots:
        fall = spot[1] / max(light.lamp[1] - spot[1], 0.4)
        at = spot + np.clip(fall, 0, 1.5) * (spot - light.lamp)
        dark += np.exp(((x - at[0]) ** 2 + (z - at[2]) ** 2) * np.float32(-1 / (0.13 + 0.12 * spot[1]) ** 2))
    canvas.image[-len(x) :] *= (1 - share * np.minimum(dark, 1.0))[..., None]


def floor_part(floor: tuple, at: tuple[slice, slice]) -> tuple:
    """The coordinates of the floor in a window, from the first row with floor."""
    x, z = (axis[at] for axis in floor)
    first = int(np.argmax(x.min(axis=1) < 1e3)) if x.min() < 1e3 else len(x)
    return x[first:], z[first:]
