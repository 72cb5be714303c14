"""Near-duplicates: clips that show the same footage, encoded again, scaled or cut out of each other.

Pictures of one moment cannot decide it: of a camera that stands still, all clips look alike (by hashes of single lit
frames, one in 25 pairs of such clips would be called a copy).  So what moves decides: the correlation of all small
pictures of both, each point without its mean over the time that they share, where they fit best.  The light of a whole
picture is taken out first: lamps that flicker would make scenes alike.
"""

import dataclasses
import functools
import heapq
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int

from .thumbnails import PER_SECOND

# On 290 real clips, dark and daylight: of 400 copies (cut, scaled, squashed, brightened, at other rates and qualities)
# 362 correlate more; of 4,882 pairs from one scene none (0.952), of 19,023 pairs from different scenes none (0.65).
SAME = 0.955
_PERHAPS = 0.7  # with pictures of a fifth of a second, above which it is worth comparing all of them
_COARSE = PER_SECOND // 5
_ALIKE = 0.8  # correlation of mean pictures, below which clips are not compared
_SHARED = 0.5  # of the shorter clip: so much of both must fit
_FEWEST = 5  # pictures that both share at least, if they have so many
_STILL = 0.0005  # deviation over time, of white, below which nothing moves in a clip,
_ALMOST_STILL = 0.002  # and in the other one little: then the mean picture decides
_SAME_STILL = 0.999
_MOST_PAIRS = 500_000  # compared at most: those that look most alike
_ROWS = 256  # mean pictures that are compared with all at a time


@dataclasses.dataclass(frozen=True)
class Likeness:
    """Two clips of the same footage.

    Attributes:
      one, other: their names.
      similarity: correlation of what moves, up to 1.
      shift: seconds of `one` at which `other` begins; negative where it begins earlier.
    """

    one: str
    other: str
    similarity: float
    shift: float


def near_duplicates(pictures: Mapping[str, Float[np.ndarray, "_ P"]]) -> tuple[list[Likeness], int]:
    """Finds all pairs of clips that show the same footage.

    Args:
      pictures: small pictures over time of each clip (`thumbnails`).

    Returns:
      The pairs, the most alike first; and how many pairs were alike enough to be compared and were not, because only
      the most alike of a great many are.
    """
    names = sorted(pictures)
    one, other, left = _candidates([np.asarray(pictures[name], np.float32) for name in names])

    @functools.lru_cache(maxsize=4096)
    def coarse(number: int) -> np.ndarray:
        whole = np.asarray(pictures[names[number]], np.float32)
        return np.add.reduceat(whole, range(0, len(whole), _COARSE)) / _COARSE

    found = []
    for i, j in zip(one.tolist(), other.tolist(), strict=True):
        if similarity_of(coarse(i), coarse(j))[0] >= _PERHAPS:
            similarity, shift = similarity_of(pictures[names[i]], pictures[names[j]])
            if similarity >= SAME:
                found.append(Likeness(names[i], names[j], round(similarity, 3), shift / PER_SECOND))
    return sorted(found, key=lambda pair: (-pair.similarity, pair.one, pair.other)), left


def similarity_of(one: Float[np.ndarray, "N P"], other: Float[np.ndarray, "M P"]) -> tuple[float, int]:
    """(Correlation of what moves in two clips where they fit best, the picture of `one` at which `other` begins).

    Where nothing moves, 1 for equal mean pictures and 0 for others.
    """
    a, b = (np.asarray(x, np.float32) - np.mean(x, axis=1, keepdims=True, dtype=np.float32) for x in (one, other))
    least, most = sorted((_deviation(a), _deviation(b)))
    if least < _STILL and most < _ALMOST_STILL:
        return float(_mean_picture(a) @ _mean_picture(b) >= _SAME_STILL), 0
    n, m = len(a), len(b)
    need = min(max(_FEWEST, int(np.ceil(_SHARED * min(n, m)))), n, m)
    shifts = np.arange(need - m, n - need + 1)  # of `other` against `one`
    start, end = np.maximum(shifts, 0), np.minimum(n, m + shifts)  # in `one`
    count = (end - start)[:, None]
    sum_a, sum_b = _between(a, start, end), _between(b, start - shifts, end - shifts)  # [shifts, P]
    square_a = _between((a * a).sum(axis=1, keepdims=True), start, end)
    square_b = _between((b * b).sum(axis=1, keepdims=True), start - shifts, end - shifts)
    product = _diagonals(a @ b.T)[shifts + m - 1]
    shared = product - (sum_a * sum_b / count).sum(axis=1)
    own_a = square_a[:, 0] - (sum_a**2 / count).sum(axis=1)
    own_b = square_b[:, 0] - (sum_b**2 / count).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.nan_to_num(shared / np.sqrt(own_a * own_b), nan=0.0, posinf=0.0, neginf=0.0)
    best = int(correlation.argmax())
    return float(min(correlation[best], 1.0)), int(shifts[best])


