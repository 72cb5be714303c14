"""The places of the street: ground, a wall or the sky behind it, things that stand about, and the light."""

from dataclasses import dataclass

import numpy as np

from ..render import Canvas, Cuboid, Light, Viewpoint, draw_cuboid, random_albedo
from ..room import floor_texture, wall_texture
from .timing import between

_TILE = 128  # side of the tile that mottles every surface; it repeats
_FAR = 1e3  # metres, where a ray meets nothing


@dataclass(frozen=True)
class Place:
    """What the clips of a group share.

    Attributes:
      wall: metres from the performer to the wall behind.
      wall_height: metres; the sky is above.
      wall_turn: tangent of the angle between the wall and the picture.
      colours: albedos of ground, wall and sky, [3,3].
      patterns: of ground and wall, as in `room`; `scales` stretch them.
      mottle: strength of the mottling of ground and wall, [2].
      tile: the mottling, [_TILE,_TILE] about 0.
      grain: tiles a metre, of its three layers.
      things: boxes that stand about.
      day: 0 is night, 1 is day.
      warmth: 0 is visible light, 1 is infrared.
      sun: from the performer to the lamp, [3] in metres.
      tint: colour of the lamp, [3].
    """

    wall: float
    wall_height: float
    wall_turn: float
    colours: np.ndarray
    patterns: tuple[int, int]
    scales: tuple[float, float]
    mottle: np.ndarray
    tile: np.ndarray
    grain: np.ndarray
    things: tuple[Cuboid, ...]
    day: float
    warmth: float
    sun: np.ndarray
    tint: np.ndarray


def make_place(rng: np.random.Generator) -> Place:
    """Draws a place: a yard, a street, a field or a room, by night or day."""
    wall = between(rng, 0.8, 14.0)
    things = tuple(_thing(rng, wall) for _ in range(rng.integers(0, 9)))
    day = float(np.clip(rng.uniform(-0.3, 1.3), 0, 1))
    warmth = float(np.clip(rng.uniform(-1.9, 1.3), 0, 1))
    angle, high, far = rng.uniform(-1.2, 1.2), rng.uniform(0.25, 1.2), between(rng, 1.8, 30.0)
    sun = far * np.array([np.sin(angle) * np.cos(high), np.sin(high), np.cos(angle) * np.cos(high)])
    warm = rng.random() * (1 - 0.7 * day)
    colours = [random_albedo(rng, *span) for span in ((0.06, 0.55, 0.3), (0.06, 0.7, 0.4), (0.2, 1.2, 0.4))]
    return Place(
        wall=wall,
        wall_height=rng.choice([between(rng, 0.4, 4.0), 30.0]),
        wall_turn=rng.normal(0, 0.25) if rng.random() < 0.6 else rng.uniform(-1, 1),
        colours=np.stack(colours),
        patterns=(int(rng.integers(3)), int(rng.integers(4))),
        scales=(between(rng, 0.4, 2.5), between(rng, 0.4, 2.5)),
        mottle=rng.uniform(0.02, 0.45, 2),
        tile=_tile(rng),
        grain=np.array([0.06, 0.3, 1.1]) * between(rng, 0.5, 2.0),
        things=things,
        day=day,
        warmth=warmth,
        sun=sun,
        tint=np.array([1.0, 0.95 - 0.25 * warm, 0.9 - 0.5 * warm]),
    )


def _thing(rng: np.random.Generator, wall: float) -> Cuboid:
    """A bin, a bench, a post, a car or a hut, on either side and behind the performer."""
    half = np.array([between(rng, 0.05, 1.2), between(rng, 0.15, 1.5), between(rng, 0.05, 1.0)])
    x = rng.choice([-1, 1]) * (half[0] + between(rng, 0.4, 7.0))
    z = -rng.uniform(0.3, max(min(wall, 8.0), 0.5)) if rng.random() < 0.8 else rng.uniform(0, 1.0)
    return Cuboid(np.array([x, half[1], z]), half, rng.uniform(-1.5, 1.5), random_albedo(rng, 0.04, 0.7, 0.7))


def _tile(rng: np.random.Generator) -> np.ndarray:
    """Smooth noise [_TILE,_TILE] of deviation 1 that repeats without a seam."""
    spectrum = np.fft.rfft2(rng.standard_normal((_TILE, _TILE)))
    rate = np.hypot(*np.meshgrid(np.fft.fftfreq(_TILE), np.fft.rfftfreq(_TILE), indexing="ij"))
    tile = np.fft.irfft2(spectrum / (rate + 1 / _TILE) ** rng.uniform(0.4, 1.2))
    return ((tile - tile.mean()) / tile.std()).astype(np.float32)


def light_of(place: Place) -> Light:
    """The light of a place; a lamp gives the performer as much however far it is."""
    sun, night = place.sun, 1 - place.day
    power = (2.0 + sun @ sun) / 6.0
    colour = place.tint * power * (0.75 + 0.5 * night)
    ambient = np.array([0.42, 0.45, 0.5]) * place.day + np.array([0.05, 0.06, 0.075]) * night
    visible = 1 - place.warmth  # bodies glow by themselves in infrared
    shine, everywhere = (c.astype(np.float32) for c in (colour * visible, ambient * visible + place.warmth))
    return Light(sun.astype(np.float32), shine, everywhere, facing=0.4 + 0.15 * place.warmth, glow=5.0 * night)


