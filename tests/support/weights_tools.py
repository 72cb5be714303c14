"""Tensors that do not come from a file: the same names and shapes, values by name from a fixed seed."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lift_flax.models.functional import Network, Tree, unflatten
from lift_flax.models.video_resnet import TRUNKS, NormSpec, VideoResNet
from lift_flax.models.vit import PViT
from lift_flax.weights import torch_video
from lift_flax.weights.converted import ConvertedWeights

Shapes = dict[str, tuple[int, ...]]


def random_tensors(shapes: Shapes) -> dict[str, np.ndarray]:
    """float32 arrays that keep activations in range and no statistic trivial; counters stay integers."""
    return {name: _draw(name, shape) for name, shape in shapes.items()}


def _draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng([0, zlib.crc32(name.encode())])
    last = name.replace("/", ".").split(".")[-1]
    if last == "num_batches_tracked":
        return np.array(12345)
    if last in ("running_var", "var", "scale") or (last == "weight" and len(shape) == 1):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) <= 1 or "pos" in last or "cls" in last:
        return rng.normal(0, 0.2, shape).astype(np.float32)
    # matrices smaller than convolutions: sharp attention is chaotic, and rounding would be all that is compared
    gain, fan_in = (0.6, shape[-1]) if len(shape) == 2 else (1.0, np.prod(shape[1:]))
    return rng.normal(0, gain / np.sqrt(fan_in), shape).astype(np.float32)


def relative_error(ours, theirs) -> float:
    """Largest absolute difference over the largest absolute value."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def fill(module, tensors: dict[str, np.ndarray]) -> None:
    """Puts arrays into a PyTorch module, strictly."""
    import torch

    module.load_state_dict({name: torch.from_numpy(np.asarray(a)) for name, a in tensors.items()})


def trunk_from_tensors(weights: ConvertedWeights) -> tuple[Network, Tree, Tree]:
    """(network, params, batch_stats) of converted weights of a video ResNet."""
    facts = weights.facts
    make = lambda: VideoResNet(  # noqa: E731
        TRUNKS[facts["name"]], facts["classes"], norm=NormSpec(facts["bn_eps"]), rngs=nnx.Rngs(0)
    )
    return Network(nnx.graphdef(nnx.eval_shape(make))), *trees(weights.arrays)


def trees(arrays: dict[str, np.ndarray]) -> tuple[Tree, Tree]:
    """(params, batch_stats) of "params/..." and "batch_stats/..."."""
    split = {"params": {}, "batch_stats": {}}
    for name, array in arrays.items():
        tree, _, path = name.partition("/")
        split[tree][path] = jnp.asarray(array)
    return unflatten(split["params"]), unflatten(split["batch_stats"])


def stages(model: VideoResNet, clip) -> dict:
    """Every stage's map and the logits: stem, layer1 .. layer4, logits."""
    maps = {}
    x = jax.nn.relu(model.stem_norm(model.stem(clip, train=False), train=False))
    x = maps["stem"] = nnx.max_pool(x, (3, 3, 3), (2, 2, 2), ((1, 1),) * 3) if model.stem_pool else x
    for layer in range(1, 5):
        for block in getattr(model, f"layer{layer}"):
            x = block(x, train=False)
        maps[f"layer{layer}"] = x
    out = model(clip, train=False)
    return maps | {"logits": out["logits"]}


def pvit_from_tensors(weights: ConvertedWeights) -> tuple[Network, Tree]:
    """(network, params) of converted weights of a ViT, at the size of its position embeddings."""
    facts = weights.facts
    sizes = [facts[name] for name in ("blocks", "patch", "dim", "num_heads", "mlp_dim")]
    options = {name: facts[name] for name in ("gelu", "ln_eps", "qkv_bias")}
    make = lambda: PViT(facts["grid"] * facts["patch"], *sizes, **options, rngs=nnx.Rngs(0))  # noqa: E731
    return Network(nnx.graphdef(nnx.eval_shape(make))), trees(weights.arrays)[0]


def class_tokens(model: PViT, images) -> jax.Array:
    """The class token after every block, [blocks, B, E]."""
    x = model.patches(images)
    x = jnp.concatenate([jnp.broadcast_to(model.cls[...], (len(x), 1, x.shape[-1])), x], axis=1) + model.positions[...]
    tokens = []
    for block in model.blocks:
        x = block(x)
        tokens.append(x[:, 0])
    return jnp.stack(tokens)


def sample(array: np.ndarray, count: int = 256) -> np.ndarray:
    """`count` values of an array at fixed places (all of a smaller one)."""
    flat = np.asarray(array).reshape(-1)
    if flat.size <= count:
        return flat
    return flat[np.sort(np.random.default_rng(flat.size).choice(flat.size, count, replace=False))]


# Lengths of the golden clips: 30 frames become 15, then 8, which no other length does.
GOLDEN_FRAMES = {"r2plus1d_34": (8, 30, 32), "r2plus1d_18": (8,), "r3d_18": (8,), "mc3_18": (8,), "hara_34": (8,)}


