"""Draws a scene frame in linear light: a room, its furniture and a figure of shaded capsules, by numpy alone.

A pinhole camera stands at (0, height, distance) and looks towards -z, tilted down by `pitch`.  Everything is drawn into
a canvas with a depth buffer; edges are smoothed by their signed distance instead of supersampling, and only the pixels
of a shape's bounding box are touched, which keeps a frame of 160x120 near two milliseconds.
"""

from dataclasses import dataclass

import numpy as np

from data_prep.figure_motion import SIDES, Body, Curves


@dataclass(frozen=True)
class View:
    """Pinhole camera: `focal` in pixels, `height` and `distance` in metres, `pitch` downwards in radians."""

    focal: float
    height: float
    distance: float
    pitch: float

    def space(self, points: np.ndarray) -> np.ndarray:
        """World points [...,3] to camera space [...,3]: right, up, depth in metres."""
        x, y, z = points[..., 0], points[..., 1] - self.height, self.distance - points[..., 2]
        sin, cos = np.sin(self.pitch), np.cos(self.pitch)
        return np.stack([x, y * cos + z * sin, z * cos - y * sin], axis=-1)

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points [...,3] to [...,3]: pixels right and down of the optical axis, and depth in metres."""
        right, up, depth = np.moveaxis(self.space(points), -1, 0)
        depth = np.maximum(depth, 0.25)
        return np.stack([self.focal * right / depth, -self.focal * up / depth, depth], axis=-1)


@dataclass(frozen=True)
class Light:
    """Illumination: a point `lamp` [3] in metres of `colour` [3], `ambient` [3], all linear; `facing` is the share of
    ambient that falls off where a surface turns away from the camera; `glow` is how bright the lamp itself looks."""

    lamp: np.ndarray
    colour: np.ndarray
    ambient: np.ndarray
    facing: float = 0.4
    glow: float = 0.0

    def arriving(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Direction [...,3] from points [...,3] to the lamp, and the lamp's strength [...] there."""
        way = self.lamp - points
        square = np.sum(way * way, axis=-1)
        return way / np.sqrt(square)[..., None], 6.0 / (2.0 + square)


@dataclass(frozen=True)
class Capsules:
    """Tapered capsules over time: ends `a`, `b` [P,T,3]; radii [P,T,2] in metres seen across, `thick` [P,T,2] towards
    the camera; linear albedo `colour` [P,3]."""

    a: np.ndarray
    b: np.ndarray
    radius: np.ndarray
    thick: np.ndarray
    colour: np.ndarray


@dataclass(frozen=True)
class Box:
    """An upright box: `centre` [3], half sizes `half` [3] in metres, `yaw` in radians, linear albedo `colour` [3]."""

    centre: np.ndarray
    half: np.ndarray
    yaw: float
    colour: np.ndarray


@dataclass
class Canvas:
    """An image [H,W,3] in linear light with its depth [H,W] in metres; `xs` [W], `ys` [H] are the places of its pixels
    relative to the optical axis."""

    image: np.ndarray
    depth: np.ndarray
    xs: np.ndarray
    ys: np.ndarray

    def window(self, left: float, right: float, top: float, bottom: float) -> tuple[slice, slice]:
        """The rows and columns that a bounding box touches."""
        x, y, high, wide = float(self.xs[0]), float(self.ys[0]), len(self.ys), len(self.xs)
        rows = (min(max(int(edge), 0), high) for edge in (top - y, bottom - y + 2))
        cols = (min(max(int(edge), 0), wide) for edge in (left - x, right - x + 2))
        return slice(*rows), slice(*cols)

    def paint(self, at: tuple[slice, slice], cover: np.ndarray, depth: np.ndarray, colour: np.ndarray) -> None:
        """Lays `colour` [h,w,3] over the window `at` with opacity `cover` [h,w], where `depth` [h,w] is nearest."""
        old = self.depth[at]
        cover = cover * (depth < old)
        image = self.image[at]
        image += cover[..., None] * (colour - image)
        np.copyto(old, depth, where=cover > 0.5)


