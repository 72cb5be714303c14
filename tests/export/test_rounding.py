"""Packages in float16: half the bytes, nearly the same answers, and a word about how near."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from safetensors import safe_open

import lift_flax
from lift_flax.errors import UserError
from lift_flax.export import __main__ as export
from lift_flax.export import rounding
from lift_flax.export.package import write_package
from lift_flax.models.functional import flatten
from lift_flax.runs.trained import open_trained
from lift_flax.train.starts.earlier_run import EarlierRun
from tests.support.trained_tools import random_trained


@pytest.fixture(scope="module")
def half(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("half") / "net"
    export.main([f"--workdir={run}", "--format=package", "--dtype=float16", f"--out={out}"])
    return out


@pytest.mark.slow
def test_half_the_bytes_and_nearly_the_same_answers(run, packed, half, records):
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (half, packed)]
    assert sizes[0] < 0.6 * sizes[1]
    with safe_open(half / "model.safetensors", framework="np") as file:
        kinds = {(file.get_tensor(name).ndim > 1, str(file.get_tensor(name).dtype)) for name in file.keys()}
    assert kinds == {(True, "float16"), (False, "float32")}
    video = min((records.parent / "videos" / "test").rglob("*.mp4"))
    exact, other = (lift_flax.load(place)(video).probabilities for place in (run, half))
    assert 0 < np.abs(exact - other).max() < rounding.MOST


@pytest.mark.slow
def test_it_is_read_as_the_rounded_run(run, half):
    """Whether it answers or another run starts from it."""
    ours = flatten(rounding.rounded(open_trained(run))[0].params)
    answers = flatten(open_trained(half).params)
    start = EarlierRun(str(half)).arrays("student")
    for name, array in ours.items():
        for found in (answers[name], start[f"params/{name}"]):
            assert found.dtype == array.dtype and np.array_equal(found, array)


def test_its_card_says_how_near(half):
    packed = json.loads((half / "run.json").read_text())["package"]
    assert packed["dtype"] == "float16" and 0 < packed["largest_difference"]["logits"] < rounding.MOST
    assert f"kept as float16; on random clips {rounding.told(packed['largest_difference'])}" in (
        half / "README.md"
    ).read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_float16_cannot_hold(tmp_path, monkeypatch):
    trained = random_trained()
    large = dataclasses.replace(trained, params=jax.tree.map(lambda array: array * np.float32(1e8), trained.params))
    with pytest.raises(UserError, match="numbers above 65504, which float16 has not: leave dtype=float16 out"):
        write_package(large, tmp_path / "net", dtype="float16")
    monkeypatch.setattr(rounding, "MOST", 1e-9)
    with pytest.raises(UserError, match=r"of the largest, and may change them by 1e-09: leave dtype=float16 out"):
        write_package(trained, tmp_path / "net", dtype="float16")
    assert not list(tmp_path.iterdir())
