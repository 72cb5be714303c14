"""Converts Vision Transformers of Google (.npz) and timm: which tensor is which parameter of `models/vit.py`.

Names and shapes are those of google-research/vision_transformer, big_vision, and timm's `vision_transformer.py`.  Only
the first blocks are kept: LIFT-Net reads the class token after them (paper section III-C).
"""

import math
import re
from typing import Any

import numpy as np
from flax import nnx

from lift_flax.config import VIT_LN_EPS, VIT_MEAN, VIT_STD
from lift_flax.errors import UserError
from lift_flax.models.functional import flatten, trees_of
from lift_flax.models.vit import PViT
from lift_flax.weights.converted import ConvertedWeights, Entry
from lift_flax.weights.copies import BESIDE
from lift_flax.weights.vit_sizes import SIZES, agreed_heads

_HALF = {"mean": list(VIT_MEAN), "std": list(VIT_STD)}
_MIIL = {"mean": [0.0] * 3, "std": [1.0] * 3}
_PREFIXES = ("opt/target/", "params/img/", "params/", "img/")
_NORMS = {"0": "norm1", "1": "norm2", "2": "norm2"}  # LayerNorm_1 is big_vision's spelling of the second

# {our parameter: (name in the file, array)}
Sources = dict[str, tuple[str, np.ndarray]]


def convert(tensors: dict[str, np.ndarray], blocks: int, num_heads: int | None = None) -> ConvertedWeights:
    """Renames the embeddings and the first `blocks` blocks to our names.

    Args:
      num_heads: of every attention; Google's tensors show it, timm's do not.

    Raises:
      UserError: no ViT that is known, fewer blocks, a tensor that is missing or has another shape, or no number of
        heads or one that does not fit.
    """
    try:
        read = _timm if any(name.startswith("patch_embed.") for name in tensors) else _google
        sources, facts, shown = read(tensors, blocks)
        facts["num_heads"] = agreed_heads(facts["dim"], shown, num_heads)
    except KeyError as error:
        raise UserError(_no_vit(tensors, str(error.args[0]), blocks)) from error
    except (ValueError, IndexError, TypeError) as error:  # a transposition or reshaping of another rank or size
        raise UserError(f"the file names its tensors like a ViT, but their shapes are not a ViT's ({error})") from error
    shapes = abstract_pvit(facts)
    wrong = [
        f"{theirs} gives {array.shape} instead of {shapes[ours]}"
        for ours, (theirs, array) in sources.items()
        if array.shape != shapes[ours]
    ]
    if wrong:
        raise UserError(f"shapes disagree for {ours_of(facts)}: {'; '.join(wrong[:3])}: is the file whole?")
    used = {theirs.split("[")[0] for theirs, _ in sources.values()}
    return ConvertedWeights(
        kind="vit",
        arrays={ours: array for ours, (_, array) in sources.items()},
        entries=[Entry(ours, theirs, _stage(ours)) for ours, (theirs, _) in sources.items()],
        ignored={name: _why_ignored(name, blocks) for name in tensors if name not in used} | _rest(tensors, blocks),
        new={},
        facts=facts,
    )


def _no_vit(tensors: dict[str, np.ndarray], missing: str, blocks: int) -> str:
    """The message about a tensor that is missing."""
    if any(re.search(r"(^|\.)(features\.|layer)[1-4]\.\d+\.", name) for name in tensors):
        return "the file looks like a video ResNet: convert it with `convert r2plus1d`"
    if any("encoder_layer_0." in name or "patch_embeddings.projection." in name for name in tensors):
        return "the file is a ViT in the spelling of torchvision or transformers: give the one of timm or Google"
    return (
        f"the file lacks {missing}: is it a ViT with a class token and at least {blocks} blocks? It holds "
        f"{', '.join(sorted(tensors)[:3])}, ..."
    )


