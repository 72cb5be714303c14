"""The loss of pretraining: its value where it is known, and what tells that the embeddings have collapsed."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from lift_flax.pretrain import losses
from tests.support.small_config import small_config


def _embeddings(seed: int, clips: int = 5, width: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(clips, 2, width)).astype(np.float32)


def test_views_agree_by_the_cross_entropy_over_all_other_views():
    embeddings, temperature = _embeddings(0), 0.3
    flat = embeddings.reshape(10, 16)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    alike = flat @ flat.T / temperature
    np.fill_diagonal(alike, -np.inf)
    other = [i + 1 if i % 2 == 0 else i - 1 for i in range(10)]
    expected = -np.mean([log_softmax(row)[place] for row, place in zip(alike, other, strict=True)])
    found = losses.agreement(jnp.array(embeddings), temperature)
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(found["top1"]) == np.mean(alike.argmax(axis=1) == other)


def test_what_is_known_of_its_values():
    """Equal views of different clips: right at once; equal embeddings of all: as if nothing were learnt."""
    first = _embeddings(1, clips=64, width=128)[:, :1]
    found = losses.agreement(jnp.array(np.concatenate([first, first], axis=1)), 0.1)
    assert float(found["loss"]) < 0.1 and float(found["top1"]) == 1
    assert float(found["std"]) == pytest.approx(1, abs=0.02), "spread over the whole sphere"
    collapsed = losses.agreement(jnp.ones((4, 2, 8)), 0.1)
    assert float(collapsed["loss"]) == pytest.approx(np.log(7), rel=1e-5)
    assert float(collapsed["std"]) == pytest.approx(0, abs=1e-3)


def test_the_order_of_clips():
    """Without any learning it costs log(2); without clips that are played backwards it counts for nothing."""
    found = losses.order(jnp.zeros((3, 2)), jnp.array([0.0, 1.0, 1.0]))
    assert float(found["order"]) == pytest.approx(np.log(2), rel=1e-6)
    right = losses.order(jnp.array([[-9.0, -9.0], [9.0, 9.0], [9.0, -9.0]]), jnp.array([0.0, 1.0, 1.0]))
    assert float(right["order_top1"]) == pytest.approx(5 / 6)
    outputs = {"luminous": jnp.array(_embeddings(2)), "main": jnp.array(_embeddings(3)), "order": jnp.ones((5, 2))}
    both = losses.pretext(outputs, jnp.zeros(5), small_config(**{"pretrain.order_weight": 2.0}))
    parts = both["luminous_agreement"] + both["main_agreement"] + 2 * both["order"]
    assert float(both["loss"]) == pytest.approx(float(parts), rel=1e-6)
    del outputs["order"]
    assert "order" not in losses.pretext(outputs, jnp.zeros(5), small_config())