def draw_capsule(canvas: Canvas, view: View, ends: np.ndarray, radius, thick, albedo, light: Light, lit) -> None:
    """Draws one capsule.

    Args:
        canvas: where.
        view: the camera.
        ends: [2,3], projected ends.
        radius: radii at both ends in metres, as seen across.
        thick: radii at both ends in metres, towards the camera.
        albedo: linear colour [3].
        light: the illumination.
        lit: direction to the lamp [3] (right, up, towards the camera), and its strength here.
    """
    (ax, ay, az), (bx, by, bz) = ends.tolist()
    ra, rb = (view.focal * radius[0] / az, view.focal * radius[1] / bz)
    pad = max(ra, rb) + 1.0
    at = canvas.window(min(ax, bx) - pad, max(ax, bx) + pad, min(ay, by) - pad, max(ay, by) + pad)
    xs, ys = canvas.xs[at[1]], canvas.ys[at[0], None]  # [w], [h,1]
    if not xs.size or not ys.size:
        return
    ex, ey = bx - ax, by - ay
    norm = 1.0 / (ex * ex + ey * ey + 1e-6)
    t = np.minimum(np.maximum((xs - ax) * (ex * norm) + (ys - ay) * (ey * norm), 0.0), 1.0)  # [h,w]
    r = ra + t * (rb - ra)
    nx, ny = (xs - ax - t * ex) / r, (ys - ay - t * ey) / r
    square = nx * nx + ny * ny
    cover = np.minimum(np.maximum((1.0 - np.sqrt(square)) * r + 0.5, 0.0), 1.0)
    nz = np.sqrt(np.maximum(1.0 - square, 0.0))
    depth = az + t * (bz - az) - nz * (thick[0] + t * (thick[1] - thick[0]))
    (lx, ly, lz), strength = lit
    key = np.maximum(nx * (0.8 * lx) - ny * (0.8 * ly) + nz * (0.8 * lz) + 0.2, 0.0) * strength
    soft = 1.0 - light.facing + light.facing * nz
    colour = key[..., None] * (albedo * light.colour) + soft[..., None] * (albedo * light.ambient)  # [h,w] -> [h,w,3]
    canvas.paint(at, cover, depth, colour)


_FACES = (  # outward normal, and the four corners around the face, in half sizes
    ((0, 0, 1), ((-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1))),
    ((0, 0, -1), ((1, -1, -1), (-1, -1, -1), (-1, 1, -1), (1, 1, -1))),
    ((1, 0, 0), ((1, -1, 1), (1, -1, -1), (1, 1, -1), (1, 1, 1))),
    ((-1, 0, 0), ((-1, -1, -1), (-1, -1, 1), (-1, 1, 1), (-1, 1, -1))),
    ((0, 1, 0), ((-1, 1, 1), (1, 1, 1), (1, 1, -1), (-1, 1, -1))),
)


