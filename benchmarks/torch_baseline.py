"""The training steps in plain PyTorch: what benchmarks/compare.py runs ours against.

    python benchmarks/torch_baseline.py --variant=direct --size=112
    python benchmarks/torch_baseline.py --variant=teacher --memory-format=contiguous
    python benchmarks/torch_check.py                         # are both sides' losses and gradients the same?

Networks are those of tests/reference, which parity tests hold ours to; sizes, clips and results those of
benchmarks/train_step.py.  Variants:

  direct   the paper as it reads: the teacher's forward pass without gradient, the student's own frozen R(2+1)D, five
           whole ViT blocks, N levels, Eq. 6
  savings  the same numbers with the work taken out by hand that needs not be done: one pass of the R(2+1)D for both,
           the last ViT block for its class token alone
  teacher  the R(2+1)D in train mode, every parameter trained

All: fused attention (scaled_dot_product_attention), ReLU in place, AdamW on the trained parameters, nothing else
requires a gradient, so nothing is kept for what is frozen; one thread a core.  `--memory-format` is that of the
R(2+1)D's frames and kernels.  Unasked, PyTorch is contiguous, and so is direct; savings and teacher take
channels_last_3d, which needs two thirds to three quarters of the time on a CPU.

Operations are PyTorch's own count, of a step on the meta device: products, convolutions and attention, like ours; but
no FFTs, and complex products as if they were real.  Both are below 0.5 % of a step.
"""

import argparse
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import timed_steps
from timed_steps import count

try:
    import torch
except ModuleNotFoundError:
    print("error: PyTorch is not installed: pip install -e '.[torch]'", file=sys.stderr)
    sys.exit(2)
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(Path(__file__).parents[1]))  # tests/ is no installed package

from lift_flax import command_line
from lift_flax.config import KINETICS_MEAN, KINETICS_STD
from lift_flax.errors import run_cli
from tests.reference.lift_net import ComplexLinear, LiftNet, student_loss
from tests.reference.video_resnet import VideoResNet

CLASSES, DARK_SIZE, HEADS = 11, 224, 8
VIT = {"patch": 16, "dim": 768, "heads": 12, "hidden": 3072, "blocks": 5}
TRUNK = "r2plus1d_34"
FORMATS = {"contiguous": torch.contiguous_format, "channels_last_3d": torch.channels_last_3d}
USUAL_FORMATS = {"direct": "contiguous", "savings": "channels_last_3d", "teacher": "channels_last_3d"}
HALF = (0.5, 0.5, 0.5)

Streams = dict[str, torch.Tensor]  # dark (B,T,H,W,3) and luminous (B,T,h,w,3) uint8, targets (B,K)


def normalise(clip: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...], dtype: torch.dtype) -> torch.Tensor:
    """uint8 (B,T,H,W,3) to floats of the same shape."""
    mean, std = (torch.tensor(values, dtype=dtype, device=clip.device) for values in (mean, std))
    return (clip.to(dtype) / 255 - mean) / std


def luminous_clip(net: VideoResNet, streams: Streams, memory_format: torch.memory_format) -> torch.Tensor:
    """What the R(2+1)D takes, (B,3,T,h,w)."""
    clip = normalise(streams["luminous"], KINETICS_MEAN, KINETICS_STD, net.fc.weight.dtype)
    return clip.permute(0, 4, 1, 2, 3).contiguous(memory_format=memory_format)


