"""Maps are enlarged between the centres of their cells."""

import numpy as np

from lift_flax.explain import pictures


def test_enlarged_maps():
    rng = np.random.default_rng(0)
    maps = rng.random((3, 4, 5))
    np.testing.assert_array_equal(pictures.enlarge(maps, maps.shape), maps)
    np.testing.assert_allclose(pictures.enlarge(np.full((1, 1, 1), 2.0), (3, 4, 5)), 2)
    doubled = pictures.enlarge(maps[:1, :1, :2], (1, 1, 4))[0, 0]  # centres at -1/4, 1/4, 3/4, 5/4
    a, b = maps[0, 0, :2]
    np.testing.assert_allclose(doubled, [a, 0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b, b])