def draw_box(canvas: Canvas, view: View, box: Box, light: Light) -> None:
    """Draws the faces of a box that look at the camera, each with flat shading."""
    sin, cos = np.sin(box.yaw), np.cos(box.yaw)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    eye = np.array([0.0, view.height, view.distance])
    for normal, corners in _FACES:
        normal = turn @ normal
        points = box.centre + (np.array(corners) * box.half) @ turn.T  # [4,3]
        middle = points.mean(0)
        if normal @ (eye - middle) <= 0:
            continue
        seen = view.project(points)
        at = canvas.window(seen[:, 0].min() - 1, seen[:, 0].max() + 1, seen[:, 1].min() - 1, seen[:, 1].max() + 1)
        xs, ys = canvas.xs[at[1]], canvas.ys[at[0], None]
        if not xs.size or not ys.size:
            continue
        inside = np.full((ys.size, xs.size), np.inf)
        for p, q in zip(seen, np.roll(seen, -1, axis=0), strict=True):  # signed distance to each edge, in pixels
            ex, ey = (q - p)[:2] / (np.hypot(*(q - p)[:2]) + 1e-6)
            inside = np.minimum(inside, (xs - p[0]) * ey - (ys - p[1]) * ex)
        n, m = view.space(middle + normal) - view.space(middle), view.space(middle)
        slope = (n[0] * xs - n[1] * ys) / view.focal + n[2]
        depth = (n @ m) / np.where(np.abs(slope) < 1e-6, 1e-6, slope)
        way, strength = light.arriving(middle)
        facing = 1 - light.facing + light.facing * max(normal[2] * 0.8 + normal[1] * 0.4, 0)
        shade = max(normal @ way, 0.08) * strength * light.colour + facing * light.ambient
        worn = 0.75 + 0.25 * np.clip(inside * (150.0 / view.focal) - 0.5, 0, 1)  # edges catch less light
        canvas.paint(at, np.clip(inside + 0.5, 0, 1), depth, worn[..., None] * (box.colour * shade))


@dataclass(frozen=True)
class Outfit:
    """Linear albedos [3] of a figure; `bare_arms` and `bare_legs`: short sleeves, short trousers."""

    skin: np.ndarray
    hair: np.ndarray
    shirt: np.ndarray
    trousers: np.ndarray
    shoes: np.ndarray
    bare_arms: bool
    bare_legs: bool


def figure_capsules(joints: Curves, frames: Curves, body: Body, outfit: Outfit, eye: np.ndarray) -> Capsules:
    """Clothes the joints, name -> [T,3] in world metres, seen from `eye` [3]; root, chest, head frames are [T,3,3]."""
    h, wide = body.height, body.height * body.build
    j, o, parts = joints, outfit, []

    def add(a, b, ra, rb, colour, thick=None):
        ra, rb = np.broadcast_to(ra, len(a)), np.broadcast_to(rb, len(a))
        thin = (ra, rb) if thick is None else thick
        parts.append((a, b, np.stack([ra, rb], -1), np.stack(np.broadcast_arrays(*thin, ra), -1)[:, :2], colour))

    def trunk(a, b, frame, across, deep, colour):
        """A capsule of elliptic section: how wide it looks depends on how it is turned to the camera."""
        sight = eye - a
        sight = sight / np.linalg.norm(sight, axis=-1, keepdims=True)
        side = np.cross(b - a, sight)
        side = side / (np.linalg.norm(side, axis=-1, keepdims=True) + 1e-9)
        left, ahead = frame[:, :, 0], frame[:, :, 2]

        def extent(way):
            """Half the ellipse along `way` [T,3], at both ends."""
            return [
                np.hypot(w * np.sum(left * way, -1), d * np.sum(ahead * way, -1))
                for w, d in zip(across, deep, strict=True)
            ]

        add(a, b, *extent(side), colour, extent(sight))

    root, chest, head = frames["root"], frames["chest"], frames["head"]
    top = j["neck"] - chest @ [0.0, 0.085 * h, 0.0]
    trunk(
        j["pelvis"] - root @ [0, 0.012 * h, 0],
        j["pelvis"] + root @ [0, 0.02 * h, 0],
        root,
        (0.08 * wide, 0.088 * wide),
        (0.054 * wide, 0.064 * wide),
        o.trousers,
    )
    trunk(
        j["pelvis"] + root @ [0, 0.035 * h, 0],
        j["waist"],
        chest,
        (0.086 * wide, 0.088 * wide),
        (0.066 * wide, 0.068 * wide),
        o.shirt,
    )
    trunk(j["waist"], top, chest, (0.088 * wide, 0.106 * wide), (0.068 * wide, 0.073 * wide), o.shirt)
    add(j["neck"] - chest @ [0, 0.03 * h, 0], j["head"], 0.034 * h, 0.03 * h, o.skin)
    add(
        j["head"] - head @ [0, 0.022 * h, -0.008 * h], j["head"] + head @ [0, 0.018 * h, 0], 0.043 * h, 0.05 * h, o.skin
    )
    add(
        j["head"] + head @ [0, 0.0, -0.02 * h], j["head"] + head @ [0, 0.03 * h, -0.012 * h], 0.05 * h, 0.05 * h, o.hair
    )
    add(
        j["head"] + head @ [0, 0.002 * h, 0.05 * h],
        j["head"] + head @ [0, -0.008 * h, 0.058 * h],
        0.007 * h,
        0.01 * h,
        o.skin,
    )
    for n, s in SIDES:
        eye_at = j["head"] + head @ [s * 0.018 * h, 0.008 * h, 0.043 * h]
        add(eye_at, eye_at, 0.0065 * h, 0.0065 * h, o.hair * 0.4)
        add(j[f"{n}_shoulder"], j[f"{n}_elbow"], 0.037 * wide, 0.027 * wide, o.shirt)
        add(j[f"{n}_elbow"], j[f"{n}_wrist"], 0.025 * wide, 0.017 * wide, o.skin if o.bare_arms else o.shirt)
        add(j[f"{n}_wrist"], j[f"{n}_hand"], 0.017 * h, 0.024 * h, o.skin)
        add(j[f"{n}_hip"], j[f"{n}_knee"], 0.056 * wide, 0.037 * wide, o.trousers)
        add(j[f"{n}_knee"], j[f"{n}_ankle"], 0.036 * wide, 0.024 * wide, o.skin if o.bare_legs else o.trousers)
        heel = j[f"{n}_ankle"] + np.array([0, -0.02 * h, 0])
        add(heel, j[f"{n}_toe"], 0.026 * h, 0.02 * h, o.shoes)
    return join_capsules(parts)