def _between(values: Float[np.ndarray, "N P"], start: Int[np.ndarray, "S"], end: Int[np.ndarray, "S"]) -> np.ndarray:
    """Sums of the rows from start to end, for each pair of them, [S, P]."""
    summed = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    return summed[end] - summed[start]


def _diagonals(products: Float[np.ndarray, "N M"]) -> Float[np.ndarray, "N+M-1"]:
    """Sums along the diagonals: place s + M - 1 holds the sum of products[i, i - s]."""
    n, m = products.shape
    sheared = np.zeros((m, n + m))  # a row of products[:, ::-1].T is moved one to the right for each row
    sheared[:, :n] = products.T[::-1]
    return sheared.ravel()[: m * (n + m - 1)].reshape(m, n + m - 1).sum(axis=0)


def _deviation(pictures: Float[np.ndarray, "N P"]) -> float:
    return float(np.sqrt(pictures.var(axis=0).mean()))


def _mean_picture(pictures: Float[np.ndarray, "N P"]) -> Float[np.ndarray, "P"]:
    """The mean picture, of mean 0 and length 1."""
    mean = pictures.mean(axis=0)
    mean = mean - mean.mean()
    return mean / max(float(np.linalg.norm(mean)), 1e-9)


def _candidates(clips: list[np.ndarray]) -> tuple[Int[np.ndarray, "C"], Int[np.ndarray, "C"], int]:
    """(Clips i, clips j) whose mean pictures of some second are alike, and how many such pairs are left out."""
    seconds = [[clip[k : k + PER_SECOND] for k in range(0, len(clip), PER_SECOND)] for clip in clips]
    owner = np.repeat(np.arange(len(clips)), [len(parts) for parts in seconds])
    means = np.array([_mean_picture(part) for parts in seconds for part in parts], np.float32)
    pairs: dict[int, float] = {}
    left = 0
    for codes, alike in _alike(means, owner, len(clips)):
        for code, value in zip(codes.tolist(), alike.tolist(), strict=True):
            pairs[code] = max(value, pairs.get(code, 0.0))
        if len(pairs) > 2 * _MOST_PAIRS:
            left += len(pairs) - _MOST_PAIRS
            pairs = _most_alike(pairs)
    codes = np.array(sorted(_most_alike(pairs)), np.int64)
    return codes // max(len(clips), 1), codes % max(len(clips), 1), left + len(pairs) - len(codes)


def _most_alike(pairs: dict[int, float]) -> dict[int, float]:
    return dict(heapq.nlargest(_MOST_PAIRS, pairs.items(), key=lambda pair: pair[1]))


def _alike(
    means: Float[np.ndarray, "S P"], owner: Int[np.ndarray, "S"], count: int
) -> Iterator[tuple[Int[np.ndarray, "C"], Float[np.ndarray, "C"]]]:
    """(i * count + j of two clips with i < j, how alike their most alike mean pictures are), block by block."""
    for first in range(0, len(means), _ROWS):
        alike = means[first : first + _ROWS] @ means.T
        rows, columns = np.nonzero(alike >= _ALIKE)
        i, j = owner[first + rows], owner[columns]
        ahead = i < j
        codes, values = (i * count + j)[ahead], alike[rows, columns][ahead]
        if len(codes):
            order = np.argsort(codes, kind="stable")
            codes, values = codes[order], values[order]
            starts = np.flatnonzero(np.diff(codes, prepend=-1))
            yield codes[starts], np.maximum.reduceat(values, starts)
