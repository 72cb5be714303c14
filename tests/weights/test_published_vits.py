"""Every layout of a ViT that is read, against the modules of timm and transformers with random weights."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make vits installs it")
timm = pytest.importorskip("timm", reason="timm is not installed: make vits installs it")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: make vits installs it")

from safetensors.torch import save_file  # noqa: E402

from lift_flax.weights import convert, converted  # noqa: E402

LIMIT = 1e-4  # largest error over largest magnitude
SIZES = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 70}


def _random(network):
    """Every parameter drawn, norms and LayerScales near one: fresh ones are the identity and would hide mistakes."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            drawn = 0.05 * torch.randn(parameter.shape, generator=generator)
            near_one = parameter.ndim == 1 and (name.endswith(("norm1.weight", "norm2.weight")) or "gamma" in name)
            parameter.copy_(drawn + (1.0 if near_one or "lambda" in name else 0.0))
    return network.eval()


def _certified(network, forward, tmp_path, side: int, name: str) -> dict:
    """Saves a network as its users get it, converts it, and compares its class token; gives the facts."""
    folder = tmp_path / name
    if isinstance(network, transformers.PreTrainedModel):
        network.save_pretrained(folder)
        file = folder / "model.safetensors"
    else:
        folder.mkdir()
        file = folder / f"{name}.safetensors"
        save_file({n: t.contiguous() for n, t in network.state_dict().items()}, file)
    clip = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        features, normed = forward(clip)
    arrays = {"clip": clip.permute(0, 2, 3, 1).numpy(), "features": features.numpy()}
    np.savez(folder / "check.npz", **arrays, **({} if normed is None else {"normed": normed.numpy()}))
    flags = ["--blocks=3", f"--check={folder / 'check.npz'}", f"--out={tmp_path / f'{name}_ours'}"]
    convert.main(["vit", str(file), *flags])
    facts = converted.load_facts(tmp_path / f"{name}_ours")
    print(f"{name}, {side} px: {facts['checked']['relative_error']:.2g}")
    assert facts["checked"]["relative_error"] <= LIMIT
    return facts


def _tokens(network, **options):
    """A function from images to the class token after the last block, and after the norm behind it."""

    def forward(clip):
        out = network(clip, output_hidden_states=True, **options)
        return out.hidden_states[-1][:, 0], out.last_hidden_state[:, 0]

    return forward


@pytest.mark.parametrize("side", [70, 56, 98])
def test_dinov2_of_transformers(tmp_path, side):
    network = _random(transformers.Dinov2Model(transformers.Dinov2Config(**SIZES, patch_size=14)))
    facts = _certified(network, _tokens(network), tmp_path, side, "dinov2")
    assert facts["num_heads"] == 2 and facts["positions"] == "bicubic"


@pytest.mark.parametrize("side", [64, 48])
def test_vit_of_transformers(tmp_path, side):
    sizes = {**SIZES, "image_size": 64, "patch_size": 16, "intermediate_size": 256, "layer_norm_eps": 1e-6}
    network = _random(transformers.ViTModel(transformers.ViTConfig(**sizes), add_pooling_layer=False))
    forward = _tokens(network, **({} if side == 64 else {"interpolate_pos_encoding": True}))
    assert _certified(network, forward, tmp_path, side, "vit")["num_heads"] == 2


@pytest.mark.parametrize(("gelu", "ours"), [("quick_gelu", "quick"), ("gelu", "exact")])
def test_clip_of_transformers(tmp_path, gelu, ours):
    sizes = {**SIZES, "image_size": 64, "patch_size": 16, "intermediate_size": 256, "hidden_act": gelu}
    network = _random(transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**sizes)))

    def forward(clip):
        return network(clip, output_hidden_states=True).hidden_states[-1][:, 0], None

    facts = _certified(network, forward, tmp_path, 64, "clip")
    assert facts["pre_norm"] and facts["gelu"] == ours


@pytest.mark.parametrize(("name", "heads", "side"), [
    ("vit_tiny_patch16_224", 3, 64), ("deit_tiny_patch16_224", 3, 64), ("vit_small_patch14_dinov2", 6, 70),
    ("vit_small_patch14_dinov2", 6, 56), ("deit3_small_patch16_224", 6, 64),
    ("vit_base_patch16_clip_quickgelu_224", 12, 64),
    ("vit_base_patch16_clip_224", 12, 64),
])  # fmt: skip
def test_timm(tmp_path, name, heads, side):
    made = {"img_size": 70 if "14" in name else 64, "depth": 3, "num_classes": 0}
    network = _random(timm.create_model(name, **made))
    if side != made["img_size"]:  # as timm resizes the positions of a file
        other = timm.create_model(name, **{**made, "img_size": side})
        other.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(network.state_dict(), other))
        other.eval()
    else:
        other = network

    def forward(clip):
        (block,) = other.forward_intermediates(
            clip, indices=1, return_prefix_tokens=True, intermediates_only=True, output_fmt="NLC"
        )
        normed = other.norm(block[1])[:, 0]
        return block[1][:, 0], normed

    facts = _certified(network, forward, tmp_path, side, name)
    assert facts["num_heads"] == heads
    expected = [0.5] * 3 if name.startswith("vit_tiny") else None
    assert expected is None or facts["mean"] == expected


@pytest.mark.parametrize(("name", "what"), [
    ("vit_small_patch14_reg4_dinov2", "has register tokens"),
    ("vit_small_patch16_dinov3", "is DINOv3"),
    ("deit_tiny_distilled_patch16_224", "is a distilled DeiT"),
])  # fmt: skip
def test_networks_that_are_no_such_vit_are_named(tmp_path, name, what):
    network = timm.create_model(name, num_classes=0)
    save_file({n: t.contiguous() for n, t in network.state_dict().items()}, tmp_path / f"{name}.safetensors")
    with pytest.raises(convert.UserError, match=what):
        convert.main(["vit", str(tmp_path / f"{name}.safetensors"), f"--out={tmp_path / 'ours'}"])