def abstract_pvit(facts: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """{"params/...": shape} of the PViT that `facts` describe."""
    sizes = [facts[name] for name in ("blocks", "patch", "dim", "num_heads", "mlp_dim")]
    options = {name: facts[name] for name in ("gelu", "ln_eps", "qkv_bias")}
    side = facts["grid"] * facts["patch"]
    params, _ = trees_of(nnx.eval_shape(lambda: PViT(side, *sizes, **options, rngs=nnx.Rngs(0))))
    return {f"params/{name}": leaf.shape for name, leaf in flatten(params).items()}


def ours_of(facts: dict[str, Any]) -> str:
    """The usual name of a ViT's sizes."""
    letters = {size.dim: size.letter for size in SIZES.values()}
    return f"ViT-{letters.get(facts['dim'], facts['dim'])}/{facts['patch']}"


def resize_positions(positions: np.ndarray, grid: int) -> np.ndarray:
    """Resizes position embeddings [1, 1+g*g, E] to another grid: [1, 1+grid*grid, E]; the class token's is kept.

    Linear between the old positions, corners on corners, as google-research/vision_transformer does.  A grid of one
    patch takes the middle.
    """
    from scipy import ndimage

    old = math.isqrt(positions.shape[1] - 1)
    if old == grid:
        return positions
    cls, table = positions[:, :1], positions[0, 1:].reshape(old, old, -1)  # [g, g, E]
    if grid > 1:
        table = np.asarray(ndimage.zoom(table, (grid / old, grid / old, 1), order=1))  # [grid, grid, E]
    else:
        middle = slice((old - 1) // 2, old // 2 + 1)  # one position or two
        table = table[middle, middle].mean((0, 1))
    return np.concatenate([cls, table.reshape(1, grid * grid, -1)], axis=1).astype(np.float32)


def _timm(tensors: dict[str, np.ndarray], blocks: int) -> tuple[Sources, dict[str, Any], int | None]:
    """(sources, facts, heads that the shapes show)"""
    kernel = tensors["patch_embed.proj.weight"]  # (E, 3, P, P)
    dim, bias = kernel.shape[0], "blocks.0.attn.qkv.bias" in tensors
    out: Sources = {
        "params/patches/kernel": ("patch_embed.proj.weight", kernel.transpose(2, 3, 1, 0)),
        "params/patches/bias": ("patch_embed.proj.bias", tensors["patch_embed.proj.bias"]),
        "params/cls": ("cls_token", tensors["cls_token"]),
        "params/positions": ("pos_embed", tensors["pos_embed"]),
    }
    for i in range(blocks):
        ours, theirs = f"params/blocks/{i}", f"blocks.{i}"
        for norm in ("norm1", "norm2"):
            for leaf, name in (("scale", "weight"), ("bias", "bias")):
                out[f"{ours}/{norm}/{leaf}"] = (n := f"{theirs}.{norm}.{name}", tensors[n])
        for layer in ("mlp.fc1", "mlp.fc2", "attn.proj"):
            path = {"attn.proj": "attention/out"}.get(layer, layer.replace(".", "/"))
            out[f"{ours}/{path}/kernel"] = (n := f"{theirs}.{layer}.weight", tensors[n].T)
            out[f"{ours}/{path}/bias"] = (n := f"{theirs}.{layer}.bias", tensors[n])
        for part, name in enumerate(("query", "key", "value")):
            rows = slice(part * dim, (part + 1) * dim)
            for leaf, suffix in (("kernel", "weight"), ("bias", "bias"))[: 2 if bias else 1]:
                n = f"{theirs}.attn.qkv.{suffix}"
                out[f"{ours}/attention/{name}/{leaf}"] = (f"{n}[{rows.start}:{rows.stop}]", tensors[n][rows].T)
    normalisation = _HALF if bias else _MIIL
    return out, _facts(out, blocks, gelu="exact", qkv_bias=bias, **normalisation), None  # qkv is one matrix


def _google(tensors: dict[str, np.ndarray], blocks: int) -> tuple[Sources, dict[str, Any], int | None]:
    """The same for Google's layout."""
    named = _usual_names(tensors)
    kernel = named["embedding/kernel"][1]  # (P, P, 3, E)
    dim = kernel.shape[-1]
    out: Sources = {
        "params/patches/kernel": named["embedding/kernel"],
        "params/patches/bias": named["embedding/bias"],
        "params/cls": named["cls"],
        "params/positions": _with_class_position(*named["pos_embedding"]),
    }
    for i in range(blocks):
        ours, theirs = f"params/blocks/{i}", f"block{i}"
        for norm in ("norm1", "norm2"):
            for leaf in ("scale", "bias"):
                out[f"{ours}/{norm}/{leaf}"] = named[f"{theirs}/{norm}/{leaf}"]
        for layer, path in (("Dense_0", "fc1"), ("Dense_1", "fc2")):
            for leaf in ("kernel", "bias"):
                out[f"{ours}/mlp/{path}/{leaf}"] = named[f"{theirs}/mlp/{layer}/{leaf}"]
        for name in ("query", "key", "value", "out"):
            n, array = named[f"{theirs}/attention/{name}/kernel"]
            out[f"{ours}/attention/{name}/kernel"] = (n, array.reshape(dim, dim))
            n, array = named[f"{theirs}/attention/{name}/bias"]
            out[f"{ours}/attention/{name}/bias"] = (n, array.reshape(dim))
    kernel = named["block0/attention/query/kernel"][1]  # [E, heads, E / heads], or flat
    return out, _facts(out, blocks, gelu="tanh", qkv_bias=True, **_HALF), kernel.shape[1] if kernel.ndim == 3 else None


def _usual_names(tensors: dict[str, np.ndarray]) -> Sources:
    """{one spelling: (the file's name, array)}: without prefixes and numbers of flax, scanned layers one by one."""
    named: Sources = {}
    for original, array in tensors.items():
        name = original
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        name = name.removeprefix("Transformer/").removeprefix("posembed_input/")
        name = re.sub(r"LayerNorm_(\d)", lambda m: _NORMS.get(m[1], m[0]), name)
        name = re.sub(r"MultiHeadDotProductAttention_\d", "attention", name)
        name = re.sub(r"MlpBlock_\d", "mlp", name)
        if name.startswith("encoderblock/"):
            rest = name.removeprefix("encoderblock/")
            named.update({f"block{i}/{rest}": (f"{original}[{i}]", layer) for i, layer in enumerate(array)})
        else:
            named[re.sub(r"encoderblock_(\d+)/", r"block\1/", name)] = (original, array)
    return named


def _with_class_position(name: str, positions: np.ndarray) -> tuple[str, np.ndarray]:
    """Adds a zero position for the class token where the table has none: big_vision adds it to the token itself."""
    if math.isqrt(positions.shape[1]) ** 2 == positions.shape[1]:
        positions = np.concatenate([np.zeros_like(positions[:, :1]), positions], axis=1)
    return name, positions


def _facts(sources: Sources, blocks: int, **rest) -> dict[str, Any]:
    patch, _, _, dim = sources["params/patches/kernel"][1].shape
    facts = {"blocks": blocks, "patch": patch, "dim": dim}
    facts["mlp_dim"] = sources["params/blocks/0/mlp/fc1/bias"][1].shape[0]
    facts["grid"] = math.isqrt(sources["params/positions"][1].shape[1] - 1)
    return {**facts, "ln_eps": VIT_LN_EPS, **rest}


def _stage(ours: str) -> str:
    parts = ours.split("/")
    return f"block {int(parts[2]) + 1}" if parts[1] == "blocks" else "embeddings"


def _rest(tensors: dict[str, np.ndarray], blocks: int) -> dict[str, str]:
    """The later blocks of tensors that stack all blocks (scanned layers), as ignored parts of these tensors."""
    scanned = [name for name in tensors if "encoderblock/" in name and len(tensors[name]) > blocks]
    return {f"{name}[{blocks}:{len(tensors[name])}]": f"blocks after the first {blocks}" for name in scanned}


def _why_ignored(name: str, blocks: int) -> str:
    if name.startswith("opt/state"):
        return BESIDE
    if re.match(r"params/(txt/|t$|b$)", name):
        return "the text side of a two-tower network"
    if block := re.search(r"encoderblock_(\d+)/|^blocks\.(\d+)\.", name):
        if int(block[1] or block[2]) >= blocks:
            return f"blocks after the first {blocks}"
    elif re.search(r"(^|/)(encoder_norm|norm|fc_norm)[./]", name):
        return "the norm after the last block"
    elif re.search(r"(^|/)(head|head_dist|pre_logits)[./]", name):
        return "the classifier"
    raise UserError(f"the file holds {name}, which is no part of a plain ViT: is it a file of another network?")
