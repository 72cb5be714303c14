"""Makes the .npz files beside it: what plain PyTorch computes from tensors that anybody can draw again.

    python -m tests.golden.make_golden

Inputs and weights come from fixed seeds by name (tests/support/weights_tools.py), so only outputs are stored: of
feature maps and gradients a few hundred values at fixed places.
"""

import numpy as np
import torch

from lift_flax.config import Config
from tests.golden import FOLDER
from tests.reference.lift_net import LiftNet, student_loss
from tests.reference.video_resnet import VideoResNet
from tests.reference.vit import ViT
from tests.support import lift_net_case
from tests.support.weights_tools import GOLDEN_FRAMES, fill, golden_clip, golden_images, random_tensors, sample

TRUNKS = {"r2plus1d_34": 359, "r2plus1d_18": 400, "r3d_18": 400, "mc3_18": 400, "hara_34": 400}
VITS = [(gelu, bias) for gelu in ("exact", "tanh") for bias in (True, False)]


def shapes_of(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def lift_net_reference(config: Config) -> tuple[dict, dict, dict]:
    """(tensors, outputs with the loss, gradients of the trainable tensors) of the transcription, computed in float64.

    Ours is float32: what is compared is then our rounding alone, not the sum of two.
    """
    model = config.model
    sizes = (lift_net_case.SIZE, lift_net_case.VIT, model.teacher.name, model.levels, model.num_heads)
    net = LiftNet(*sizes, lift_net_case.CLASSES, model.foe_norm)
    tensors = random_tensors(shapes_of(net))
    for name in shapes_of(net.trunk):  # the student's R(2+1)D is the teacher's
        tensors[f"teacher.{name}"] = tensors[f"trunk.{name}"]
    fill(net, tensors)
    streams = lift_net_case.make_streams()
    clips = {}
    for name, part in (("dark", model.pvit), ("luminous", model.teacher)):
        clip = (streams[name].astype(np.float32) / 255 - np.float32(part.mean)) / np.float32(part.std)
        clips[name] = torch.from_numpy(clip.astype(np.float64))
    out = net.double().train()(clips["dark"], clips["luminous"])
    out["loss"] = student_loss(out["teacher_logits"], out["logits"], torch.from_numpy(streams["targets"]).double())
    out["loss"].backward()
    trained = [n for n, _ in net.named_parameters() if not n.startswith(("teacher.", "trunk.", "main.pvit."))]
    grads = {name: p.grad.numpy() for name, p in net.named_parameters() if name in trained or "main.pvit." in name}
    return tensors, {name: value.detach().numpy() for name, value in out.items()}, grads


def trunk_reference(name: str, classes: int) -> tuple[VideoResNet, dict[str, np.ndarray]]:
    """(a video ResNet, the tensors that it was filled with)"""
    net = VideoResNet(name, classes).eval()
    tensors = random_tensors(shapes_of(net))
    fill(net, tensors)
    return net, tensors


def trunk_check(net: VideoResNet) -> dict[str, np.ndarray]:
    """What `lift-flax weights convert r2plus1d --check` takes, but for the clip, which is `golden_clip()`."""
    with torch.inference_mode():
        out = net(torch.from_numpy(golden_clip()).permute(0, 4, 1, 2, 3))
    return {"logits": out["logits"].numpy(), "features": out["layer4"].numpy()}


def vit_reference(heads: int) -> tuple[ViT, dict[str, np.ndarray]]:
    """(a small ViT of six blocks, with GELU as Google's; the tensors that it was filled with)"""
    net = ViT(size=64, dim=192, heads=heads, hidden=768, blocks=6, gelu="tanh")
    tensors = random_tensors(shapes_of(net))
    fill(net, tensors)
    return net, tensors


def vit_check(net: ViT) -> dict[str, np.ndarray]:
    """What `lift-flax weights convert vit --check` takes, but for the images, which are `golden_images(64)`."""
    with torch.inference_mode():
        return {"features": net(torch.from_numpy(golden_images(64)).permute(0, 3, 1, 2))[4].numpy()}


def main() -> None:
    """Writes every file."""
    for name, classes in TRUNKS.items():
        net, _ = trunk_reference(name, classes)
        for frames in GOLDEN_FRAMES[name]:
            with torch.inference_mode():
                out = net(torch.from_numpy(golden_clip(frames)).permute(0, 4, 1, 2, 3))
            maps = {stage: sample(v.permute(0, 2, 3, 4, 1).numpy()) for stage, v in out.items() if stage != "logits"}
            np.savez_compressed(FOLDER / f"{name}_{frames}.npz", logits=out["logits"].numpy(), **maps)
    for gelu, bias in VITS:
        net = ViT(gelu=gelu, qkv_bias=bias, blocks=5)
        fill(net, random_tensors(shapes_of(net)))
        with torch.inference_mode():
            tokens = net(torch.from_numpy(golden_images()).permute(0, 3, 1, 2)).numpy()
        np.savez_compressed(FOLDER / f"vit_{gelu}_{'bias' if bias else 'nobias'}.npz", tokens=tokens)
    np.savez_compressed(FOLDER / "check_trunk.npz", **trunk_check(trunk_reference("r2plus1d_tiny", 3)[0]))
    for heads in (3, 6):
        np.savez_compressed(FOLDER / f"check_vit_{heads}.npz", **vit_check(vit_reference(heads)[0]))
    config = lift_net_case.make_config(2, "r2plus1d_18")
    _, outputs, grads = lift_net_reference(config)
    _, shapes = lift_net_case.student(config)
    ours = lift_net_case.our_arrays(grads, shapes)
    gradients = {f"grad/{name}": sample(array, 16).astype(np.float32) for name, array in ours.items()}
    norms = {f"norm/{name}": np.float32(np.linalg.norm(array)) for name, array in ours.items()}
    values = {name: sample(value) for name, value in outputs.items()}
    np.savez_compressed(FOLDER / "lift_net.npz", **values, **gradients, **norms)


if __name__ == "__main__":
    main()
