"""Video ResNets in plain PyTorch, with the parameter names of the public weights.

R(2+1)D-34 as ig65m-pytorch publishes it, r2plus1d_18, r3d_18 and mc3_18 as torchvision, 3D-ResNet-34 type A as Hara;
the small ones of this project in the same spelling.
"""

import torch
from torch import nn

DEPTHS = {"18": (2, 2, 2, 2), "34": (3, 4, 6, 3), "tiny": (1, 1, 1, 1)}
WIDTHS, TINY_WIDTHS = (64, 128, 256, 512), (16, 32, 64, 128)


def middle(inputs: int, outputs: int) -> int:
    return 27 * inputs * outputs // (9 * inputs + 3 * outputs)


def conv(inputs, outputs, kernel, stride=(1, 1, 1)):
    return nn.Conv3d(inputs, outputs, kernel, stride, tuple(k // 2 for k in kernel), bias=False)


def factorised(inputs, mid, outputs, stride, norm):
    return nn.Sequential(
        conv(inputs, mid, (1, 3, 3), (1, stride, stride)),
        norm(mid),
        nn.ReLU(inplace=True),
        conv(mid, outputs, (3, 1, 1), (stride, 1, 1)),
    )


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, kind, norm):
        super().__init__()
        own, shared = (lambda i: middle(i, outputs)), (lambda i: middle(inputs, outputs))
        time = 1 if kind == "space" else stride
        make = {
            "ig65m": lambda i, s: factorised(i, own(i), outputs, s, norm),
            "r2plus1d": lambda i, s: factorised(i, shared(i), outputs, s, norm),
            "r3d": lambda i, s: conv(i, outputs, (3, 3, 3), (s, s, s)),
            "space": lambda i, s: conv(i, outputs, (1, 3, 3), (1, s, s)),
        }[kind]
        self.conv1 = nn.Sequential(make(inputs, stride), norm(outputs), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(make(outputs, 1), norm(outputs))
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, (1, 1, 1), (time, stride, stride)), norm(outputs))

    def forward(self, x):
        around = x if self.downsample is None else self.downsample(x)
        return self.conv2(self.conv1(x)).add_(around).relu_()


class HaraBlock(nn.Module):
    def __init__(self, inputs, outputs, stride, norm):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, (3, 3, 3), (stride,) * 3), norm(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, (3, 3, 3)), norm(outputs)
        self.stride, self.grow = stride, outputs - inputs

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1 or self.grow:
            x = nn.functional.avg_pool3d(x, 1, self.stride)
            x = torch.cat([x, x.new_zeros(x.shape[0], self.grow, *x.shape[2:])], dim=1)
        return torch.relu(y + x)


class VideoResNet(nn.Module):
    """`forward` gives every stage's map and the logits: stem, layer1 .. layer4, logits."""

    def __init__(self, name: str, classes: int):
        super().__init__()
        eps = 1e-3 if name in ("r2plus1d_34", "r2plus1d_tiny") else 1e-5
        norm = lambda c: nn.BatchNorm3d(c, eps=eps)  # noqa: E731
        kind = {"r2plus1d_34_shared": "r2plus1d", "r2plus1d_18": "r2plus1d"}.get(
            name, "ig65m" if name.startswith("r2plus1d") else "r3d"
        )
        tiny = name.endswith("tiny")
        widths, (first, side) = (TINY_WIDTHS, (16, 4)) if tiny else (WIDTHS, (45, 2))
        self.hara = name == "hara_34"
        if self.hara:
            self.conv1, self.bn1 = conv(3, 64, (7, 7, 7), (1, 2, 2)), norm(64)
        elif kind == "r3d":
            self.stem = nn.Sequential(conv(3, widths[0], (3, 7, 7), (1, side, side)), norm(widths[0]), nn.ReLU())
        else:
            self.stem = nn.Sequential(
                conv(3, first, (1, 7, 7), (1, side, side)),
                norm(first),
                nn.ReLU(inplace=True),
                conv(first, widths[0], (3, 1, 1)),
                norm(widths[0]),
                nn.ReLU(inplace=True),
            )
        inputs, depth = widths[0], next(depth for depth in DEPTHS if depth in name)
        for stage, (blocks, width) in enumerate(zip(DEPTHS[depth], widths, strict=True)):
            made = []
            for i in range(blocks):
                stride = 2 if stage and i == 0 else 1
                stage_kind = "space" if name == "mc3_18" and stage else kind
                made.append(
                    HaraBlock(inputs, width, stride, norm)
                    if self.hara
                    else Block(inputs, width, stride, stage_kind, norm)
                )
                inputs = width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*made))
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, clip):
        """(B,3,T,H,W) -> {name: tensor}"""
        if self.hara:
            x = torch.relu(self.bn1(self.conv1(clip)))
            x = nn.functional.max_pool3d(x, 3, 2, 1)
        else:
            x = self.stem(clip)
        out = {"stem": x}
        for layer in range(1, 5):
            x = out[f"layer{layer}"] = getattr(self, f"layer{layer}")(x)
        out["logits"] = self.fc(x.mean(dim=(2, 3, 4)))
        return out
