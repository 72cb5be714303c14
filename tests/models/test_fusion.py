"""The Fourier Enhancement, and how levels and head put the streams together: the identities that they promise."""

import math
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lift_flax.models import lift_net
from lift_flax.models.fourier import (
    FoeNorm,
    FourierEnhancement,
    from_spectrum,
    from_spectrum_by_products,
    spectrum,
    spectrum_by_products,
)
from lift_flax.models.fusion import Critic, Fusion, LevelSpec
from lift_flax.models.intermediates import Intermediates


def _normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def test_spectrum_is_orthonormal_and_invertible():
    x = _normal(0, 2, 30, 64)
    y = spectrum(x)
    np.testing.assert_allclose((jnp.abs(y) ** 2).sum(), (x**2).sum(), rtol=1e-5)
    np.testing.assert_allclose(from_spectrum(y), x, atol=1e-5)
    assert spectrum(x.astype(jnp.bfloat16)).dtype == jnp.complex64


def test_transforms_by_products_are_the_ffts():
    x, im = _normal(0, 2, 30, 24), _normal(1, 2, 30, 24)
    expected = spectrum(x)
    for found, part in zip(spectrum_by_products(x), (expected.real, expected.imag), strict=True):
        np.testing.assert_allclose(found, part, atol=1e-5)
    found = from_spectrum_by_products(x, im)  # any complex numbers, not only the spectra of real ones
    np.testing.assert_allclose(found, from_spectrum(jax.lax.complex(x, im)), atol=1e-5)


@pytest.mark.parametrize(("by_products", "norm"), [(False, "plane"), (True, "plane"), (False, "row")])
def test_fourier_enhancement_without_mlp_and_norms_is_the_identity(by_products, norm):
    foe = FourierEnhancement(16, norm=norm, eps=1e-5, rngs=nnx.Rngs(0))
    foe.by_products = by_products
    foe.fc2.kernel_re[...] = foe.fc2.kernel_im[...] = jnp.zeros((16, 16))
    foe.norm_re = foe.norm_im = lambda x: x
    x = _normal(0, 2, 10, 16)
    np.testing.assert_allclose(foe(x), x, atol=1e-5)


