"""The order of the stages, the streams, and the augmentations other than the warp (tests/augment/test_warp.py)."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from lift_flax.augment import cutmix, preview, rain, shuffle, stages
from lift_flax.augment.streams import (
    clip_streams,
    draw_stages,
    gamma_correct,
    make_eval_streams,
    make_train_streams,
    mix_targets,
)
from lift_flax.config import AUGMENTATIONS, Config
from lift_flax.errors import UserError
from lift_flax.models import inputs
from lift_flax.video import flow_codes
from tests import ROOT
from tests.support.augment_tools import DEFAULT, NOTHING, all_flow, all_frames, noise, only, stage_frames
from tests.support.small_config import small_config
from tests.support.video_files import write_numbered

RANGES = {
    "affine": ("scale", "rotate", "translate", "shear"),
    "optical": ("optical_k",),
    "elastic": ("elastic_std",),
    "jitter": ("brightness", "contrast", "saturation", "hue"),
    "rain": ("rain_length", "rain_darken"),
}


def _config(augmentation=DEFAULT, light: str = "gamma", size: int = 32) -> Config:
    config = small_config(**{"model.luminous.input": light, "model.luminous.size": size})
    return dataclasses.replace(config, augment=augmentation)


def _batch(rows: int = 4, side: int = 32) -> dict[str, jax.Array]:
    return {
        "clip": noise(1, (rows, 6, side, side, 3)),
        "flow": noise(2, (rows, 6, side, side, 2)),
        "label": jnp.arange(rows) % 3,
        "weight": jnp.ones(rows),
    }


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_probability_zero_changes_nothing_and_one_changes_every_clip(name):
    clip, key = noise(shape=(4, 6, 24, 24, 3)), jax.random.key(0)
    np.testing.assert_array_equal(stage_frames(name, clip, key, only()), clip)
    changed = np.asarray(stage_frames(name, clip, key, only(name)) != clip)
    assert changed.any(axis=(1, 2, 3, 4)).all()


@pytest.mark.parametrize("name", RANGES)
def test_zero_ranges_change_nothing(name):
    clip = noise(shape=(4, 6, 24, 24, 3))
    ranges = only(name, **dict.fromkeys(RANGES[name], 0.0))
    np.testing.assert_array_equal(stage_frames(name, clip, jax.random.key(0), ranges), clip)


@pytest.mark.parametrize("name", ["affine", "elastic", "jitter", "rain", "shuffle"])
def test_a_rows_draw_depends_on_its_place_and_key_alone(name):
    key, ranges = jax.random.key(3), only(name)
    clip = jnp.repeat(noise(shape=(1, 6, 20, 24, 3)), 4, axis=0)
    whole = np.asarray(stage_frames(name, clip, key, ranges))
    np.testing.assert_array_equal(whole[:2], stage_frames(name, clip[:2], key, ranges))
    np.testing.assert_array_equal(whole[2:], stage_frames(name, clip.at[:2].set(0), key, ranges)[2:])
    assert not np.array_equal(whole[0], whole[1])
    assert not np.array_equal(whole[0], stage_frames(name, clip, jax.random.key(4), ranges)[0])


@pytest.mark.parametrize("name", ["affine", "optical", "elastic", "jitter", "cutmix"])
def test_one_draw_holds_for_all_frames_of_a_clip(name):
    still = jnp.repeat(noise(shape=(4, 1, 20, 24, 3)), 5, axis=1)
    out = stage_frames(name, still, jax.random.key(1), only(name))
    np.testing.assert_array_equal(out, jnp.repeat(out[:, :1], 5, axis=1))
    assert not np.array_equal(out, still)


def test_grey_stays_grey_under_hue_and_saturation():
    grey = jnp.full((4, 2, 8, 8, 3), 100, jnp.uint8)
    ranges = dataclasses.replace(NOTHING, jitter=1.0, saturation=0.5, hue=0.5)
    np.testing.assert_array_equal(stage_frames("jitter", grey, jax.random.key(0), ranges), grey)


def test_shuffle_reorders_frames_and_flow_alike():
    numbers = jnp.arange(6, dtype=jnp.uint8)[None, :, None, None, None]
    clip, codes = jnp.tile(numbers, (8, 1, 4, 4, 3)), jnp.tile(numbers, (8, 1, 4, 4, 2))
    key, ranges = jax.random.key(0), only("shuffle")
    out = np.asarray(all_frames(clip, key, ranges))[:, :, 0, 0, 0]
    np.testing.assert_array_equal(np.sort(out, axis=1), np.tile(np.arange(6), (8, 1)))
    assert len(np.unique(out, axis=0)) > 4
    np.testing.assert_array_equal(out, all_flow(codes, key, ranges)[:, :, 0, 0, 0])


def test_rain_falls_by_its_speed_along_its_slant():
    draw = rain.draw_rain(jax.random.key(5), only("rain"), 224, 224)
    x, y = (jnp.asarray(v, jnp.float32) for v in np.random.default_rng(0).uniform(0, 180, (2, 4000)))
    here = rain.opacity(draw, x, y, jnp.float32(3))
    there = rain.opacity(draw, x + draw.speed * draw.slant, y + draw.speed, jnp.float32(4))
    np.testing.assert_allclose(there, here, atol=2e-3)
    assert float(jnp.abs(draw.slant)) > 0.02 and 0.01 < float((here > 0).mean()) < 0.2
    assert float(jnp.abs(rain.opacity(draw, x, y, jnp.float32(4)) - here).max()) > 0.2  # they are not where they were


def test_the_next_frames_rain_is_this_ones_moved_down():
    ranges = only("rain", rain_slant=0.0)  # then whole pixels, so the pictures must agree exactly
    scene = jnp.full((1, 4, 224, 224, 3), 40, jnp.uint8)
    out = np.asarray(stage_frames("rain", scene, jax.random.key(0), ranges))[0]
    speed = int(ranges.rain_speed)
    np.testing.assert_array_equal(out[1:, speed:], out[:-1, :-speed])
    values, counts = np.unique(out, return_counts=True)
    assert values[counts.argmax()] == round(40 * 0.85) == values.min() and 90 < values.max() < 200
    streaks = (out[0, :, :, 0] > values.min()).sum(axis=0)  # rows covered in each column
    assert (
        ranges.rain_length - 2 <= streaks.max() <= 2 * ranges.rain_length + 2
    )  # one drop in a column, or parts of two


def test_cutmix_pastes_the_row_before_and_weighs_labels_by_area():
    rows, side = 16, 24
    clip = jnp.broadcast_to(jnp.arange(rows, dtype=jnp.uint8)[:, None, None, None, None], (rows, 3, side, side, 3))
    key, ranges = jax.random.key(2), only("cutmix")
    out = np.asarray(stage_frames("cutmix", clip, key, ranges))
    targets = np.asarray(mix_targets(jnp.eye(rows), draw_stages(key, ranges, clip.shape), ranges))
    shares = []
    for row in range(rows):
        pasted = out[row] != row  # [T, H, W, C]
        assert set(np.unique(out[row])) <= {row, (row - 1) % rows}
        np.testing.assert_array_equal(pasted, np.broadcast_to(pasted[:1, :, :, :1], pasted.shape))
        box = pasted[0, :, :, 0]
        ys, xs = np.nonzero(box)
        assert box.sum() == (np.ptp(ys) + 1) * (np.ptp(xs) + 1)  # a rectangle, filled
        assert targets[row, row - 1] == pytest.approx(box.mean(), abs=1e-6)
        assert targets[row, row] == pytest.approx(1 - box.mean(), abs=1e-6)
        shares.append(box.mean())
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert min(shares) < 0.15 and max(shares) > 0.5
    codes = np.asarray(all_flow(clip[..., :2], key, ranges))
    np.testing.assert_array_equal(codes, out[..., :2])  # the same boxes


def test_cutmix_areas_are_uniform_before_clipping():
    """Beta(1, 1): in a large frame, boxes that lie wholly inside have every area, and centres are everywhere."""
    boxes = jax.vmap(lambda key: cutmix.draw_box(key, 1.0, 1000, 1000).edges)(jax.random.split(jax.random.key(0), 4000))
    top, bottom, left, right = np.asarray(boxes).T
    centred = (top > 0) & (left > 0) & (bottom < 1000) & (right < 1000)
    areas = ((bottom - top) * (right - left) / 1e6)[centred]
    side = np.sqrt(areas)
    weights = 1 / (1 - side) ** 2  # a box of that side lies inside with probability (1 - side)^2
    small = areas < 0.25
    mean = np.average(areas[small], weights=weights[small])
    assert mean == pytest.approx(0.125, abs=0.01)
    assert np.mean(centred) == pytest.approx(1 / 6, abs=0.02)  # integral of (1 - sqrt(a))^2


def test_probabilities_are_kept():
    keys = jax.random.split(jax.random.key(0), 3000)
    boxes = jax.vmap(lambda key: cutmix.draw_box(key, DEFAULT.cutmix, 64, 64).edges)(keys)
    drawn = (boxes[:, 1] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 2])
    assert float(drawn.mean()) == pytest.approx(DEFAULT.cutmix, abs=0.04)
    orders = jax.vmap(lambda key: shuffle.frame_order(key, DEFAULT.shuffle, 30))(keys)
    assert float((orders != jnp.arange(30)).any(axis=1).mean()) == pytest.approx(DEFAULT.shuffle, abs=0.02)


def test_the_luminous_stream_is_the_augmented_dark_stream_lit():
    streams = make_train_streams(_batch(), jax.random.key(0), _config(only(*AUGMENTATIONS)), 3)
    assert streams["dark"].dtype == jnp.uint8 and not np.array_equal(streams["dark"], _batch()["clip"])
    np.testing.assert_array_equal(streams["luminous"], gamma_correct(streams["dark"], 1.8))
    np.testing.assert_allclose(streams["targets"].sum(axis=1), 1, atol=1e-6)


def test_streams_without_augmentation_and_resized():
    batch = _batch(2)
    streams = make_eval_streams(batch, _config(size=12), 3)
    np.testing.assert_array_equal(streams["dark"], batch["clip"])
    assert streams["luminous"].shape == (2, 6, 12, 12, 3) and streams["luminous"].dtype == jnp.uint8
    np.testing.assert_array_equal(streams["targets"], [[1, 0, 0], [0, 1, 0]])


def test_the_flow_stream_is_flow_and_its_length():
    batch = _batch(2)
    streams = make_eval_streams(batch, _config(light="flow"), 3)
    np.testing.assert_array_equal(streams["luminous"][..., :2], batch["flow"])
    u, v = np.moveaxis(np.asarray(batch["flow"], float) - 128, -1, 0)
    np.testing.assert_array_equal(streams["luminous"][..., 2], np.round(np.minimum(np.hypot(u, v), 127)) + 128)
    known = jnp.asarray(flow_codes.encode(np.array([[0.0, 0.0], [3.0, -4.0], [-20.0, 0.0], [20.0, 20.0]])))
    clip = {"clip": jnp.zeros((1, 1, 2, 2, 3), jnp.uint8), "flow": known.reshape(1, 1, 2, 2, 2)}
    lengths = clip_streams(clip, _config(light="flow", size=2))["luminous"][..., 2]
    assert lengths.ravel().tolist() == [128, 128 + 31, 255, 255]  # of codes 19 and -25
    half = make_eval_streams(batch | {"flow": jnp.full_like(batch["flow"], 140)}, _config(light="flow", size=16), 3)
    assert half["luminous"].shape == (2, 6, 16, 16, 3)
    assert (half["luminous"][..., :2] == 140).all()  # codes are in pixels of the stored clip, whatever the size


def test_colours_and_rain_leave_flow_alone():
    batch = _batch()
    streams = make_train_streams(batch, jax.random.key(0), _config(only("jitter", "rain"), light="flow"), 3)
    np.testing.assert_array_equal(streams["luminous"][..., :2], batch["flow"])
    assert not np.array_equal(streams["dark"], batch["clip"])


def test_no_motion_is_zero_for_the_network():
    config = _config(light="flow")
    still = jnp.full((1, 2, 8, 8, 3), flow_codes.ZERO, jnp.uint8)
    np.testing.assert_allclose(inputs.teacher_inputs(config, {"luminous": still}), 0, atol=1e-6)
    fast = inputs.teacher_inputs(config, {"luminous": jnp.full_like(still, 255)})
    np.testing.assert_allclose(fast, 127 / 255 / 0.226, rtol=1e-5)
    frames = inputs.teacher_inputs(_config(), {"luminous": still})
    assert float(jnp.abs(frames).min()) > 0.1  # frames have the trunk's own mean


@pytest.mark.slow
def test_preview_draws_every_augmentation(tmp_path):
    videos = [write_numbered(tmp_path / f"{i}.mp4", 10 + i) for i in range(2)]
    config = preview.preview_config()
    shown = preview.read_videos(videos)
    assert shown.shape == (2, 8, 224, 224, 3)
    figure = preview.draw(shown[:, :, :64, :64], config)
    figure.savefig(tmp_path / "out.png", dpi=40)
    assert np.asarray(Image.open(tmp_path / "out.png")).std() > 10
    written = {text.get_text() for text in figure.axes[0].texts}
    assert {*AUGMENTATIONS, "as it is", "all"} <= written
    assert any("k ± 0.15" in text for text in written)
    with pytest.raises(UserError, match="two files or more"):
        preview.read_videos(videos[:1])


def test_preview_replaces_no_picture_unasked(tmp_path, monkeypatch):
    (picture := tmp_path / "mine.png").write_bytes(b"mine")
    monkeypatch.setattr(sys, "argv", ["augment", f"--preview={picture}", "--records=nowhere"])
    with pytest.raises(UserError, match=r"mine.png exists: .* --overwrite"):
        preview.main()
    assert picture.read_bytes() == b"mine"


def test_preview_without_clips_is_one_line(tmp_path):
    command = [sys.executable, "-m", "lift_flax.augment", "--preview=out.png"]
    ran = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert ran.returncode == 2, ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1 and "--videos" in ran.stderr


def test_every_augmentation_belongs_to_one_stage():
    names = [name for stage in stages.STAGES for name in stage.texts]
    assert sorted(names) == sorted(AUGMENTATIONS)
    numbers = {stage.purpose: [*stage.texts] for stage in stages.STAGES}
    assert len(numbers) == len(stages.STAGES)
    published = {0: ["flip", "affine", "optical", "elastic"], 1: ["jitter"], 2: ["rain"], 3: ["cutmix"], 4: ["shuffle"]}
    assert {purpose: numbers[purpose] for purpose in published} == published  # others would change every run's draws


def test_frames_and_flow_side_by_side():
    """`luminous.input=both`: the channels of the lit frames, then both of the flow, moved and resized alike."""
    batch, key = _batch(), jax.random.key(5)
    ranges = only("flip", "affine")
    of = {light: make_train_streams(batch, key, _config(ranges, light, 24), 3) for light in ("gamma", "flow", "both")}
    found = of["both"]["luminous"]
    assert found.shape == (4, 6, 24, 24, 5)
    np.testing.assert_array_equal(found[..., :3], of["gamma"]["luminous"])
    np.testing.assert_array_equal(found[..., 3:], of["flow"]["luminous"][..., :2])
    config = _config(light="both")
    luminous, teacher = config.model.luminous, config.model.teacher
    mean, std = inputs.luminous_statistics(config)
    assert mean == (*teacher.mean, luminous.flow_mean, luminous.flow_mean)
    still = jnp.full((1, 1, 1, 1, 5), flow_codes.ZERO, jnp.uint8)
    seen = inputs.teacher_inputs(config, {"luminous": still})
    np.testing.assert_allclose(seen[..., 3:], 0, atol=1e-6)
    np.testing.assert_allclose(seen[0, 0, 0, 0, :3], (128 / 255 - np.array(mean[:3])) / np.array(std[:3]), rtol=1e-5)


def test_what_nobody_reads_is_not_augmented():
    """Of the teacher, and of a main stream whose ViT is kept: the luminous stream is the same to the bit."""
    key, batch = jax.random.key(3), _batch()
    for light in ("flow", "gamma"):
        config = _config(only("flip", "affine", "jitter"), light=light)
        whole = make_train_streams(batch, key, config, 3)
        kept = {**batch, "main_features": jnp.zeros((len(batch["clip"]), 4, 8))}
        for part in (make_train_streams(batch, key, config, 3, main=False), make_train_streams(kept, key, config, 3)):
            assert "dark" in whole and "dark" not in part
            np.testing.assert_array_equal(part["luminous"], whole["luminous"])
