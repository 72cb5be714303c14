"""One LIFT-Net student and one batch to compare with the PyTorch transcription: the paper's widths, small clips."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lift_flax import presets
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.models import inputs
from lift_flax.models.build import make_student
from lift_flax.models.functional import Network, Tree, flatten, trees_of
from lift_flax.train import losses, optim
from lift_flax.weights import torch_video
from lift_flax.weights.vits import vit
from tests.support.weights_tools import Shapes, random_tensors, timm_shapes, trees, trunk_shapes

CLASSES, FRAMES, SIZE, BATCH = 11, 17, 64, 6
VIT = {"patch": 16, "dim": 768, "heads": 12, "hidden": 3072, "blocks": 5}
_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def make_config(levels: int, trunk: str, foe_norm: str = "plane") -> Config:
    """The `paper` preset with `levels`, an R(2+1)D `trunk`, and clips of 17 frames of 64 px."""
    values = presets.get_config(f"n={levels},teacher={trunk},unfreeze=all").unlock()
    sizes = {"data.num_frames": FRAMES, "data.size": SIZE, "model.luminous.size": SIZE}
    values.update_from_flattened_dict({**sizes, "train.precision": "float32", "model.foe_norm": foe_norm})
    config = from_dict(values.to_dict())
    pvit = dataclasses.replace(config.model.pvit, unfreeze="first")  # refused without a file of weights
    return dataclasses.replace(config, model=dataclasses.replace(config.model, pvit=pvit))


def make_streams() -> dict[str, np.ndarray]:
    """uint8 streams of clips and frames that differ much, and soft labels.

    Coarse patterns whose brightness depends on clip and frame.  Of plain noise the tokens would hardly differ:
    attention would be uniform, its gradients all but zero, and the head's BatchNorm would blow up the rounding.
    """
    rng = np.random.default_rng(5)
    streams = {}
    for name in ("dark", "luminous"):
        level = rng.permuted(np.linspace(0, 1, BATCH * 3)).reshape(BATCH, 3).repeat(-(-FRAMES // 3), axis=1)[:, :FRAMES]
        coarse = level[..., None, None, None] * rng.integers(0, 255, (BATCH, FRAMES, 8, 8, 3))  # [B, T, 8, 8, 3]
        streams[name] = coarse.repeat(SIZE // 8, axis=2).repeat(SIZE // 8, axis=3).astype(np.uint8)  # [B, T, H, W, 3]
    targets = rng.dirichlet(np.ones(CLASSES), BATCH).astype(np.float32)
    return {**streams, "targets": targets, "weight": np.ones(BATCH, np.float32)}


def torch_name(path: str) -> str:
    """The transcription's name of a parameter outside of the two trunks."""
    *parts, leaf = path.split("/")
    return ".".join([*parts, _LEAVES.get(leaf, leaf)])


def torch_tensors(config: Config, shapes: Shapes) -> dict[str, np.ndarray]:
    """The transcription's tensors, drawn by their names; `shapes` are ours.  Its R(2+1)D is the teacher's."""
    theirs = {f"trunk.{n}": s for n, s in trunk_shapes(config.model.teacher.name, CLASSES).items()}
    pvit = timm_shapes(VIT["blocks"], dim=VIT["dim"], patch=VIT["patch"], grid=SIZE // VIT["patch"])
    theirs |= {f"main.pvit.{n}": s for n, s in pvit.items()}
    for name, shape in shapes.items():
        path = name.partition("/")[2]
        if not path.startswith(("trunk/", "main/pvit/")):
            theirs[torch_name(path)] = shape[::-1] if path.endswith("/kernel") else shape
    return random_tensors(theirs)


def our_arrays(tensors: dict[str, np.ndarray], shapes: Shapes) -> dict[str, np.ndarray]:
    """Tensors of the transcription (or their gradients) under our names; `shapes` are ours."""
    arrays = {}
    of_vit = functools.partial(vit.convert, blocks=VIT["blocks"], num_heads=VIT["heads"])
    for prefix, convert in (("trunk", torch_video.convert), ("main.pvit", of_vit)):
        inside = {n.removeprefix(prefix + "."): a for n, a in tensors.items() if n.startswith(prefix + ".")}
        for name, array in convert(inside).arrays.items() if inside else ():
            tree, _, path = name.partition("/")
            arrays[f"{tree}/{prefix.replace('.', '/')}/{path}"] = array
    for name in shapes:
        tree, _, path = name.partition("/")
        if torch_name(path) in tensors and name not in arrays:
            array = tensors[torch_name(path)]
            arrays[name] = array.T if path.endswith("/kernel") else array
    return arrays


def student(config: Config) -> tuple[Network, Shapes]:
    """(network, our names and shapes)"""
    model = nnx.eval_shape(lambda: make_student(config, CLASSES, nnx.Rngs(0)))
    params, stats = trees_of(model)
    shapes = {f"params/{k}": v.shape for k, v in flatten(params).items()}
    return Network(nnx.graphdef(model)), shapes | {f"batch_stats/{k}": v.shape for k, v in flatten(stats).items()}


def trained(shapes: Shapes) -> set[str]:
    """Paths of the trainable parameters: the first ViT block and everything after the two trunks."""
    paths = {name.removeprefix("params/") for name in shapes if name.startswith("params/")}
    return {p for p in paths if p.startswith("main/pvit/blocks/0/") or not p.startswith(("trunk/", "main/pvit/"))}


def loss_and_gradients(config: Config, network: Network, arrays: dict[str, np.ndarray]) -> tuple[dict, Tree]:
    """(outputs with "loss", {path of a trainable parameter: gradient}) of the student's loss on the streams."""
    params, stats = trees(arrays)
    trainable, frozen = optim.split_params(params, optim.trains_in_student_phase(config))

    def loss(trainable, frozen, stats, streams):
        merged = optim.merge_params(trainable, frozen)
        out, _ = inputs.student_outputs(network, config, merged, stats, streams, train=True)
        entropy = losses.cross_entropy(out["logits"], streams["targets"], streams["weight"])
        out["loss"] = entropy + losses.distillation(out["teacher_logits"], out["logits"], streams["weight"])
        return out["loss"], out

    streams = jax.tree.map(jnp.asarray, make_streams())
    (_, out), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(trainable, frozen, stats, streams)
    return out, flatten(grads)
