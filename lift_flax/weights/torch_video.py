"""Converts video ResNets of PyTorch, in both directions: which tensor is which parameter of `models/video_resnet.py`.

Names and shapes are those of ig65m-pytorch, torchvision.models.video and kenshohara/3D-ResNets-PyTorch.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator

import numpy as np
from flax import nnx

from lift_flax.config import KINETICS_MEAN, KINETICS_STD
from lift_flax.errors import UserError
from lift_flax.models.functional import flatten, trees_of
from lift_flax.models.video_resnet import TRUNKS, NormSpec, TrunkSpec, VideoResNet
from lift_flax.weights.converted import ConvertedWeights, Entry

KINETICS = {"mean": list(KINETICS_MEAN), "std": list(KINETICS_STD)}
HARA = {"mean": [v / 255 for v in (114.7748, 107.7354, 99.4750)], "std": [1 / 255] * 3}  # levels of 255, not divided
_NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A parameter's tensor: its name in PyTorch, its stage, and the frames of its kernel if it is a convolution."""

    name: str
    stage: str
    frames: int = 0


def tensors_of(spec: TrunkSpec) -> dict[str, Tensor]:
    """{our parameter: its tensor} of a whole network."""
    hara = spec.shortcut == "pad"
    table = dict(_norm("stem_norm", "bn1" if hara else "stem.4" if spec.convs == "2+1" else "stem.1", "stem"))
    if spec.convs == "2+1":
        table["params/stem/spatial/kernel"] = Tensor("stem.0.weight", "stem", 1)
        table["params/stem/temporal/kernel"] = Tensor("stem.3.weight", "stem", 3)
        table.update(_norm("stem/norm", "stem.1", "stem"))
    else:
        name = "conv1.weight" if hara else "stem.0.weight"
        table["params/stem/conv/kernel"] = Tensor(name, "stem", spec.stem_frames)
    for layer in range(1, 5):
        for block in range(spec.blocks[layer - 1]):
            table.update(_block(spec, layer, block))
    return table | {"params/fc/kernel": Tensor("fc.weight", "fc"), "params/fc/bias": Tensor("fc.bias", "fc")}


def _block(spec: TrunkSpec, layer: int, block: int) -> Iterator[tuple[str, Tensor]]:
    stage, ours, theirs = f"layer{layer}", f"layer{layer}/{block}", f"layer{layer}.{block}"
    frames = 1 if spec.convs == "mc" and layer > 1 else 3
    for i in (1, 2):
        if spec.shortcut == "pad":
            yield f"params/{ours}/conv{i}/conv/kernel", Tensor(f"{theirs}.conv{i}.weight", stage, frames)
            yield from _norm(f"{ours}/norm{i}", f"{theirs}.bn{i}", stage)
            continue
        if spec.convs == "2+1":
            yield f"params/{ours}/conv{i}/spatial/kernel", Tensor(f"{theirs}.conv{i}.0.0.weight", stage, 1)
            yield from _norm(f"{ours}/conv{i}/norm", f"{theirs}.conv{i}.0.1", stage)
            yield f"params/{ours}/conv{i}/temporal/kernel", Tensor(f"{theirs}.conv{i}.0.3.weight", stage, 3)
        else:
            yield f"params/{ours}/conv{i}/conv/kernel", Tensor(f"{theirs}.conv{i}.0.weight", stage, frames)
        yield from _norm(f"{ours}/norm{i}", f"{theirs}.conv{i}.1", stage)
    if block == 0 and layer > 1 and spec.shortcut == "conv":
        yield f"params/{ours}/shortcut/conv/kernel", Tensor(f"{theirs}.downsample.0.weight", stage, 1)
        yield from _norm(f"{ours}/shortcut/norm", f"{theirs}.downsample.1", stage)


def _norm(ours: str, theirs: str, stage: str) -> Iterator[tuple[str, Tensor]]:
    for leaf, tensor in _NORM.items():
        tree = "params" if leaf in ("scale", "bias") else "batch_stats"
        yield f"{tree}/{ours}/{leaf}", Tensor(f"{theirs}.{tensor}", stage)


def to_ours(name: str, tensor: np.ndarray) -> np.ndarray:
    """A tensor in our layout; a view of it where that is possible."""
    if name.endswith("temporal/kernel"):
        return tensor[:, :, :, 0].transpose(2, 3, 1, 0)  # (O,I,T,1,1) -> [T, 1, I, O]
    if tensor.ndim == 5:
        o, i, t, h, w = tensor.shape
        return tensor.transpose(3, 4, 2, 1, 0).reshape(h, w, t * i, o)  # [H, W, T*I, O]
    return tensor.T


