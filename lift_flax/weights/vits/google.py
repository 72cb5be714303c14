"""The layout of google-research/vision_transformer and big_vision (.npz of Flax)."""

import re

from lift_flax.weights.read_tensors import Tensors
from lift_flax.weights.vits.layout import HALF, PublishedVit, Sources, facts_of, with_class_position

_PREFIXES = ("opt/target/", "params/img/", "params/", "img/")
_NORMS = {"0": "norm1", "1": "norm2", "2": "norm2"}  # LayerNorm_1 is big_vision's spelling of the second


def read(tensors: Tensors, blocks: int) -> PublishedVit:
    """Raises KeyError with the name of a tensor that is missing."""
    named = _usual_names(tensors)
    dim = named["embedding/kernel"][1].shape[-1]  # (P, P, 3, E)
    out: Sources = {
        "params/patches/kernel": named["embedding/kernel"],
        "params/patches/bias": named["embedding/bias"],
        "params/cls": named["cls"],
        "params/positions": with_class_position(*named["pos_embedding"]),
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
    if f"block{blocks}/norm1/scale" not in named and "norm/scale" in named:
        out |= {f"params/norm/{leaf}": named[f"norm/{leaf}"] for leaf in ("scale", "bias")}
    kernel = named["block0/attention/query/kernel"][1]  # [E, heads, E / heads], or flat
    facts = facts_of(out, blocks, HALF, gelu="tanh", positions="linear")
    return PublishedVit(out, facts, kernel.shape[1] if kernel.ndim == 3 else None, {})


def _usual_names(tensors: Tensors) -> Sources:
    """{one spelling: (the file's name, array)}: without prefixes and numbers of flax, scanned layers one by one."""
    named: Sources = {}
    for original, array in tensors.items():
        name = original
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        name = name.removeprefix("Transformer/").removeprefix("posembed_input/").replace("encoder_norm/", "norm/")
        name = re.sub(r"LayerNorm_(\d)", lambda m: _NORMS.get(m[1], m[0]), name)
        name = re.sub(r"MultiHeadDotProductAttention_\d", "attention", name)
        name = re.sub(r"MlpBlock_\d", "mlp", name)
        if name.startswith("encoderblock/"):
            rest = name.removeprefix("encoderblock/")
            named.update({f"block{i}/{rest}": (f"{original}[{i}]", layer) for i, layer in enumerate(array)})
        else:
            named[re.sub(r"encoderblock_(\d+)/", r"block\1/", name)] = (original, array)
    return named
