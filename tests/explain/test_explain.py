"""What a student looked at: the maps point where they should, the films and pictures are real, mistakes are told."""

import dataclasses
import io
import json
from pathlib import Path

import av
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from configs import common
from lift_flax import config as config_lib
from lift_flax.augment.streams import make_eval_streams
from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.explain import __main__ as explain
from lift_flax.explain import attention_rollout, class_activation, pictures
from lift_flax.explain.explainer import Explainer, Explanation
from lift_flax.models.build import make_student
from lift_flax.models.functional import create, flatten, unflatten
from lift_flax.models.vit import PViT
from lift_flax.runs.trained import TrainedRun
from lift_flax.train import optim, phases
from lift_flax.video import encode
from tests.support.small_config import small_config

FRAMES, SIZE, KINDS = 8, 32, ("right", "down", "flicker", "grow")
CORNERS = ((1, 1), (1, 17), (17, 1), (17, 17))
STEPS, ROWS = 32, 8
HELD_OUT = (10**6, 64)  # seed and number of clips that nothing is trained on


def corner_clip(kind: int, corner: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 [T,32,32,3]: noise, and in one corner the only part that moves, in one of four ways."""
    frames = rng.normal(40, 4, (FRAMES, SIZE, SIZE, 3))
    y, x = CORNERS[corner]
    for t in range(FRAMES):
        if kind == 0:
            frames[t, y : y + 14, x + t + 1 : x + t + 5] += 90
        elif kind == 1:
            frames[t, y + t + 1 : y + t + 5, x : x + 14] += 90
        elif kind == 2:
            frames[t, y + 2 : y + 12, x + 2 : x + 12] += 90 * (t % 2)
        else:
            half = 1 + t // 2
            frames[t, y + 7 - half : y + 7 + half, x + 7 - half : x + 7 + half] += 90
    return frames.clip(0, 255).astype(np.uint8)


def corner_batch(seed: int, rows: int) -> tuple[dict, np.ndarray]:
    """(batch, corner of each row); the class is the kind of motion, and says nothing of the corner."""
    rng = np.random.default_rng(seed)
    kinds, corners = np.arange(rows) % 4, rng.integers(0, 4, rows)
    frames = np.stack([corner_clip(*both, rng) for both in zip(kinds, corners, strict=True)])  # [B, T, H, W, 3]
    return {"clip": frames, "label": kinds.astype(np.int32), "weight": np.ones(rows, np.float32)}, corners


def opened(config: Config, params: dict, batch_stats: dict, classes: tuple[str, ...]) -> TrainedRun:
    network, _ = create(lambda rngs: make_student(config, len(classes), rngs), 0)
    return TrainedRun(Path("nowhere"), config, classes, {}, "", network, params, batch_stats, 0)


def drawn(config: Config, classes: tuple[str, ...] = KINDS) -> TrainedRun:
    """A student as it starts."""
    _, draw = create(lambda rngs: make_student(config, len(classes), rngs), config.seed)
    return opened(config, *jax.jit(draw)(), classes)


@pytest.fixture(scope="module")
def corners() -> TrainedRun:
    """A student that has learnt to tell the four motions apart, wherever they are."""
    sizes = {"data.num_frames": FRAMES, "model.pvit.patch": 8, "train.batch_size": ROWS}
    config = small_config("tiny,distill=no", **sizes)
    phase = phases.student_phase(config, len(KINDS), None)
    optimizer = optim.make_optimizer(config, lambda step: 1e-3)
    step, state = jax.jit(phase.make_step(phase.network, config, optimizer)), phase.initial_state(optimizer)
    for seed in range(STEPS):
        state, _ = step(
            state, make_eval_streams(jax.tree.map(jnp.asarray, corner_batch(seed, ROWS)[0]), config, len(KINDS))
        )
    return opened(config, state["params"], state["batch_stats"], KINDS)


@pytest.fixture(scope="module")
def explained(corners) -> tuple[list[Explanation], np.ndarray, np.ndarray]:
    """(explanations of clips that were not trained on, kinds, corners)"""
    batch, places = corner_batch(*HELD_OUT)
    explainer = Explainer(corners)
    return [explainer({"clip": clip}) for clip in batch["clip"]], batch["label"], places


def quadrant(maps: np.ndarray) -> int:
    """Which quarter of the frame has the most of [T, h, w]: 0 upper left, 1 upper right, 2 and 3 below."""
    whole = maps.sum(axis=0)
    half = len(whole) // 2
    return int(whole.reshape(2, half, 2, half).sum(axis=(1, 3)).argmax())


def test_activation_points_to_what_moves(explained):
    found, kinds, places = explained
    assert np.mean([e.label for e in found] == kinds) > 0.85
    assert {e.activation.shape for e in found} == {(4, 4, 4)} and found[0].stage == "layer2"
    assert np.mean([quadrant(e.activation) for e in found] == places) > 0.8  # chance is 0.25


def test_attention_points_to_what_moves(explained):
    found, _, places = explained
    assert np.mean([quadrant(e.attention) for e in found] == places) > 0.9


def test_maps_are_of_the_weights(corners, explained):
    """Adebayo et al., "Sanity Checks for Saliency Maps" (2018): what does not change with the weights shows an edge."""
    found, _, _ = explained
    rng = np.random.default_rng(0)
    params = {
        path: rng.permutation(np.ravel(leaf)).reshape(leaf.shape) for path, leaf in flatten(corners.params).items()
    }
    other = Explainer(dataclasses.replace(corners, params=unflatten(params)))
    batch, _ = corner_batch(*HELD_OUT)
    changed = [other({"clip": clip}, label=e.label) for clip, e in zip(batch["clip"][:16], found, strict=False)]
    for name in ("activation", "attention", "main"):
        pairs = [(np.ravel(getattr(a, name)), np.ravel(getattr(b, name))) for a, b in zip(found, changed, strict=False)]
        assert np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]) < 0.8, name  # measured: 0.50, -0.32, -0.52


def test_another_class_has_another_map(corners, explained):
    found, _, _ = explained
    batch, _ = corner_batch(*HELD_OUT)
    best, other = found[0], Explainer(corners)({"clip": batch["clip"][0]}, label=(found[0].label + 1) % 4)
    assert other.label != best.label and other.probabilities[other.label] < best.probabilities[best.label]
    np.testing.assert_allclose(other.attention, best.attention, rtol=1e-5)
    assert np.corrcoef(np.ravel(other.activation), np.ravel(best.activation))[0, 1] < 0.9


VARIANTS = {
    "tiny": {"data.num_frames": 9, "model.levels": 3, "model.pvit.patch": 8},
    "tiny,streams=main,distill=no": {},
    "tiny,streams=luminous,foe=no": {"data.num_frames": 5},
    "tiny,luminous=flow": {"model.luminous.size": 64},
}


@pytest.mark.parametrize("argument", VARIANTS)
def test_the_walk_ends_at_the_students_own_logits(argument):
    """In every kind of student; shares sum to 1, and a stream that is left out has none."""
    config = small_config(argument, **VARIANTS[argument])
    trained = drawn(config)
    rng, count = np.random.default_rng(0), config.data.num_frames
    parts = {"clip": rng.integers(0, 255, (count, SIZE, SIZE, 3), np.uint8)}
    if "flow" in argument:
        parts["flow"] = rng.integers(100, 156, (count, SIZE, SIZE, 2), np.uint8)
    found = Explainer(trained)(parts)
    batch = {name: jnp.asarray(part)[None] for name, part in parts.items()}
    views = make_eval_streams(batch | {"label": jnp.zeros(1, int), "weight": jnp.ones(1)}, config, len(KINDS))
    own, _ = jax.jit(trained.outputs)(trained.params, trained.batch_stats, views)
    np.testing.assert_allclose(found.probabilities, jax.nn.softmax(own["logits"])[0], rtol=1e-4, atol=1e-6)
    levels, streams = config.model.levels, config.model.streams
    main = {"both": 0.5**levels, "main": 1, "luminous": 0}[streams]
    assert found.main.sum() == pytest.approx(main, rel=1e-5)
    assert found.luminous.sum() == pytest.approx(1 - main, rel=1e-5)
    assert found.attention.sum() == pytest.approx(1, rel=1e-5) and found.attention.min() >= 0
    grid = 1 if streams == "luminous" else SIZE // config.model.pvit.patch
    assert found.attention.shape == (count, grid, grid)
    assert found.stage == {"main": "pvit"}.get(streams, "layer3" if "flow" in argument else "layer2")
    assert found.activation.min() >= 0 < found.activation.max()
    assert found.spectra.shape == (levels * config.model.foe, 2, count, 128)
    assert found.relevance.shape == (count,) and found.relevance.any()


def test_rollout_of_even_attention():
    """Without queries every token takes alike of all: L blocks leave 1/2^L with the class token itself."""
    blocks, tokens = 3, 5
    pvit = PViT(16, blocks, 8, 12, 2, 24, gelu="exact", ln_eps=1e-6, rngs=nnx.Rngs(0))
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)
    cls, shares = attention_rollout.patch_rollout(pvit, images)
    np.testing.assert_allclose(cls, pvit(images), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert np.std(shares[:, 1:], axis=1).min() > 1e-5
    for block in pvit.blocks:
        block.attention.query.kernel[...] *= 0
    _, shares = attention_rollout.patch_rollout(pvit, images)
    even = (1 - 0.5**blocks) / tokens
    np.testing.assert_allclose(shares, np.tile([even + 0.5**blocks] + [even] * (tokens - 1), (2, 1)), rtol=1e-5)


def test_weights_are_what_attention_mixes_by():
    """Against the definition, in NumPy."""
    attention = PViT(16, 1, 8, 12, 2, 24, gelu="exact", ln_eps=1e-6, rngs=nnx.Rngs(1)).blocks[0].attention
    x, y = (np.random.default_rng(i).normal(size=(2, 3 + i, 12)).astype(np.float32) for i in (0, 1))
    weights = np.asarray(attention.weights(jnp.asarray(x), jnp.asarray(y)))
    assert weights.shape == (2, 2, 3, 4)
    q, k, v = (
        (z @ np.asarray(part.kernel[...])).reshape(2, -1, 2, 6)
        for z, part in ((x, attention.query), (y, attention.key), (y, attention.value))
    )
    expected = np.exp(np.einsum("bsnd,brnd->bnsr", q, k) / np.sqrt(6))
    np.testing.assert_allclose(weights, expected / expected.sum(axis=-1, keepdims=True), rtol=1e-4)
    mixed = np.einsum("bnsr,brnd->bsnd", weights, v).reshape(2, 3, 12)
    np.testing.assert_allclose(
        attention(jnp.asarray(x), jnp.asarray(y)), mixed @ np.asarray(attention.out.kernel[...]), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize(
    ("argument", "size", "stage"),
    [
        ("unfreeze=all", 224, "layer4"),
        ("tiny", 64, "layer3"),
        ("tiny", 16, "layer1"),
        ("tiny,streams=main", 64, "pvit"),
    ],
)
def test_the_deepest_map_that_shows_places(argument, size, stage):
    values = common.get_config(argument).unlock()
    values.update_from_flattened_dict({"model.luminous.size": size})
    config = config_lib.from_dict(values.to_dict())
    model = nnx.eval_shape(lambda: make_student(config, 3, nnx.Rngs(0)))
    clip = jax.ShapeDtypeStruct((1, 8, size, size, 3), jnp.float32)
    assert class_activation.choose_stage(model, clip) == stage


def test_enlarged_maps():
    rng = np.random.default_rng(0)
    maps = rng.random((3, 4, 5))
    np.testing.assert_array_equal(pictures.enlarge(maps, maps.shape), maps)
    np.testing.assert_allclose(pictures.enlarge(np.full((1, 1, 1), 2.0), (3, 4, 5)), 2)
    doubled = pictures.enlarge(maps[:1, :1, :2], (1, 1, 4))[0, 0]  # centres at -1/4, 1/4, 3/4, 5/4
    a, b = maps[0, 0, :2]
    np.testing.assert_allclose(doubled, [a, 0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b, b])


def test_films_are_real():
    frames = np.zeros((7, 33, 47, 3), np.uint8)
    for t in range(7):
        frames[t, :, 6 * t : 6 * t + 6] = (250, 120, 30)
    film = encode.mp4(frames, 5.0)
    assert film.index(b"moov") < film.index(b"mdat")
    with av.open(io.BytesIO(film)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 5)
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert shown.shape == (7, 34, 48, 3)
    assert np.abs(shown[:, :33, :47].astype(int) - frames).mean() < 8
    with Image.open(io.BytesIO(encode.gif(frames, 5.0))) as image:
        assert (image.n_frames, image.size, image.info["duration"], image.info["loop"]) == (7, (47, 33), 200, 0)
        for t in range(7):
            image.seek(t)
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - frames[t]).max() < 10


def test_files_of_a_run(run, records, tmp_path, capsys):
    """Two videos of one name and a bad one among them; then again, refused and overwritten, for another class."""
    videos = sorted((records.parent / "videos" / "test" / "right").glob("*.mp4"))[:1]
    twin, bad = tmp_path / videos[0].name, tmp_path / "bad.mp4"
    twin.write_bytes((records.parent / "videos" / "test" / "down" / videos[0].name).read_bytes())
    bad.write_bytes(b"no video")
    out = tmp_path / "out"
    with pytest.raises(UserError, match="1 of 3 videos could not be explained"):
        explain.main([f"--workdir={run}", f"--out={out}", str(videos[0]), str(bad), str(twin)])
    said = capsys.readouterr()
    assert f"error: {bad} cannot be used" in said.err and "Traceback" not in said.err
    stem = videos[0].stem
    assert sorted(path.name for path in out.iterdir()) == [stem, f"{stem}-2"]
    names = ["explain.gif", "explain.json", "explain.mp4", "sheet.png", "spectrum.png"]
    for folder in out.iterdir():
        assert sorted(path.name for path in folder.iterdir()) == names
    _check_pictures(out / stem, count=4)
    one, two = (json.loads((out / name / "explain.json").read_text()) for name in (stem, f"{stem}-2"))
    assert one["attention"] != two["attention"] and f"{out / stem}: {one['class']}" in said.out
    _check_description(one)

    other = next(name for name in ("down", "right", "still") if name != one["class"])
    again = [f"--workdir={run}", f"--out={out}", str(videos[0]), f"--label={other}"]
    with pytest.raises(UserError, match="exists already.*--overwrite"):
        explain.main(again)
    (out / stem / "notes.txt").write_text("mine")
    explain.main([*again, "--overwrite"])
    new = json.loads((out / stem / "explain.json").read_text())
    assert (new["class"], new["predicted"]) == (other, one["predicted"]) and new["relevance"] != one["relevance"]
    assert sorted(path.name for path in (out / stem).iterdir()) == [*names[:3], "notes.txt", *names[3:]]


def _check_pictures(folder: Path, count: int) -> None:
    with av.open(str(folder / "explain.mp4")) as container:
        film = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(film) == count and film[0].shape == (366, 800, 3)
    assert max(np.abs(film[t].astype(int) - film[t - 1]).max() for t in range(1, count)) > 50
    with Image.open(folder / "explain.gif") as image:
        assert (image.n_frames, image.size) == (count, (800, 366))
    with Image.open(folder / "sheet.png") as image:
        width = pictures.MARGIN + count * (pictures.SHEET_SIDE + pictures.GAP)
        assert image.size[0] == width + pictures.GAP and np.asarray(image).std() > 10
    with Image.open(folder / "spectrum.png") as image:
        assert image.size[0] == 1100 and np.asarray(image.convert("RGB")).std() > 10


def _check_description(found: dict) -> None:
    assert found["predicted"] == {"class": found["class"], "probability": found["probability"]}
    weights = found["frame_weights"]
    assert np.sum(weights["main"]) == pytest.approx(0.5, rel=1e-5)
    assert np.sum(weights["luminous"]) == pytest.approx(0.5, rel=1e-5)
    assert np.shape(found["attention"]["map"]) == (4, 2, 2) and np.shape(found["attention"]["peaks"]) == (4, 2)
    assert np.shape(found["activation"]["map"]) == (2, 4, 4) and found["activation"]["of"] == "layer2"
    for (y, x), frame in zip(found["attention"]["peaks"], found["attention"]["map"], strict=True):
        assert frame[int(2 * y)][int(2 * x)] == np.max(frame)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--label=jump", "a.mp4"], "--label=jump: the run does not know this class; it knows down, right, still"),
    (["none.mp4"], "1 of 1 videos could not be explained"),
    ([], "VIDEO"),
])  # fmt: skip
def test_mistakes(run, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        explain.main([f"--workdir={run}", f"--out={tmp_path / 'out'}", *arguments])
    assert not (tmp_path / "out").exists()


def test_folder_names():
    videos = [Path(name) for name in ("a/x.mp4", "b/x.mp4", "x.avi", "x-2.mp4", "y.mp4")]
    assert explain.folder_names(videos) == ["x", "x-2", "x-3", "x-2-2", "y"]
