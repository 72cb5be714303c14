"""The layouts of Hugging Face's transformers: ViT, DINOv2, and the vision towers of CLIP."""

import numpy as np

from lift_flax.weights.read_tensors import Tensors
from lift_flax.weights.vits.layout import (
    CLIP,
    HALF,
    IMAGENET,
    PublishedVit,
    Sources,
    count_blocks,
    facts_of,
    linear,
    norm,
    scaled,
)
from lift_flax.weights.vits.timm import CLIP_EPS

_ATTENTION = {
    "query": "attention.attention.query",
    "key": "attention.attention.key",
    "value": "attention.attention.value",
    "out": "attention.output.dense",
}
_DINO_V2 = {"norm1": "norm1", "norm2": "norm2", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
_VIT = {"norm1": "layernorm_before", "norm2": "layernorm_after", "fc1": "intermediate.dense", "fc2": "output.dense"}
_CLIP = {
    **{"norm1": "layer_norm1", "norm2": "layer_norm2", "fc1": "mlp.fc1", "fc2": "mlp.fc2"},
    **{name: f"self_attn.{name[0]}_proj" for name in ("query", "key", "value")},
    "out": "self_attn.out_proj",
}


def read(tensors: Tensors, blocks: int) -> PublishedVit:
    """ViT and DINOv2.  Raises KeyError with the name of a tensor that is missing."""
    kernel = tensors[named := "embeddings.patch_embeddings.projection.weight"]
    is_dino = "encoder.layer.0.layer_scale1.lambda1" in tensors
    out: Sources = {
        "params/patches/kernel": (named, kernel.transpose(2, 3, 1, 0)),
        "params/patches/bias": (bias := "embeddings.patch_embeddings.projection.bias", tensors[bias]),
        "params/cls": ("embeddings.cls_token", tensors["embeddings.cls_token"]),
        "params/positions": (positions := "embeddings.position_embeddings", tensors[positions]),
    }
    folded: dict[str, str] = {}
    for i in range(blocks):
        ours, theirs = f"params/blocks/{i}", f"encoder.layer.{i}"
        _block(tensors, out, ours, theirs, {**_ATTENTION, **(_DINO_V2 if is_dino else _VIT)})
        if is_dino:
            folded |= scaled(out, f"{ours}/attention/out", f"{theirs}.layer_scale1.lambda1", tensors)
            folded |= scaled(out, f"{ours}/mlp/fc2", f"{theirs}.layer_scale2.lambda1", tensors)
    if count_blocks(tensors, r"encoder\.layer\.(\d+)\.") == blocks:
        out |= norm(tensors, "params/norm", "layernorm")
    facts = facts_of(out, blocks, IMAGENET if is_dino else HALF, gelu="exact", positions="bicubic")
    return PublishedVit(out, facts, len(kernel) // 64 if is_dino else None, folded)  # of DINOv2's heads each is 64 wide


def read_clip(tensors: Tensors, blocks: int) -> PublishedVit:
    """The vision tower of CLIP.  Raises KeyError with the name of a tensor that is missing."""
    kernel = tensors[named := "embeddings.patch_embedding.weight"]  # (E, 3, P, P)
    out: Sources = {
        "params/patches/kernel": (named, kernel.transpose(2, 3, 1, 0)),
        "params/patches/bias": ("none: zeros", np.zeros(len(kernel), np.float32)),
        "params/cls": (cls := "embeddings.class_embedding", tensors[cls][None, None]),
        "params/positions": (positions := "embeddings.position_embedding.weight", tensors[positions][None]),
        **norm(tensors, "params/pre_norm", "pre_layrnorm"),
    }
    for i in range(blocks):
        _block(tensors, out, f"params/blocks/{i}", f"encoder.layers.{i}", _CLIP)
    if count_blocks(tensors, r"encoder\.layers\.(\d+)\.") == blocks:
        out |= norm(tensors, "params/norm", "post_layernorm")
    facts = facts_of(out, blocks, CLIP, gelu=None, pre_norm=True, ln_eps=CLIP_EPS, positions="bicubic")
    return PublishedVit(out, facts, None, {})


def _block(tensors: Tensors, out: Sources, ours: str, theirs: str, names: dict[str, str]) -> None:
    """Adds a block's sources; `names` are the file's, by ours."""
    for name in ("norm1", "norm2"):
        out |= norm(tensors, f"{ours}/{name}", f"{theirs}.{names[name]}")
    for name in ("query", "key", "value", "out"):
        out |= linear(tensors, f"{ours}/attention/{name}", f"{theirs}.{names[name]}")
    for name in ("fc1", "fc2"):
        out |= linear(tensors, f"{ours}/mlp/{name}", f"{theirs}.{names[name]}")
