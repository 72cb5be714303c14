"""The student as a direct PyTorch transcription of the paper as docs/paper_notes.md reads it.

Two forward passes of the R(2+1)D (the teacher's and the student's own), whole ViT blocks, complex numbers in the FoE.
Attributes carry our parameters' names, so that `tests/support/lift_net_case.py` can fill one from the other.
"""

import math

import torch
from torch import nn

from tests.reference.video_resnet import VideoResNet
from tests.reference.vit import ViT


class Attention(nn.Module):
    def __init__(self, dim, heads, divisor):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.heads, self.divisor = heads, divisor

    def forward(self, x, y):
        split = lambda z: z.reshape(*z.shape[:2], self.heads, -1).transpose(1, 2)  # noqa: E731
        q, k, v = split(self.query(x)), split(self.key(y)), split(self.value(y))
        out = nn.functional.scaled_dot_product_attention(q, k, v, scale=1 / math.sqrt(self.divisor))
        return self.out(out.transpose(1, 2).reshape(x.shape))


class Lift(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.attention, self.norm = Attention(dim, heads, dim // heads), nn.LayerNorm(dim)

    def forward(self, x):
        return x + self.norm(self.attention(x, x))


class Mlp(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Critic(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.attention, self.norm1 = Attention(dim, heads, dim // heads), nn.LayerNorm(dim)
        self.mlp, self.norm2 = Mlp(dim), nn.LayerNorm(dim)

    def forward(self, x):
        x = x + self.norm1(self.attention(x, x))
        return x + self.norm2(nn.functional.gelu(self.mlp(x)))


class ComplexLinear(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.kernel_re, self.kernel_im = nn.Parameter(torch.zeros(dim, dim)), nn.Parameter(torch.zeros(dim, dim))
        self.bias_re, self.bias_im = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, y):
        return y @ torch.complex(self.kernel_re, self.kernel_im) + torch.complex(self.bias_re, self.bias_im)


class PlaneNorm(nn.LayerNorm):
    """Moments over a clip's whole plane (S, E), scale and bias for each channel."""

    def forward(self, x):
        return nn.functional.layer_norm(x, x.shape[1:], eps=self.eps) * self.weight + self.bias


class Foe(nn.Module):
    def __init__(self, dim, norm):
        super().__init__()
        self.fc1, self.fc2, self.place = ComplexLinear(dim), ComplexLinear(dim), norm
        if norm == "after":
            self.norm = nn.LayerNorm(dim)
        else:
            kind = nn.LayerNorm if norm == "row" else PlaneNorm
            self.norm_re, self.norm_im = kind(dim), kind(dim)

    def forward(self, x):
        y = torch.fft.fft2(x, dim=(1, 2), norm="ortho")
        z = self.fc1(y)
        z = self.fc2(torch.complex(nn.functional.gelu(z.real), nn.functional.gelu(z.imag)))
        if self.place == "branch":
            z = y + torch.complex(self.norm_re(z.real), self.norm_im(z.imag))
        elif self.place == "after":
            return self.norm(torch.fft.ifft2(y + z, dim=(1, 2), norm="ortho").real)
        else:
            z = torch.complex(self.norm_re((y + z).real), self.norm_im((y + z).imag))
        return torch.fft.ifft2(z, dim=(1, 2), norm="ortho").real


class Fusion(nn.Module):
    def __init__(self, dim, heads, foe_norm):
        super().__init__()
        self.attention, self.norm, self.foe = Attention(dim, heads, heads), nn.LayerNorm(dim), Foe(dim, foe_norm)

    def forward(self, luminous, main):
        return self.foe(self.norm(self.attention(luminous, main)) + luminous)


class Level(nn.Module):
    def __init__(self, dim, heads, foe_norm):
        super().__init__()
        self.lift, self.critic, self.fusion = Lift(dim, heads), Critic(dim, heads), Fusion(dim, heads, foe_norm)

    def forward(self, main, luminous):
        luminous = self.critic(luminous)
        return self.fusion(luminous, self.lift(main)), luminous


class Head(nn.Module):
    def __init__(self, dim, classes):
        super().__init__()
        self.fc1, self.norm, self.fc2 = nn.Linear(dim, dim), nn.BatchNorm1d(dim), nn.Linear(dim, classes)

    def forward(self, x):
        return self.fc2(self.norm(nn.functional.gelu(self.fc1(x.mean(dim=1)))))


class Main(nn.Module):
    def __init__(self, size, vit, dim):
        super().__init__()
        self.pvit = ViT(size, **vit)
        self.project, self.norm = nn.Linear(vit["dim"], dim), nn.LayerNorm(dim)

    def forward(self, dark):
        b, t = dark.shape[:2]
        tokens = self.pvit(dark.flatten(0, 1).permute(0, 3, 1, 2))[-1]
        return self.norm(self.project(tokens.reshape(b, t, -1)))


class LiftNet(nn.Module):
    """`forward` takes normalised clips (B,T,H,W,3) and gives h1, h2 and the tokens on the way."""

    def __init__(self, size, vit, trunk, levels, heads, classes, foe_norm="plane"):
        super().__init__()
        self.teacher, self.trunk = VideoResNet(trunk, classes), VideoResNet(trunk, classes)
        self.main = Main(size, vit, 512)
        self.levels = nn.ModuleList([Level(512, heads, foe_norm) for _ in range(levels)])
        self.head = Head(512, classes)

    def forward(self, dark, luminous):
        clip = luminous.permute(0, 4, 1, 2, 3)
        with torch.no_grad():
            h1 = self.teacher.eval()(clip)["logits"]
        x = self.main(dark)
        y = nn.functional.adaptive_avg_pool3d(self.trunk.eval()(clip)["layer4"], (dark.shape[1], 1, 1))
        y = y.flatten(2).transpose(1, 2)
        out = {"teacher_logits": h1, "main_tokens": x, "luminous_tokens": y}
        for level in self.levels:
            x, y = level(x, y)
        return out | {"fused": x, "logits": self.head(x)}


def student_loss(h1, h2, targets):
    """Eq. 6: cross-entropy, and the mean over classes of absolute differences of the logits; means over the batch."""
    entropy = -(targets * torch.log_softmax(h2, dim=1)).sum(dim=1).mean()
    return entropy + (h1 - h2).abs().mean(dim=1).mean()