def to_torch(name: str, array: np.ndarray, frames: int) -> np.ndarray:
    """The inverse of `to_ours`, contiguous."""
    if name.endswith("temporal/kernel"):
        array = array.transpose(3, 2, 0, 1)[..., None]  # [T, 1, I, O] -> (O,I,T,1,1)
    elif array.ndim == 4:
        h, w, channels, o = array.shape
        array = array.reshape(h, w, frames, channels // frames, o).transpose(4, 3, 2, 0, 1)  # (O,I,T,H,W)
    else:
        array = array.T
    return np.ascontiguousarray(array)


def torch_shape(name: str, shape: tuple[int, ...], frames: int) -> tuple[int, ...]:
    """The shape in PyTorch of a parameter of ours."""
    return to_torch(name, np.empty(shape, np.bool_), frames).shape


@functools.cache
def abstract_trunk(spec: TrunkSpec, num_classes: int) -> dict[str, tuple[int, ...]]:
    """{"params/...": shape} of every array of a network."""
    model = nnx.eval_shape(lambda: VideoResNet(spec, num_classes, norm=NormSpec(), rngs=nnx.Rngs(0)))
    params, stats = trees_of(model)
    shapes = {f"params/{k}": v.shape for k, v in flatten(params).items()}
    return shapes | {f"batch_stats/{k}": v.shape for k, v in flatten(stats).items()}


def convert(tensors: dict[str, np.ndarray]) -> ConvertedWeights:
    """Recognises the network and renames every tensor to our names.

    Raises:
      UserError: the tensors fit no known network; names them.
    """
    tensors = {_usual_name(name): tensor for name, tensor in tensors.items()}
    name = recognise(tensors)
    spec = TRUNKS[name]
    has_classifier = {"fc.weight", "fc.bias"} <= tensors.keys()
    classes = tensors["fc.bias"].size if has_classifier else 1
    if wrong := misfits(tensors, spec, classes):
        raise UserError(_disagreement(name, wrong, tensors))
    table = {ours: t for ours, t in tensors_of(spec).items() if t.stage != "fc" or has_classifier}
    used = {tensor.name for tensor in table.values()}
    return ConvertedWeights(
        kind="r2plus1d",
        arrays={ours: to_ours(ours, tensors[tensor.name]) for ours, tensor in table.items()},
        entries=[Entry(ours, tensor.name, tensor.stage) for ours, tensor in table.items()],
        ignored={n: _why_ignored(n, name) for n in tensors if n not in used},
        new={ours: "the file has no classifier" for ours in tensors_of(spec) if ours not in table},
        facts={
            "name": name,
            "classes": classes if has_classifier else None,
            "bn_eps": spec.bn_eps,
            **(HARA if spec.shortcut == "pad" else KINETICS),
        },
    )


def _disagreement(name: str, wrong: list[str], tensors: dict[str, np.ndarray]) -> str:
    """The message about tensors with other shapes; for an R(2+1)D with the three widths in which sources differ."""
    more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    text = f"shapes disagree with {name}: {'; '.join(wrong[:3])}{more}"
    if TRUNKS[name].convs != "2+1":
        return f"{text}: is it a file of another network?"
    kernels = [f"layer{layer}.0.conv2.0.0.weight" for layer in (2, 3, 4)]
    if [tensors[kernel].shape[0] for kernel in kernels] in ([288, 576, 1152], [230, 460, 921]):
        return f"{text}: is the file whole?"
    widths = ", ".join(f"{kernel} {tensors[kernel].shape[0]}" for kernel in kernels)
    return (
        f"{text}. The middle widths of the three convolutions in which sources differ are {widths}; known are "
        "288, 576, 1152 (IG65M) and 230, 460, 921 (torchvision): convert a file of one of these"
    )


def recognise(tensors: dict[str, np.ndarray]) -> str:
    """The name in `TRUNKS` of the network that a state_dict belongs to.

    Where names fit several (other middle widths, mc3 and r3d) the one with the fewest misfitting shapes.

    Raises:
      UserError: no network fits; names the first tensor that the nearest one lacks or has too many.
    """
    names = {n for n in tensors if re.match(r"stem\.|conv1\.|bn1\.|layer\d\.", n) and "num_batches" not in n}
    names_of = {n: {t.name for t in tensors_of(s).values() if t.stage != "fc"} for n, s in TRUNKS.items()}
    fits = [name for name in TRUNKS if names_of[name] == names]
    if fits:
        return min(fits, key=lambda name: len(misfits(tensors, TRUNKS[name], None)))
    nearest = min(TRUNKS, key=lambda name: len(names_of[name] ^ names))
    if any(n.endswith(("patch_embed.proj.weight", "embedding/kernel")) for n in tensors):
        raise UserError("the file is a ViT: convert it with `convert vit`")
    if not names_of[nearest] & names:
        raise UserError(f"the file is no video ResNet: it holds {', '.join(sorted(tensors)[:3])}, ...")
    lacks, spare = sorted(names_of[nearest] - names), sorted(names - names_of[nearest])
    what = f"lacks {lacks[0]}" if lacks else f"also holds {spare[0]}"
    raise UserError(f"the file is nearest to {nearest} but {what}; known are {', '.join(TRUNKS)}")


def misfits(tensors: dict[str, np.ndarray], spec: TrunkSpec, classes: int | None) -> list[str]:
    """A phrase for every tensor with another shape; without `classes` the classifier is left out."""
    wrong, table = [], tensors_of(spec)
    for ours, shape in abstract_trunk(spec, classes or 1).items():
        name, stage, frames = dataclasses.astuple(table[ours])
        if stage == "fc" and (classes is None or name not in tensors):
            continue
        expected = torch_shape(ours, shape, frames)
        if tensors[name].shape != expected:
            wrong.append(f"{name} is {tensors[name].shape} instead of {expected}")
    return wrong


def _usual_name(name: str) -> str:
    """Names of nn.Sequential(*children): features.0 is the stem, features.1 to 4 the layers."""
    name = re.sub(r"^features\.0\.", "stem.", name)
    return re.sub(r"^features\.([1-4])\.", r"layer\1.", name)


def _why_ignored(name: str, network: str) -> str:
    if name.endswith("num_batches_tracked"):
        return "a counter that nothing needs"
    if re.match(r"(fc|fc_action|bert|head|cls_head|classifier)\.", name):
        return "the head of another network"
    raise UserError(f"the file holds {name}, which is no part of {network}: is it a file of another network?")
