"""The layout of timm's `vision_transformer.py`: ViT, DeiT, DINO, DINOv2, CLIP; and of DINOv2's own files."""

import numpy as np

from lift_flax.weights.read_tensors import Tensors
from lift_flax.weights.vits.layout import (
    CLIP,
    HALF,
    IMAGENET,
    UNIT,
    PublishedVit,
    Sources,
    count_blocks,
    facts_of,
    linear,
    norm,
    scaled,
    with_class_position,
)

CLIP_EPS = 1e-5


def read(tensors: Tensors, blocks: int) -> PublishedVit:
    """Raises KeyError with the name of a tensor that is missing."""
    weight = tensors["patch_embed.proj.weight"]  # (E, 3, P, P)
    is_clip, bias = "norm_pre.weight" in tensors, "blocks.0.attn.qkv.bias" in tensors
    missing = ("none: zeros", np.zeros(len(weight), np.float32))  # CLIP's patches have no bias
    named = "patch_embed.proj.bias"
    out: Sources = {
        "params/patches/kernel": ("patch_embed.proj.weight", weight.transpose(2, 3, 1, 0)),
        "params/patches/bias": missing if is_clip and named not in tensors else (named, tensors[named]),
        "params/cls": ("cls_token", tensors["cls_token"]),
        "params/positions": with_class_position("pos_embed", tensors["pos_embed"]),
    }
    if is_clip:
        out |= norm(tensors, "params/pre_norm", "norm_pre")
    folded: dict[str, str] = {}
    for i in range(blocks):
        folded |= _block(tensors, out, i, bias=bias)
    if count_blocks(tensors, r"blocks\.(\d+)\.") == blocks and "norm.weight" in tensors:
        out |= norm(tensors, "params/norm", "norm")
    statistics = CLIP if is_clip else IMAGENET if folded else HALF if bias else UNIT
    rest = {"gelu": None, "pre_norm": True, "ln_eps": CLIP_EPS} if is_clip else {"gelu": "exact"}
    # DINOv2's heads are 64 wide in every size; DeiT III, which has LayerScale too, gives its class token no position
    heads = len(weight) // 64 if folded and "mask_token" in tensors else None
    facts = facts_of(out, blocks, statistics, qkv_bias=bias, positions="bicubic_antialias", **rest)
    return PublishedVit(out, facts, heads, folded)


def _block(tensors: Tensors, out: Sources, i: int, *, bias: bool) -> dict[str, str]:
    """Adds a block's sources; gives the LayerScales that went into them."""
    ours, theirs, dim = f"params/blocks/{i}", f"blocks.{i}", len(tensors["patch_embed.proj.weight"])
    for name in ("norm1", "norm2"):
        out |= norm(tensors, f"{ours}/{name}", f"{theirs}.{name}")
    for layer, path in (("mlp.fc1", "mlp/fc1"), ("mlp.fc2", "mlp/fc2"), ("attn.proj", "attention/out")):
        out |= linear(tensors, f"{ours}/{path}", f"{theirs}.{layer}")
    for part, name in enumerate(("query", "key", "value")):
        rows = slice(part * dim, (part + 1) * dim)
        for leaf, suffix in (("kernel", "weight"), ("bias", "bias"))[: 2 if bias else 1]:
            n = f"{theirs}.attn.qkv.{suffix}"
            out[f"{ours}/attention/{name}/{leaf}"] = (f"{n}[{rows.start}:{rows.stop}]", tensors[n][rows].T)
    folded: dict[str, str] = {}
    for scale, path in (("ls1.gamma", "attention/out"), ("ls2.gamma", "mlp/fc2")):
        if f"{theirs}.{scale}" in tensors:
            folded |= scaled(out, f"{ours}/{path}", f"{theirs}.{scale}", tensors)
    return folded
