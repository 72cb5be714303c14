"""Draws shaded capsules and boxes into a canvas in linear light, in numpy.

A pinhole camera stands at (0, height, distance) and looks towards -z, tilted down by `pitch`.  The canvas has a depth
buffer.  Edges are smoothed by their signed distance instead of supersampling, and only the pixels in the bounding box
of a shape are touched, so a frame of 160x120 takes about two milliseconds.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Viewpoint:
    """A pinhole camera: `focal` in pixels, `height` and `distance` in metres, `pitch` downwards in radians."""

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
    """The illumination.

    Attributes:
      lamp: place of a point light, [3] in metres.
      colour: its linear colour, [3].
      ambient: linear colour of the light from everywhere, [3].
      facing: share of the ambient light that a surface loses as it turns away from the camera.
      glow: brightness of the lamp itself in the picture.
    """

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


@dataclass
class Canvas:
    """A picture with depth.

    Attributes:
      image: linear light, [H,W,3].
      depth: metres, [H,W].
      xs, ys: places of the pixels relative to the optical axis, [W] and [H].
    """

    image: np.ndarray
    depth: np.ndarray
    xs: np.ndarray
    ys: np.ndarray

    def window(self, left: float, right: float, top: float, bottom: float) -> tuple[slice, slice]:
        """The rows and columns in a bounding box."""
        x, y, high, wide = float(self.xs[0]), float(self.ys[0]), len(self.ys), len(self.xs)
        rows = (min(max(int(edge), 0), high) for edge in (top - y, bottom - y + 2))
        cols = (min(max(int(edge), 0), wide) for edge in (left - x, right - x + 2))
        return slice(*rows), slice(*cols)

    def paint(self, at: tuple[slice, slice], cover: np.ndarray, depth: np.ndarray, colour: np.ndarray) -> None:
        """Paints `colour` [h,w,3] over the window `at` with opacity `cover` [h,w], if `depth` [h,w] is the nearest."""
        old = self.depth[at]
        cover = cover * (depth < old)
        image = self.image[at]
        image += cover[..., None] * (colour - image)
        np.copyto(old, depth, where=cover > 0.5)


def shifted(canvas: Canvas, dx: float, dy: float, height: int, width: int) -> tuple[Canvas, tuple[slice, slice]]:
    """Copies a canvas [height,width] out of a larger one, its centre moved by (dx, dy) pixels; also returns the window.

    Between pixels it interpolates linearly.
    """
    left, top = (canvas.xs.size - width) / 2 + dx, (canvas.ys.size - height) / 2 + dy
    x0, y0 = int(left), int(top)
    fx, fy = np.float32(left - x0), np.float32(top - y0)
    tall = canvas.image[y0 : y0 + height + 1, x0 : x0 + width + 1]
    tall = tall[:-1] + fy * (tall[1:] - tall[:-1])
    image = tall[:, :-1] + fx * (tall[:, 1:] - tall[:, :-1])
    at = (slice(y0, y0 + height), slice(x0, x0 + width))
    return Canvas(image, canvas.depth[at].copy(), canvas.xs[at[1]] + fx, canvas.ys[at[0]] + fy), at


@dataclass(frozen=True)
class Capsules:
    """Tapered capsules over time.

    Attributes:
      a, b: their ends, [P,T,3] in metres.
      radius: radii at both ends across the line of sight, [P,T,2] in metres.
      thick: radii at both ends towards the camera, [P,T,2] in metres.
      colour: linear albedo, [P,3].
    """

    a: np.ndarray
    b: np.ndarray
    radius: np.ndarray
    thick: np.ndarray
    colour: np.ndarray


def join_capsules(parts: list[tuple]) -> Capsules:
    """Stacks parts (a [T,3], b [T,3], radius [T,2], thick [T,2], colour [3]) into `Capsules`."""
    return Capsules(*(np.stack([part[i] for part in parts]) for i in range(5)))  # P parts -> [P,...]


def prepare_capsules(capsules: Capsules, view: Viewpoint, light: Light) -> tuple:
    """Projects and lights all frames: the capsules, ends [P,T,2,3], ways to the lamp [P,T,3], strengths [P,T]."""
    ends = np.stack([view.project(capsules.a), view.project(capsules.b)], axis=2)  # [P,T,3] -> [P,T,2,3]
    way, strength = light.arriving((capsules.a + capsules.b) / 2)
    sin, cos = np.sin(view.pitch), np.cos(view.pitch)
    lit = np.stack([way[..., 0], way[..., 1] * cos - way[..., 2] * sin, way[..., 2] * cos + way[..., 1] * sin], -1)
    return capsules, ends, lit, strength


def draw_capsules(canvas: Canvas, view: Viewpoint, ready: tuple, frame: int, light: Light) -> None:
    """Draws the capsules of `prepare_capsules` in frame `frame`, far ones first."""
    capsules, ends, lit, strength = ready
    order = np.argsort(-ends[:, frame, :, 2].mean(-1))
    for p in order:
        radius, thick = capsules.radius[p, frame].tolist(), capsules.thick[p, frame].tolist()
        way = (lit[p, frame].tolist(), float(strength[p, frame]))
        _draw_capsule(canvas, view, ends[p, frame], radius, thick, capsules.colour[p], light, way)


def _draw_capsule(canvas: Canvas, view: Viewpoint, ends: np.ndarray, radius, thick, albedo, light: Light, lit) -> None:
    """Draws one capsule.

    Args:
      canvas: the picture to draw into.
      view: the camera.
      ends: [2,3], projected ends.
      radius: radii at both ends in metres, across the line of sight.
      thick: radii at both ends in metres, towards the camera.
      albedo: linear colour [3].
      light: the illumination.
      lit: direction to the lamp [3] (right, up, towards the camera), and the strength of its light.
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


@dataclass(frozen=True)
class Cuboid:
    """An upright box: `centre` [3], half sizes `half` [3] in metres, `yaw` in radians, linear albedo `colour` [3]."""

    centre: np.ndarray
    half: np.ndarray
    yaw: float
    colour: np.ndarray


_FACES = (  # outward normal, and the four corners around the face, in half sizes
    ((0, 0, 1), ((-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1))),
    ((0, 0, -1), ((1, -1, -1), (-1, -1, -1), (-1, 1, -1), (1, 1, -1))),
    ((1, 0, 0), ((1, -1, 1), (1, -1, -1), (1, 1, -1), (1, 1, 1))),
    ((-1, 0, 0), ((-1, -1, -1), (-1, -1, 1), (-1, 1, 1), (-1, 1, -1))),
    ((0, 1, 0), ((-1, 1, 1), (1, 1, 1), (1, 1, -1), (-1, 1, -1))),
)


def draw_cuboid(canvas: Canvas, view: Viewpoint, box: Cuboid, light: Light) -> None:
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


def random_albedo(rng: np.random.Generator, low: float, high: float, colourful: float) -> np.ndarray:
    """A linear albedo [3] of random hue: mean between `low` and `high`, saturation up to `colourful`."""
    hue, saturation = rng.random() * 2 * np.pi, rng.random() * colourful
    tint = 1 + saturation * np.cos(hue + np.array([0.0, 2.1, 4.2]))
    return tint * np.exp(rng.uniform(np.log(low), np.log(high)))