def run_trunk(net: VideoResNet, clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(features (B,512,t,h,w), logits (B,K))"""
    x = net.stem(clip)
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = layer(x)
    return x, net.fc(x.mean(dim=(2, 3, 4)))


def embed(vit: nn.Module, streams: Streams) -> torch.Tensor:
    """Class token and patches of every dark frame, (B*T,S,D)."""
    frames = normalise(streams["dark"], HALF, HALF, vit.cls_token.dtype).flatten(0, 1).permute(0, 3, 1, 2)
    x = vit.patch_embed(frames)
    return torch.cat([vit.cls_token.expand(len(x), -1, -1), x], dim=1) + vit.pos_embed


def class_token_of(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A ViT block for its first row alone: (N,S,D) -> (N,D).  Keys and values are still those of all rows."""
    attention, (n, s, d) = block.attn, x.shape
    weight, bias, heads = attention.qkv.weight, attention.qkv.bias, attention.heads
    y = block.norm1(x)
    q = F.linear(y[:, :1], weight[:d], bias[:d]).view(n, 1, heads, -1).transpose(1, 2)  # (N,heads,1,D/heads)
    k, v = F.linear(y, weight[d:], bias[d:]).view(n, s, 2, heads, -1).permute(2, 0, 3, 1, 4)  # (N,heads,S,D/heads)
    y = F.scaled_dot_product_attention(q, k, v)
    x = x[:, 0] + attention.proj(y.reshape(n, d))
    return x + block.mlp(block.norm2(x))


def classify(net: LiftNet, class_tokens: torch.Tensor, features: torch.Tensor, frames: int) -> torch.Tensor:
    """Everything after the two trunks: logits (B,K)."""
    x = net.main.norm(net.main.project(class_tokens.unflatten(0, (-1, frames))))  # (B,T,E)
    y = F.adaptive_avg_pool3d(features, (frames, 1, 1)).flatten(2).transpose(1, 2)  # (B,T,E)
    for level in net.levels:
        x, y = level(x, y)
    return net.head(x)


def direct(net: LiftNet, streams: Streams, memory_format: torch.memory_format) -> tuple[torch.Tensor, torch.Tensor]:
    """(h1, h2) with every part run where it is asked for."""
    clip = luminous_clip(net.trunk, streams, memory_format)
    with torch.no_grad():
        _, h1 = run_trunk(net.teacher, clip)
    features, _ = run_trunk(net.trunk, clip)
    x = embed(net.main.pvit, streams)
    for block in net.main.pvit.blocks:
        x = block(x)
    return h1, classify(net, x[:, 0], features, streams["dark"].shape[1])


def savings(net: LiftNet, streams: Streams, memory_format: torch.memory_format) -> tuple[torch.Tensor, torch.Tensor]:
    """(h1, h2) of the same values with less work."""
    with torch.no_grad():
        features, h1 = run_trunk(net.trunk, luminous_clip(net.trunk, streams, memory_format))
        x = embed(net.main.pvit, streams)
    *blocks, last = net.main.pvit.blocks
    for block in blocks:
        x = block(x)
    return h1, classify(net, class_token_of(last, x), features, streams["dark"].shape[1])


def student_step_loss(net: LiftNet, streams: Streams, forward: Callable, memory_format: torch.memory_format):
    """(loss, h1, h2) of the second phase."""
    h1, h2 = forward(net, streams, memory_format)
    return student_loss(h1, h2, streams["targets"]), h1, h2


def teacher_step_loss(net: VideoResNet, streams: Streams, memory_format: torch.memory_format):
    """(loss, h1) of the first phase."""
    _, h1 = run_trunk(net, luminous_clip(net, streams, memory_format))
    return F.cross_entropy(h1, streams["targets"]), h1


def freeze(net: LiftNet) -> None:
    """The first ViT block and what follows the two trunks learn; the R(2+1)Ds keep their statistics."""
    for name, parameter in net.named_parameters():
        in_trunks = name.startswith(("teacher.", "trunk.", "main.pvit."))
        parameter.requires_grad_(not in_trunks or name.startswith("main.pvit.blocks.0."))
    net.train()
    for trunk in (net.teacher, net.trunk):
        if trunk is not None:
            trunk.eval()


def make_net(args: argparse.Namespace) -> nn.Module:
    """The network of a variant with random weights, in the mode and layout in which it is trained."""
    if args.variant == "teacher":
        net = VideoResNet(TRUNK, CLASSES)
    else:
        net = LiftNet(DARK_SIZE, VIT, TRUNK, args.n, HEADS, CLASSES)
        if args.variant == "savings":
            net.teacher = None
        freeze(net)
        if args.batch == 1:  # over one row there are no statistics and no gradient
            net.head.eval()
    for module in net.modules():
        if isinstance(module, ComplexLinear):
            for kernel in (module.kernel_re, module.kernel_im):
                nn.init.normal_(kernel, std=len(kernel) ** -0.5)
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=FORMATS[args.memory_format])
    return net


def make_streams(args: argparse.Namespace) -> Streams:
    """Clips of noise."""
    clip = lambda size, top: torch.randint(0, top, (args.batch, args.frames, size, size, 3), dtype=torch.uint8)  # noqa: E731
    targets = F.one_hot(torch.arange(args.batch) % CLASSES, CLASSES).float()
    return {"dark": clip(DARK_SIZE, 60), "luminous": clip(args.size, 255), "targets": targets}


def make_loss(args: argparse.Namespace) -> tuple[nn.Module, Callable[[], torch.Tensor]]:
    """(network, a function that gives the loss of one step on the streams)"""
    net, streams, memory_format = make_net(args), make_streams(args), FORMATS[args.memory_format]
    if args.variant == "teacher":
        return net, lambda: teacher_step_loss(net, streams, memory_format)[0]
    forward = {"direct": direct, "savings": savings}[args.variant]
    return net, lambda: student_step_loss(net, streams, forward, memory_format)[0]


def count_gflop(args: argparse.Namespace) -> float:
    """Operations of a step / 1e9, counted on shapes alone."""
    with torch.device("meta"):
        _, loss = make_loss(args)
        with FlopCounterMode(display=False) as counter:
            loss().backward()
    return counter.get_total_flops() / 1e9


def make_timer(args: argparse.Namespace) -> timed_steps.Timer:
    """The step, ready to run."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    gflop = count_gflop(args)
    net, loss_of = make_loss(args)
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.01)

    def one_step() -> float:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss.item()

    names = ("variant", "batch", "size", "frames", "n", "memory_format")
    settings = {"framework": f"torch {torch.__version__}"} | {name: vars(args)[name] for name in names}
    left, right = torch.randn(2, timed_steps.SIDE, timed_steps.SIDE)
    return timed_steps.Timer(settings, gflop, one_step, functools.partial(torch.mm, left, right))


def main() -> None:
    """Runs the steps and prints what they took."""
    parser = command_line.parser(__doc__, "python -m benchmarks.torch_baseline")
    parser.add_argument("--variant", choices=USUAL_FORMATS, default="direct")
    parser.add_argument("--size", type=count, default=224, help="px, side of the R(2+1)D's frames: 112 or 224")
    parser.add_argument("--frames", type=count, default=30, help="of a clip")
    parser.add_argument("--n", type=count, default=8, help="levels")
    parser.add_argument("--batch", type=count, default=1, help="clips")
    parser.add_argument("--memory-format", choices=FORMATS, help="of the R(2+1)D (default: see above)")
    timed_steps.add_arguments(parser)
    args = parser.parse_args()
    args.memory_format = args.memory_format or USUAL_FORMATS[args.variant]
    timed_steps.main(make_timer(args), args)


if __name__ == "__main__":
    run_cli(main)
