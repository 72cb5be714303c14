"""Compares the PyTorch steps that are timed (benchmarks/torch_baseline.py) with ours.

    python benchmarks/torch_check.py

Both networks get the same tensors, drawn by name, and the same small clips; loss, logits and the gradient of every
trained tensor are compared.  PyTorch computes in float64 here, so that what is seen is our rounding alone; for the
teacher's step, whose BatchNorm follows the batch and is followed by ReLUs that would flip, ours does too.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import torch_baseline as baseline

from lift_flax.models.functional import flatten
from lift_flax.train import losses
from lift_flax.weights import torch_video
from tests.reference.lift_net import LiftNet
from tests.reference.video_resnet import VideoResNet
from tests.support import lift_net_case
from tests.support.weights_tools import fill, random_tensors, relative_error, trunk_from_tensors

torch = baseline.torch  # whose absence it reports

LEVELS, TRUNK, BOUND = 2, "r2plus1d_18", 1e-3
CONFIG = lift_net_case.make_config(LEVELS, TRUNK)


def main() -> int:
    """Prints the largest errors; 1 where one is above the bound."""
    worst = {"direct": student_errors("direct"), "savings": student_errors("savings"), "teacher": teacher_errors()}
    for variant, errors in worst.items():
        for what, error in errors.items():
            print(f"{variant:8s} {what:16s} largest relative error {error:.1e}")
    return int(max(error for errors in worst.values() for error in errors.values()) > BOUND)


def student_errors(variant: str) -> dict[str, float]:
    """{what: largest relative error} of a student's step."""
    tensors, shapes, out, ours = _our_student()
    net = _new_student()
    fill(net, tensors)
    if variant == "savings":
        net.teacher = None
    baseline.freeze(net)
    forward = {"direct": baseline.direct, "savings": baseline.savings}[variant]
    streams = {name: torch.from_numpy(view) for name, view in lift_net_case.make_streams().items()}
    loss, h1, h2 = baseline.student_step_loss(net.double(), streams, forward, torch.channels_last_3d)
    loss.backward()
    grads = {name: p.grad.numpy() for name, p in net.named_parameters() if p.requires_grad}
    theirs = lift_net_case.our_arrays({n: a for n, a in tensors.items() if n.startswith("main.pvit.")} | grads, shapes)
    return {
        "loss": relative_error(out["loss"], loss.detach()),
        "teacher's logits": relative_error(out["teacher_logits"], h1),
        "logits": relative_error(out["logits"], h2.detach()),
        "gradients": _gradient_error(ours, theirs),
    }


def _new_student() -> LiftNet:
    return LiftNet(lift_net_case.SIZE, lift_net_case.VIT, TRUNK, LEVELS, CONFIG.model.num_heads, lift_net_case.CLASSES)


@functools.cache
def _our_student() -> tuple[dict, dict, dict, dict]:
    """(their tensors, our shapes, our outputs with the loss, our gradients)"""
    tensors = random_tensors({name: tuple(tensor.shape) for name, tensor in _new_student().state_dict().items()})
    for name in [name for name in tensors if name.startswith("trunk.")]:  # the student's R(2+1)D is the teacher's
        tensors[name.replace("trunk.", "teacher.", 1)] = tensors[name]
    network, shapes = lift_net_case.student(CONFIG)
    out, grads = lift_net_case.loss_and_gradients(CONFIG, network, lift_net_case.our_arrays(tensors, shapes))
    return tensors, shapes, out, grads


def teacher_errors() -> dict[str, float]:
    """{what: largest relative error} of a teacher's step."""
    net = VideoResNet(TRUNK, lift_net_case.CLASSES)
    tensors = random_tensors({name: tuple(tensor.shape) for name, tensor in net.state_dict().items()})
    fill(net, tensors)
    streams = {name: view[:2] for name, view in lift_net_case.make_streams().items()}
    given = {name: torch.from_numpy(view) for name, view in streams.items()}
    loss, h1 = baseline.teacher_step_loss(net.double(), given, torch.channels_last_3d)
    loss.backward()
    with jax.enable_x64(True):
        network, params, stats = trunk_from_tensors(
            torch_video.convert({n: a.astype(float) for n, a in tensors.items()})
        )
        targets, weight = jnp.asarray(streams["targets"]), jnp.asarray(streams["weight"])
        clip = baseline.luminous_clip(net, given, torch.channels_last_3d).permute(0, 2, 3, 4, 1).numpy()

        def loss_of(params, clip):
            out, _ = network.apply(params, stats, clip, train=True)
            return losses.cross_entropy(out["logits"], targets, weight), out["logits"]

        (our_loss, logits), ours = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(params, clip)
        ours = jax.tree.map(np.asarray, flatten(ours))
    theirs = torch_video.convert(tensors | {name: p.grad.numpy() for name, p in net.named_parameters()}).arrays
    return {
        "loss": relative_error(our_loss, loss.detach()),
        "logits": relative_error(logits, h1.detach()),
        "gradients": _gradient_error(ours, theirs),
    }


def _gradient_error(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    """Largest norm of a tensor's difference over its norm; over 1 for biases of keys: softmax does not see them."""
    errors = []
    for path, grad in ours.items():
        expected = theirs[f"params/{path}"]
        scale = 1.0 if path.endswith("key/bias") else np.linalg.norm(expected)
        errors.append(float(np.linalg.norm(np.asarray(grad) - expected) / scale))
    return max(errors)


if __name__ == "__main__":
    sys.exit(main())