def warmed(colour: np.ndarray, heat: float, place: Place) -> np.ndarray:
    """The albedo float32 [3] of a thing of this `heat` (0 to 1) in the light of the place."""
    return np.asarray((1 - place.warmth) * colour + place.warmth * heat, np.float32)  # drawing keeps the type


def cold(colour: np.ndarray, place: Place) -> np.ndarray:
    """The albedo float32 [3] of a thing as warm as its surroundings."""
    return warmed(colour, 0.045 + 0.05 * float(np.mean(colour)), place)


def draw_place(view: Viewpoint, place: Place, light: Light, height: int, width: int) -> tuple[Canvas, tuple]:
    """Draws a place without people.

    Args:
      view: the camera.
      place: the place.
      light: its light.
      height: rows H of the canvas.
      width: columns W of the canvas.

    Returns:
      The canvas [H,W], and the coordinates of the ground (x, z), each float32 [H,W] (1000 beside it).
    """
    xs, ys = (np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in (width, height))
    sin, cos = np.sin(view.pitch), np.cos(view.pitch)
    right, up = np.broadcast_arrays(xs / view.focal, -ys[:, None] / view.focal)  # [H,W]
    across, rise, ahead = right, up * cos - sin, up * sin + cos  # of a ray of depth 1; `ahead` is towards -z
    ground = np.where(rise < -1e-6, view.height / np.maximum(-rise, 1e-6), _FAR)
    toward = ahead + place.wall_turn * across
    wall = np.where(toward > 1e-6, (view.distance + place.wall) / np.maximum(toward, 1e-6), _FAR)
    wall = np.where(view.height + wall * rise < place.wall_height, wall, _FAR)
    on_ground = ground < wall
    depth = np.minimum(np.minimum(ground, wall), _FAR)
    x, y, z = across * depth, view.height + rise * depth, view.distance - ahead * depth
    sky = depth >= _FAR
    u, v = np.where(on_ground, x, x * np.hypot(1, place.wall_turn)), np.where(on_ground, z, y)
    foot = depth / view.focal  # metres a pixel
    tone = _tone(place, on_ground, u, v, foot)
    albedo = np.where(on_ground[..., None], cold(place.colours[0], place), cold(place.colours[1], place))
    way, strength = light.arriving(np.stack([x, y, z], -1))
    facing = np.where(on_ground, way[..., 1], (way[..., 2] + place.wall_turn * way[..., 0]))
    key = np.maximum(facing, 0.08) * strength * tone
    image = albedo * (key[..., None] * light.colour + tone[..., None] * light.ambient)
    cloud = 1 + 0.12 * _layers(place, u=across * 3, v=rise * 3, weights=(1.0, 0.5, 0.0))
    air = cold(place.colours[2], place) * (light.ambient * (0.2 + 1.3 * place.day))
    image = np.where(sky[..., None], cloud[..., None] * air, image)
    canvas = Canvas(image.astype(np.float32), depth.astype(np.float32), xs, ys)
    for thing in place.things:
        if thing.centre[2] + np.hypot(thing.half[0], thing.half[2]) < view.distance - 0.6:
            draw_cuboid(canvas, view, _lit(thing, place), light)
    return canvas, tuple(np.where(on_ground, axis, 1e3).astype(np.float32) for axis in (x, z))


def _lit(thing: Cuboid, place: Place) -> Cuboid:
    return Cuboid(thing.centre, thing.half, thing.yaw, cold(thing.colour, place))


def _tone(place: Place, on_ground: np.ndarray, u: np.ndarray, v: np.ndarray, foot: np.ndarray) -> np.ndarray:
    """Relative albedo [H,W] of ground and wall at (u, v) metres; patterns fade where a pixel is `foot` metres."""
    first, second = place.scales
    pattern = np.where(
        on_ground,
        floor_texture(place.patterns[0], u * first, v * first),
        wall_texture(place.patterns[1], u * second, v * second),
    )
    pattern = 1 + (pattern - 1) / (1 + (foot / 0.06) ** 2)
    weights = [1 / (1 + (foot * rate * _TILE / 3) ** 2) for rate in place.grain]
    mottle = np.where(on_ground, place.mottle[0], place.mottle[1])
    return np.maximum(pattern * (1 + mottle * _layers(place, u, v, weights)), 0.05)


def _layers(place: Place, u: np.ndarray, v: np.ndarray, weights) -> np.ndarray:
    """Mottling [H,W] about 0 at (u, v) metres: the tile at three sizes."""
    total = np.zeros(u.shape)
    for rate, weight in zip(place.grain, weights, strict=True):
        row, column = (np.floor(axis * (rate * _TILE)).astype(np.int64) % _TILE for axis in (v, u))
        total += 0.6 * weight * place.tile[row, column]
    return np.clip(total, -1.8, 1.8)
