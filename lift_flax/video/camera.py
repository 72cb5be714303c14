"""The low-light camera model: what a sensor makes of a scene when there is little light.

Darkness in video is not a gamma curve: fewer photons arrive, so the shot noise of the light itself and the read noise
of the sensor take over, and eight bits keep what is left.  This file is that chain in plain numpy, so that data
preparation can darken a rendered scene and the illumination test can darken a real clip with the same physics:

    linear scene light -> exposure -> shot noise + read noise -> saturation -> white balance -> sRGB curve -> 8 bit
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np

_CODES = np.arange(256, dtype=np.float64) / 255.0
_LINEAR_OF_CODE = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)
_STEPS = 65535  # steps of the inverse table: the smallest gap between two codes is 19 of them
_LEVELS = np.arange(_STEPS + 1) / _STEPS
_CODE_OF_LINEAR = np.rint(
    255.0 * np.where(_LEVELS <= 0.0031308, 12.92 * _LEVELS, 1.055 * _LEVELS ** (1 / 2.4) - 0.055)
).astype(np.uint8)


@dataclass(frozen=True)
class Camera:
    """A camera's settings.

    Attributes:
        exposure: multiplier of the scene light (shutter x aperture x gain); 0.5 is one stop darker.
        white_balance: digital gains of red, green and blue, applied after the noise (and so to the noise too).
        full_well: electrons of a pixel that is just saturated; few electrons mean much shot noise, infinity means none.
        read_noise: standard deviation of the read-out in electrons.
    """

    exposure: float = 1.0
    white_balance: tuple[float, ...] = (1.0, 1.0, 1.0)
    full_well: float = math.inf
    read_noise: float = 0.0

    def __post_init__(self) -> None:
        if self.exposure < 0 or self.full_well <= 0 or self.read_noise < 0 or min(self.white_balance) < 0:
            raise ValueError(f"negative exposure, gain, read noise, or no full well: {self}")


def to_linear(frames: np.ndarray) -> np.ndarray:
    """sRGB codes, uint8 of any shape, to linear light, float32 in [0, 1] of the same shape.

    Raises:
        TypeError: the frames are not uint8.
    """
    if frames.dtype != np.uint8:
        raise TypeError(f"sRGB frames are uint8, not {frames.dtype}")
    return _LINEAR_OF_CODE[frames]


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light, float of any shape (clipped to [0, 1]), to sRGB codes, uint8 of the same shape."""
    steps = np.clip(linear, 0.0, 1.0) * np.float32(_STEPS) + np.float32(0.5)
    return _CODE_OF_LINEAR[steps.astype(np.uint16)]


def noise_variance(linear: np.ndarray, camera: Camera) -> np.ndarray:
    """Variance of the sensor's noise, in units of (full scale)^2, where exposed light `linear` of any shape arrives.

    Photons are counted, so a signal of n electrons varies by n (the Poisson law, in its Gaussian approximation); the
    read-out adds read_noise^2.  Both are divided by full_well^2.
    """
    return np.maximum(linear, 0.0) / camera.full_well + (camera.read_noise / camera.full_well) ** 2


def expose(linear: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Photographs a scene.

    Args:
        linear: scene light, float [T,H,W,3], where 1 saturates the sensor at exposure 1; may exceed 1.
        camera: the settings.
        rng: source of the noise; not used by a camera without noise.

    Returns:
        sRGB frames, uint8 [T,H,W,3].
    """
    frames = np.empty(linear.shape, np.uint8)
    balance = np.asarray(camera.white_balance, np.float32)
    for target, scene in zip(frames, linear, strict=True):  # a frame at a time stays in the cache
        signal = scene.astype(np.float32) * np.float32(camera.exposure)
        if math.isfinite(camera.full_well):
            noise = rng.standard_normal(signal.shape, dtype=np.float32)
            signal += noise * np.sqrt(noise_variance(signal, camera), dtype=np.float32)
        target[:] = to_srgb(np.clip(signal, 0.0, 1.0) * balance)
    return frames


def re_expose(frames: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Photographs a recorded clip again, uint8 [T,H,W,3] to uint8 [T,H,W,3]: as `expose`, with the clip as the scene.

    The clip's own noise and quantisation stay in it, so this darkens honestly but cannot brighten beyond its record.
    """
    return expose(to_linear(frames), camera, rng)


@dataclass(frozen=True)
class Relight:
    """Photographs clips again with one camera; the noise of a clip depends on its id and `seed` alone."""

    camera: Camera
    seed: int = 0

    def __call__(self, frames: np.ndarray, clip_id: str) -> np.ndarray:
        """`re_expose` of the clip with this id."""
        return re_expose(frames, self.camera, np.random.default_rng([self.seed, zlib.crc32(clip_id.encode())]))