def join_capsules(parts: list[tuple]) -> Capsules:
    """Stacks parts (a [T,3], b [T,3], radius [T,2], thick [T,2], colour [3]) into `Capsules`."""
    return Capsules(*(np.stack([part[i] for part in parts]) for i in range(5)))  # P parts -> [P,...]


def draw_capsules(canvas: Canvas, view: View, ready: tuple, frame: int, light: Light) -> None:
    """Draws frame number `frame` of what `prepare_capsules` made, the far ones first."""
    capsules, ends, lit, strength = ready
    order = np.argsort(-ends[:, frame, :, 2].mean(-1))
    for p in order:
        radius, thick = capsules.radius[p, frame].tolist(), capsules.thick[p, frame].tolist()
        way = (lit[p, frame].tolist(), float(strength[p, frame]))
        draw_capsule(canvas, view, ends[p, frame], radius, thick, capsules.colour[p], light, way)


def prepare_capsules(capsules: Capsules, view: View, light: Light) -> tuple:
    """Projects and lights all frames: the capsules, ends [P,T,2,3], ways to the lamp [P,T,3], strengths [P,T]."""
    ends = np.stack([view.project(capsules.a), view.project(capsules.b)], axis=2)  # [P,T,3] -> [P,T,2,3]
    way, strength = light.arriving((capsules.a + capsules.b) / 2)
    sin, cos = np.sin(view.pitch), np.cos(view.pitch)
    lit = np.stack([way[..., 0], way[..., 1] * cos - way[..., 2] * sin, way[..., 2] * cos + way[..., 1] * sin], -1)
    return capsules, ends, lit, strength


def cast_shadow(canvas: Canvas, floor: tuple, spots: np.ndarray, light: Light, share: float) -> None:
    """Darkens the floor by soft blots where the lamp's rays through `spots` [N,3] meet it.

    `floor` holds x and z [h,W] in metres of the lowest h rows, and is large where there is no floor; `share` of the
    lamp's light is lost where it is darkest.
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


@dataclass(frozen=True)
class Room:
    """A floor, a wall at z = -`wall`, side walls at x = `left` and `right` (metres), and what stands and hangs there.

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
    boxes: tuple[Box, ...]


