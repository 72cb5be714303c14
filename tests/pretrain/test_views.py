"""The views of a clip: of two windows, in two lights, both in the same order; nothing is made of a label."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lift_flax.pretrain import views
from lift_flax.video import flow_codes
from tests.support.small_config import small_config


def _batch(clips: int = 6) -> dict[str, jax.Array]:
    """Both views of a clip are the same frames, grey that rises with time, and flow to the right."""
    frames = np.broadcast_to(np.arange(40, 160, 30)[:, None, None, None], (clips, 2, 4, 32, 32, 3))
    flow = np.full((clips, 2, 4, 32, 32, 2), flow_codes.ZERO)
    flow[..., 0] += 20
    return {"clip": jnp.array(frames, jnp.uint8), "flow": jnp.array(flow, jnp.uint8)}


OFF = {"augment.flip": 0.0, "augment.affine": 0.0, "augment.jitter": 0.0}


def _streams(arg: str = "tiny,luminous=flow", **fields) -> dict[str, np.ndarray]:
    config = views.without_labels(small_config(arg, **{**OFF, **fields}))
    streams = views.make_view_streams(_batch(), jax.random.key(0), config, 3)
    return {name: np.asarray(stream).astype(int) for name, stream in streams.items()}


def test_the_second_view_is_in_another_light():
    streams = _streams()
    assert streams.keys() == {"dark", "luminous", "backwards"}, "no target is made"
    assert streams["dark"].shape == (6, 2, 4, 32, 32, 3) and streams["luminous"].shape == (6, 2, 4, 32, 32, 3)
    levels = streams["dark"].mean(axis=(2, 3, 4, 5))  # [B, 2]
    assert (levels[:, 0] == 85).all() and len(set(levels[:, 1])) == 6 and levels[:, 1].std() > 10


def test_both_views_of_a_clip_are_played_alike():
    """Frames from the last to the first, and flow that points back."""
    streams = _streams()
    backwards = streams["backwards"].astype(bool)
    assert 0 < backwards.sum() < 6
    rises = np.diff(streams["dark"].mean(axis=(3, 4, 5)), axis=2).sum(axis=2)  # [B, 2]
    assert ((rises < 0) == backwards[:, None]).all()
    right = streams["luminous"][..., 0] - flow_codes.ZERO
    assert (right[~backwards] == 20).all() and (right[backwards] == -20).all()
    assert (streams["luminous"][..., 1] == flow_codes.ZERO).all()


def test_no_clip_is_played_backwards_where_that_counts_nothing():
    assert not _streams(**{"pretrain.order_weight": 0.0})["backwards"].any()


@pytest.mark.parametrize("luminous", ["gamma", "motion", "both"])
def test_other_inputs(luminous):
    streams = _streams(**{"model.luminous.input": luminous})
    channels = 5 if luminous == "both" else 3
    assert streams["luminous"].shape == (6, 2, 4, 32, 32, channels)


def test_what_cannot_be_or_goes_by_labels_is_off():
    fields = {"augment.cutmix": 0.5, "augment.shuffle": 0.5, "data.balance": "classes"}
    config = views.without_labels(small_config(**fields))
    assert (config.augment.cutmix, config.augment.shuffle, config.augment.exposure) == (0, 0, 1)
    assert config.data.balance == config.train.class_weights == "none"
    assert config.augment.flip == small_config().augment.flip