def test_norms_of_the_spectrum_take_their_moments_where_they_say():
    """What has zero mean and unit deviation: each row, the plane, each token after the inverse; the branch adds."""
    x = _normal(0, 2, 10, 16)
    enhanced = {}
    for norm in get_args(FoeNorm):
        foe = FourierEnhancement(16, norm=norm, eps=0.0, rngs=nnx.Rngs(0))
        y = spectrum(x)
        enhanced[norm] = (foe, *foe._enhance(y.real, y.imag))
        by_fft = foe(x)
        foe.by_products = True
        np.testing.assert_allclose(foe(x), by_fft, atol=1e-4)
    rows, plane = enhanced["row"][1], enhanced["plane"][2]
    np.testing.assert_allclose(rows.std(axis=2), 1, atol=1e-4)
    np.testing.assert_allclose(plane.std(axis=(1, 2)), 1, atol=1e-4)
    assert plane.std(axis=2).std() > 0.1  # its rows keep their sizes
    np.testing.assert_allclose((enhanced["branch"][1] - spectrum(x).real).std(axis=(1, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(enhanced["after"][0](x).std(axis=2), 1, atol=1e-4)


def test_complex_mlp_is_complex_algebra():
    foe = FourierEnhancement(8, eps=1e-5, rngs=nnx.Rngs(0))
    y = spectrum(_normal(0, 2, 5, 8))
    re, im = foe.fc1(y.real, y.imag)
    kernel = foe.fc1.kernel_re[...] + 1j * foe.fc1.kernel_im[...]
    np.testing.assert_allclose(re + 1j * im, y @ kernel, atol=1e-5)


def test_fusion_scales_span_the_same_functions():
    """Scaling the query of Eq. 1's literal form by sqrt(heads / head_dim) gives the usual form."""
    literal = Fusion(64, LevelSpec(2, foe_norm=None), rngs=nnx.Rngs(0))
    usual = Fusion(64, LevelSpec(2, scale="head_dim", foe_norm=None), rngs=nnx.Rngs(0))
    factor = math.sqrt(2 / 32)
    query = literal.attention.query
    query.kernel[...], query.bias[...] = query.kernel[...] * factor, query.bias[...] * factor
    x, y = _normal(0, 2, 6, 64), _normal(1, 2, 6, 64)
    np.testing.assert_allclose(literal(x, y), usual(x, y), atol=1e-5)


def test_fusion_asks_with_the_luminous_and_answers_with_the_main_stream():
    fusion = Fusion(16, LevelSpec(2, foe_norm=None), rngs=nnx.Rngs(0))
    luminous, main = _normal(0, 2, 5, 16), _normal(1, 2, 7, 16)
    np.testing.assert_allclose(
        fusion(luminous, main), fusion.norm(fusion.attention(luminous, main)) + luminous, atol=1e-6
    )
    permuted = fusion(luminous, main[:, ::-1])  # attention does not see the order of keys and values
    np.testing.assert_allclose(fusion(luminous, main), permuted, atol=1e-5)


@pytest.mark.parametrize("residual", ["luminous", "main", "both", "gate"])
def test_the_residual_of_a_fusion_is_what_its_field_says(residual):
    fusion = Fusion(16, LevelSpec(2, residual=residual, foe_norm=None), rngs=nnx.Rngs(0))
    fusion.norm.scale[...] = jnp.zeros(16)  # of the attention nothing is left
    luminous, main = _normal(0, 2, 5, 16), _normal(1, 2, 5, 16)
    if residual == "gate":
        fusion.gate.kernel[...] = jnp.zeros((32, 16))
        fusion.gate.bias[...] = jnp.full(16, math.log(3))  # three quarters
    expected = {"luminous": luminous, "main": main, "both": luminous + main, "gate": 0.75 * luminous + 0.25 * main}
    np.testing.assert_allclose(fusion(luminous, main), expected[residual], atol=1e-6)


def test_a_gate_sees_both_streams():
    fusion = Fusion(16, LevelSpec(2, residual="gate", foe_norm=None), rngs=nnx.Rngs(0))
    inside = Intermediates()
    luminous, main = _normal(0, 2, 5, 16), _normal(1, 2, 5, 16)
    fusion(luminous, main, intermediates=inside)
    gate, inside = inside.arrays["gate"], Intermediates()
    fusion(luminous, main.at[0, 0].set(0), intermediates=inside)
    moved = np.abs(inside.arrays["gate"] - gate).max(axis=2) > 1e-3
    assert moved[0, 0] and moved.sum() == 1


def test_a_critic_of_one_map_is_the_formula():
    critic = Critic(16, LevelSpec(2, critic_mlp=1), rngs=nnx.Rngs(0))
    x = _normal(0, 2, 5, 16)
    y = x + critic.norm1(critic.attention(x, x))
    expected = y + critic.norm2(jax.nn.gelu(y @ critic.mlp.kernel[...] + critic.mlp.bias[...], approximate=False))
    np.testing.assert_allclose(critic(x), expected, atol=1e-5)


def test_pooling_by_attention_starts_as_the_mean_and_prefers_what_it_asks_for():
    mean, attention = (lift_net.Head(16, 3, pool=pool, rngs=nnx.Rngs(0)) for pool in ("mean", "attention"))
    x = _normal(0, 2, 5, 16)
    np.testing.assert_allclose(attention(x, train=False), mean(x, train=False), atol=1e-5)
    attention.query[...] = 1e3 * x[0, 3]
    np.testing.assert_allclose(attention(x[:1], train=False), mean(x[:1, 3:4], train=False), atol=1e-5)


def test_branches_are_normed_before_they_are_added():
    critic = Critic(16, LevelSpec(2), rngs=nnx.Rngs(0))
    critic.norm2.scale[...] = jnp.zeros(16)
    x = _normal(0, 2, 5, 16)
    np.testing.assert_allclose(critic(x), x + critic.norm1(critic.attention(x, x)), atol=1e-5)
