"""The low-light camera model: how a sensor records a scene with little light.

Darkness in video is not a gamma curve.  Fewer photons arrive, so the shot noise of the light and the read noise of the
sensor dominate, and eight bits keep what is left.  Data preparation darkens rendered scenes by this model, and the
illumination test darkens real clips by it:

    linear scene light -> exposure -> shot noise + read noise -> saturation -> white balance -> sRGB curve -> 8 bit
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, UInt8

from lift_flax.video.gamma import LUMA

_CODES = np.arange(256, dtype=np.float64) / 255.0
_LINEAR_OF_CODE = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)
_STEPS = 65535  # steps of the inverse table: the smallest gap between two codes is 19 of them
_LEVELS = np.arange(_STEPS + 1) / _STEPS
_CODE_OF_LINEAR = np.rint(
    255.0 * np.where(_LEVELS <= 0.0031308, 12.92 * _LEVELS, 1.055 * _LEVELS ** (1 / 2.4) - 0.055)
).astype(np.uint8)


@dataclass(frozen=True)
class Camera:
    """Settings of a camera.

    Attributes:
      exposure: multiplier of the scene light (shutter x aperture x gain); 0.5 is one stop darker.
      white_balance: digital gains of red, green and blue, applied after the noise (and so to the noise, too).
      full_well: electrons of a pixel that is just saturated; few electrons give much shot noise, infinity gives none.
      read_noise: standard deviation of the read-out in electrons.
    """

    exposure: float = 1.0
    white_balance: tuple[float, ...] = (1.0, 1.0, 1.0)
    full_well: float = math.inf
    read_noise: float = 0.0

    def __post_init__(self) -> None:
        if self.exposure < 0 or self.full_well <= 0 or self.read_noise < 0 or min(self.white_balance) < 0:
            raise ValueError(f"negative exposure, gain, read noise, or no full well: {self}")


def to_linear(frames: np.ndarray) -> Float32[np.ndarray, "*dims"]:
    """Turns sRGB codes, uint8 of any shape, into linear light, float32 in [0, 1].

    Raises:
      TypeError: the frames are not uint8.
    """
    if frames.dtype != np.uint8:
        raise TypeError(f"sRGB frames are uint8, not {frames.dtype}")
    return _LINEAR_OF_CODE[frames]


def to_srgb(linear: Float[np.ndarray, "*dims"]) -> UInt8[np.ndarray, "*dims"]:
    """Turns linear light, float of any shape and clipped to [0, 1], into sRGB codes, uint8."""
    steps = np.clip(linear, 0.0, 1.0) * np.float32(_STEPS) + np.float32(0.5)
    return _CODE_OF_LINEAR[steps.astype(np.uint16)]


def noise_variance(linear: Float[np.ndarray, "*dims"], camera: Camera) -> Float[np.ndarray, "*dims"]:
    """Variance of the sensor's noise under the exposed light `linear` of any shape, in units of (full scale)^2.

    A signal of n electrons has variance n (photons follow Poisson's law, here in its Gaussian approximation).  The
    read-out adds read_noise^2.  Both are divided by full_well^2.
    """
    return np.maximum(linear, 0.0) / camera.full_well + (camera.read_noise / camera.full_well) ** 2


def expose(
    linear: Float[np.ndarray, "T H W C"], camera: Camera, rng: np.random.Generator
) -> UInt8[np.ndarray, "T H W C"]:
    """Photographs a scene.

    Args:
      linear: scene light, float [T,H,W,C]; 1 saturates the sensor at exposure 1, and values may exceed 1.
      camera: the settings, with a gain for each of the C channels.
      rng: source of the noise; a camera without noise does not use it.

    Returns:
      sRGB frames, uint8 [T,H,W,C].
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


def exposure_for(linear: Float32[np.ndarray, "T H W 3"], luma: float) -> float:
    """The exposure that gives frames of linear light the mean luma `luma` (0 to 255), without noise, by bisection."""
    low, high, weights = 1e-5, 30.0, np.array(LUMA, np.float32)
    for _ in range(18):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if (to_srgb(linear * middle) @ weights).mean() < luma else (low, middle)
    return math.sqrt(low * high)


def re_expose(
    frames: UInt8[np.ndarray, "T H W 3"], camera: Camera, rng: np.random.Generator
) -> UInt8[np.ndarray, "T H W 3"]:
    """Photographs a recorded clip, uint8 [T,H,W,3], again: `expose` with the clip as the scene.

    The clip keeps its own noise and quantisation, so this can darken a clip but not brighten it.
    """
    return expose(to_linear(frames), camera, rng)


@dataclass(frozen=True)
class Relight:
    """Photographs clips again with one camera; the noise depends only on the id of a clip and on `seed`."""

    camera: Camera
    seed: int = 0

    def __call__(self, frames: UInt8[np.ndarray, "T H W 3"], clip_id: str) -> UInt8[np.ndarray, "T H W 3"]:
        """`re_expose` of the clip with this id."""
        return re_expose(frames, self.camera, np.random.default_rng([self.seed, zlib.crc32(clip_id.encode())]))