def golden_clip(frames: int = 8) -> np.ndarray:
    """A normalised clip [1, T, 48, 48, 3] of noise."""
    return np.random.default_rng(11).normal(size=(1, frames, 48, 48, 3)).astype(np.float32)


def golden_images(side: int = 224) -> np.ndarray:
    """Normalised images [2, side, side, 3] of noise."""
    return np.random.default_rng(12).normal(size=(2, side, side, 3)).astype(np.float32)


def zeros(shapes: Shapes) -> dict[str, np.ndarray]:
    """Arrays of zeros that take no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


def trunk_tensors(name: str, classes: int, draw=random_tensors) -> dict[str, np.ndarray]:
    """A state_dict of a video ResNet under its PyTorch names, counters included."""
    return draw(trunk_shapes(name, classes))


def trunk_shapes(name: str, classes: int) -> Shapes:
    """Names and shapes of the tensors of a video ResNet in PyTorch, counters included."""
    spec = TRUNKS[name]
    table, shapes = torch_video.tensors_of(spec), torch_video.abstract_trunk(spec, classes)
    names = {table[ours].name: torch_video.torch_shape(ours, s, table[ours].frames) for ours, s in shapes.items()}
    counters = {n.replace("running_var", "num_batches_tracked"): () for n in names if n.endswith("running_var")}
    return names | counters


def timm_tensors(blocks: int, **sizes) -> dict[str, np.ndarray]:
    """A state_dict of a ViT under timm's names; with `classes` also the last norm and the head."""
    return random_tensors(timm_shapes(blocks, **sizes))


def timm_shapes(
    blocks: int, dim: int = 768, patch: int = 16, grid: int = 14, qkv_bias: bool = True, classes: int = 0
) -> Shapes:
    """Names and shapes of the tensors of a ViT in timm; with `classes` also of the last norm and the head."""
    shapes = {"cls_token": (1, 1, dim), "pos_embed": (1, grid * grid + 1, dim)}
    shapes |= {"patch_embed.proj.weight": (dim, 3, patch, patch), "patch_embed.proj.bias": (dim,)}
    for i in range(blocks):
        block = f"blocks.{i}"
        for layer, outputs, inputs in (
            ("attn.qkv", 3 * dim, dim), ("attn.proj", dim, dim), ("mlp.fc1", 4 * dim, dim), ("mlp.fc2", dim, 4 * dim)
        ):  # fmt: skip
            shapes[f"{block}.{layer}.weight"] = (outputs, inputs)
            if layer != "attn.qkv" or qkv_bias:
                shapes[f"{block}.{layer}.bias"] = (outputs,)
        shapes |= {f"{block}.{norm}.{leaf}": (dim,) for norm in ("norm1", "norm2") for leaf in ("weight", "bias")}
    if classes:
        shapes |= {"norm.weight": (dim,), "norm.bias": (dim,), "head.weight": (classes, dim), "head.bias": (classes,)}
    return shapes


def google_tensors(timm: dict[str, np.ndarray], blocks: int, heads: int | None = None) -> dict[str, np.ndarray]:
    """Tensors of a ViT under timm's names, in Google's layout of 2020; its heads are 64 wide if not given."""
    dim = timm["cls_token"].shape[-1]
    heads = heads or dim // 64
    width = dim // heads
    out = {
        "cls": timm["cls_token"],
        "embedding/kernel": timm["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": timm["patch_embed.proj.bias"],
        "Transformer/posembed_input/pos_embedding": timm["pos_embed"],
        "Transformer/encoder_norm/scale": np.ones(dim, np.float32),
        "head/kernel": np.ones((dim, 7), np.float32),
        "pre_logits/bias": np.ones(dim, np.float32),
    }
    for i in range(blocks):
        theirs, ours = f"blocks.{i}", f"Transformer/encoderblock_{i}"
        for number, norm in ((0, "norm1"), (2, "norm2")):
            out[f"{ours}/LayerNorm_{number}/scale"] = timm[f"{theirs}.{norm}.weight"]
            out[f"{ours}/LayerNorm_{number}/bias"] = timm[f"{theirs}.{norm}.bias"]
        attention = f"{ours}/MultiHeadDotProductAttention_1"
        for part, name in enumerate(("query", "key", "value")):
            rows = slice(part * dim, (part + 1) * dim)
            out[f"{attention}/{name}/kernel"] = timm[f"{theirs}.attn.qkv.weight"][rows].T.reshape(dim, heads, width)
            out[f"{attention}/{name}/bias"] = timm[f"{theirs}.attn.qkv.bias"][rows].reshape(heads, width)
        out[f"{attention}/out/kernel"] = timm[f"{theirs}.attn.proj.weight"].T.reshape(heads, width, dim)
        out[f"{attention}/out/bias"] = timm[f"{theirs}.attn.proj.bias"]
        for number in (0, 1):
            layer = f"{ours}/MlpBlock_3/Dense_{number}"
            out[f"{layer}/kernel"] = timm[f"{theirs}.mlp.fc{number + 1}.weight"].T
            out[f"{layer}/bias"] = timm[f"{theirs}.mlp.fc{number + 1}.bias"]
    return out
