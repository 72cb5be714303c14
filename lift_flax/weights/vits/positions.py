"""Position embeddings on another grid, the way that their network does it.

linear             google-research/vision_transformer: between the old positions, corners on corners
bicubic            transformers, DINOv2: PyTorch's bicubic interpolation (a = -0.75), places by their areas
bicubic_antialias  timm: the same with antialias, which is PIL's filter (a = -0.5), wider where the grid shrinks
"""

import math
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

Way = Literal["linear", "bicubic", "bicubic_antialias"]
WAYS: tuple[Way, ...] = get_args(Way)


def resize(positions: Float[np.ndarray, "1 S E"], grid: int, way: Way = "linear") -> Float[np.ndarray, "1 P E"]:
    """Resizes position embeddings (S = 1+g*g) to another grid (P = 1+grid*grid); the class token's is kept."""
    old = math.isqrt(positions.shape[1] - 1)
    if old == grid:
        return positions
    matrix = _MATRICES[way](old, grid)
    table = positions[0, 1:].reshape(old, old, -1).astype(np.float64)  # [g, g, E]
    table = np.einsum("ri,ijE,cj->rcE", matrix, table, matrix, optimize=True)  # [grid, grid, E]
    return np.concatenate([positions[:, :1], table.reshape(1, grid * grid, -1)], axis=1).astype(np.float32)


def _linear(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """A grid of one place takes the middle."""
    at = np.linspace(0, old - 1, new) if new > 1 else np.array([(old - 1) / 2])
    return np.maximum(0.0, 1 - np.abs(at[:, None] - np.arange(old)))


def _bicubic(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """Four old places each; those beyond an edge are the edge's own."""
    at = (np.arange(new) + 0.5) * old / new - 0.5
    matrix = np.zeros((new, old))
    for place in range(4):
        source = np.floor(at).astype(int) - 1 + place
        weights = _cubic(at - source, -0.75)
        np.add.at(matrix, (np.arange(new), source.clip(0, old - 1)), weights)
    return matrix


def _bicubic_antialias(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """Those beyond an edge do not count."""
    scale = max(old / new, 1.0)
    at = (np.arange(new) + 0.5) * old / new
    weights = _cubic((np.arange(old) + 0.5 - at[:, None]) / scale, -0.5)
    return weights / weights.sum(axis=1, keepdims=True)


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys, "Cubic convolution interpolation for digital image processing" (1981)."""
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


_MATRICES = {"linear": _linear, "bicubic": _bicubic, "bicubic_antialias": _bicubic_antialias}