def _wall_texture(pattern: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
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


def _floor_texture(pattern: int, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Relative albedo [...] of the floor."""
    if pattern == 1:
        return 0.72 + 0.4 * ((np.floor(x / 0.5) + np.floor(z / 0.5)) % 2)
    if pattern == 2:
        plank = np.floor(x / 0.18)
        return np.where(np.abs((x / 0.18) % 1 - 0.5) > 0.46, 0.6, 0.9 + 0.15 * np.sin(plank * 45.3))
    return np.ones_like(x)


def draw_room(view: View, room: Room, light: Light, height: int, width: int) -> tuple[Canvas, tuple]:
    """Draws the room without the figure.

    Args:
        view: the camera.
        room: the room.
        light: the illumination.
        height: rows H of the canvas.
        width: columns W of the canvas.

    Returns:
        The canvas [H,W], and the floor coordinates (x, z), each float32 [H,W] (1000 where there is no floor).
    """
    xs, ys = (np.arange(n, dtype=np.float64) - (n - 1) / 2 for n in (width, height))
    sin, cos = np.sin(view.pitch), np.cos(view.pitch)
    right, up = np.broadcast_arrays(xs / view.focal, -ys[:, None] / view.focal)  # [H,W]
    rays = np.stack([right, up * cos - sin, -up * sin - cos], axis=-1)  # [H,W,3], of depth 1
    safe = np.where(np.abs(rays) < 1e-6, 1e-6, rays)
    planes = [view.height / -safe[..., 1], (room.wall + view.distance) / -safe[..., 2]]
    planes += [room.left / safe[..., 0], room.right / safe[..., 0]]
    planes = np.stack([np.where(plane > 0, plane, 1e3) for plane in planes])  # [4,H,W]
    which, depth = planes.argmin(0), planes.min(0)
    spot = rays * depth[..., None] + [0.0, view.height, view.distance]
    x, y, z = np.moveaxis(spot, -1, 0)
    floor, u = which == 0, np.where(which == 1, x, z)
    tone = np.where(floor, _floor_texture(room.floor_pattern, x, z), _wall_texture(room.wall_pattern, u, y))
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
        draw_box(canvas, view, box, light)
    if light.glow and view.space(light.lamp)[2] > 0.5:  # the lamp and its halo
        at_x, at_y, at_depth = view.project(light.lamp)
        away = ((xs - at_x) ** 2 + (ys[:, None] - at_y) ** 2) / (view.focal / at_depth) ** 2
        halo = np.exp(-away / 0.008) + 0.05 / (1 + away / 0.02)
        canvas.image += (light.glow * halo[..., None] * light.colour).astype(np.float32)
    return canvas, tuple(np.where(floor, axis, 1e3).astype(np.float32) for axis in (x, z))


def shifted(canvas: Canvas, dx: float, dy: float, height: int, width: int) -> tuple[Canvas, tuple[slice, slice]]:
    """Cuts a fresh canvas [height,width] out of a larger one, its centre moved by (dx, dy) pixels.

    Between pixels it interpolates linearly.  Also returns the window it was cut from.
    """
    left, top = (canvas.xs.size - width) / 2 + dx, (canvas.ys.size - height) / 2 + dy
    x0, y0 = int(left), int(top)
    fx, fy = np.float32(left - x0), np.float32(top - y0)
    tall = canvas.image[y0 : y0 + height + 1, x0 : x0 + width + 1]
    tall = tall[:-1] + fy * (tall[1:] - tall[:-1])
    image = tall[:, :-1] + fx * (tall[:, 1:] - tall[:, :-1])
    at = (slice(y0, y0 + height), slice(x0, x0 + width))
    return Canvas(image, canvas.depth[at].copy(), canvas.xs[at[1]] + fx, canvas.ys[at[0]] + fy), at
