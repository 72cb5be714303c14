"""Certifies weights: the same clip through the source framework and through our network."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lift_flax.errors import UserError
from lift_flax.models.functional import Network, unflatten
from lift_flax.models.video_resnet import TRUNKS, NormSpec, VideoResNet
from lift_flax.weights.converted import ConvertedWeights
from lift_flax.weights.vits import positions
from lift_flax.weights.vits.vit import pvit_of

LIMIT = 1e-3  # largest absolute error over the largest absolute value


def check(weights: ConvertedWeights, file: Path) -> float:
    """Runs the `clip` in `file` through `weights`; prints the error of each output that the file also holds.

    Args:
      weights: before or after they are saved.
      file: .npz of `clip`, normalised float32 [B,T,H,W,3] (for a ViT [B,H,W,3]), and of the source framework's outputs
        for it.  Of a video ResNet: `logits` [B,K] or `features`, the last stage's map (B,C,t,h,w) or its mean (B,C).
        Of a ViT: `features`, the class token [B,E] after the last block that was converted; `normed`, the same after
        the last norm.

    Returns:
      The largest relative error: the largest absolute error over the largest absolute value.
    Raises:
      UserError: the file lacks an array or has another shape; an error above 1e-3.
    """
    arrays = _read(file)
    run = _run_trunk if weights.kind == "r2plus1d" else _run_vit
    with jax.default_matmul_precision("highest"):  # accelerators round float32 products otherwise
        outputs = run(weights.facts, weights.arrays, jnp.asarray(arrays["clip"], jnp.float32))
    compared = [name for name in ("logits", "features", "normed") if name in arrays]
    if weights.kind == "vit" and "logits" in compared:
        print("logits: not compared, the first blocks of a ViT have none")
        compared.remove("logits")
    if not compared:
        raise UserError(f"{file} holds neither logits nor features: store what the source framework computes")
    worst = 0.0
    for name in compared:
        theirs = arrays[name]
        ours = outputs.get((name, theirs.ndim))
        if ours is None or ours.shape != theirs.shape:
            known = ", ".join(f"{n} {v.shape}" for (n, _), v in outputs.items())
            raise UserError(f"{file}: {name} is {theirs.shape}; these weights give {known}")
        error = float(np.abs(ours - theirs).max())
        relative = error / max(float(np.abs(theirs).max()), 1e-30)
        verdict = "ok" if relative <= LIMIT else f"above {LIMIT}"
        print(f"{name}: largest absolute error {error:.3g}, relative {relative:.3g}: {verdict}")
        worst = max(worst, relative) if np.isfinite(relative) else float("inf")
    if worst > LIMIT:
        raise UserError(
            f"the weights do not compute what {file} says (relative error {worst:.3g}, at most {LIMIT}): was the "
            "source in eval mode, its clip normalised, its GELU the same, its class token taken before the last norm?"
        )
    return worst


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            contents = {name: arrays[name] for name in arrays.files}
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise UserError(f"{file} is not an .npz of arrays, or damaged: see --help for what --check takes") from error
    if "clip" not in contents:
        raise UserError(f"{file} holds no array 'clip': see --help for what --check takes")
    return contents


def _run_trunk(facts: dict, arrays: dict[str, np.ndarray], clip: jax.Array) -> dict[tuple[str, int], np.ndarray]:
    spec, classes = TRUNKS[facts["name"]], facts["classes"]
    if clip.ndim != 5 or clip.shape[-1] != 3:
        raise UserError(f"clip is {clip.shape}: a video network takes [B, T, H, W, 3]")
    if classes is None:
        zeros = {"params/fc/kernel": np.zeros((spec.widths[-1], 1)), "params/fc/bias": np.zeros(1)}
        arrays = {**arrays, **zeros}
    norm = NormSpec(facts["bn_eps"])
    network = _network(lambda: VideoResNet(spec, classes or 1, norm=norm, rngs=nnx.Rngs(0)))
    out = jax.jit(lambda params, stats, x: network.module(params, stats)(x, train=False))(*_trees(arrays), clip)
    features = np.asarray(out["features"])  # [B, t, h, w, C]
    outputs = {("features", 5): features.transpose(0, 4, 1, 2, 3), ("features", 2): features.mean(axis=(1, 2, 3))}
    return outputs if classes is None else {("logits", 2): np.asarray(out["logits"]), **outputs}


def _run_vit(facts: dict, arrays: dict[str, np.ndarray], images: jax.Array) -> dict[tuple[str, int], np.ndarray]:
    patch = facts["patch"]
    if images.ndim != 4 or images.shape[3] != 3 or images.shape[1] != images.shape[2] or images.shape[1] % patch:
        raise UserError(f"clip is {images.shape}: this ViT takes square images [B, H, H, 3], H a multiple of {patch}")
    facts = {**facts, "grid": images.shape[1] // patch}
    table = np.asarray(arrays["params/positions"], np.float32)
    arrays = {**arrays, "params/positions": positions.resize(table, facts["grid"], facts["positions"])}
    without = {path: array for path, array in arrays.items() if not path.startswith("params/norm/")}
    outputs, takes = {}, {"features": without} | ({"normed": arrays} if len(without) < len(arrays) else {})
    for name, taken in takes.items():
        network = _network(functools.partial(pvit_of, facts, final_norm=name == "normed"))
        out = jax.jit(lambda params, stats, x, network=network: network.module(params, stats)(x))(
            *_trees(taken), images
        )
        outputs[name, 2] = np.asarray(out)
    return outputs


def _network(make) -> Network:
    return Network(nnx.graphdef(nnx.eval_shape(make)))


def _trees(arrays: dict[str, np.ndarray]) -> tuple[dict, dict]:
    """(params, batch_stats) of "params/..." and "batch_stats/..."."""
    split = {"params": {}, "batch_stats": {}}
    for name, array in arrays.items():
        tree, _, path = name.partition("/")
        split[tree][path] = jnp.asarray(array, jnp.float32)
    return unflatten(split["params"]), unflatten(split["batch_stats"])
