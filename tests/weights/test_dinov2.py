"""A real pretrained DINOv2 against what transformers computed with it; skipped where the file is missing."""

import re

import numpy as np
import pytest

from lift_flax.weights import convert, converted

LIMIT = 1e-4  # largest error over largest magnitude
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(real_data):
    if not (found := real_data / "dinov2_s14").is_dir():
        pytest.skip(f"no {found}")
    return found


@pytest.mark.parametrize(
    ("blocks", "theirs", "ours"),
    [
        (5, "block_5", "features"),
        pytest.param(1, "block_1", "features", marks=SLOW),
        pytest.param(12, "block_12", "features", marks=SLOW),
        pytest.param(12, "final_norm", "normed", marks=SLOW),
    ],
)
def test_the_class_token_is_that_of_transformers(folder, tmp_path, capsys, blocks, theirs, ours):
    with np.load(folder / "check.npz") as stored:
        np.savez(tmp_path / "check.npz", clip=stored["clip"], **{ours: stored[theirs]})
    flags = [f"--blocks={blocks}", f"--out={tmp_path / 'ours'}", f"--check={tmp_path / 'check.npz'}"]
    convert.main(["vit", str(folder / "model.safetensors"), *flags])
    said = capsys.readouterr().out
    named = f"ViT-S/14, first {blocks} blocks, 6 heads, GELU exact, with qkv biases, input mean [0.485, 0.456, 0.406]"
    assert named in said
    error = re.search(rf"{ours}: largest absolute error \S+, relative (\S+): ok", said)
    assert error and float(error[1]) <= LIMIT
    facts = converted.load_facts(tmp_path / "ours")
    assert (facts["grid"], facts["positions"], facts["num_heads"]) == (37, "bicubic", 6)


def test_before_the_first_block_it_is_the_class_tokens_place(folder, tmp_path):
    convert.main(["vit", str(folder / "model.safetensors"), "--blocks=1", f"--out={tmp_path / 'ours'}"])
    arrays = converted.load_arrays(tmp_path / "ours")
    with np.load(folder / "check.npz") as stored:
        theirs = stored["block_0"]
    start = arrays["params/cls"][0] + arrays["params/positions"][0, :1]
    assert np.abs(start - theirs).max() <= LIMIT * np.abs(theirs).max()
