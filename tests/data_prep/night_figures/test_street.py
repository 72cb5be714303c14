"""The scene set `street`: reproducible, balanced, split by place, and moving as people do."""

import json
from collections import Counter

import numpy as np
import pytest

from data_prep import build, build_flags
from data_prep.night_figures.pose import SIDES, Body, pose
from data_prep.night_figures.scene import ClipPlan
from data_prep.night_figures.street.acts import MOTIONS
from data_prep.night_figures.street.camera import expose_by
from data_prep.night_figures.street.data_set import VERSION, film, plan_street, write_street
from data_prep.night_figures.street.motion import Take, loosened
from data_prep.night_figures.street.shot import compose
from data_prep.night_figures.write import CLASSES
from lift_flax.errors import UserError
from lift_flax.video.gamma import LUMA

SMALL = {"clips": 22, "height": 24}


def plan(class_name, seed):
    return ClipPlan("", class_name, CLASSES.index(class_name), 1, "train", seed, seed + 1000)


def luma_of(one):
    """The mean luma that `film` draws for a clip."""
    day = compose(one, 24, 32).place.day
    return expose_by(np.random.default_rng((one.seed, 1)), day).luma


def joints_of(class_name, seed, seconds=3.0):
    take = Take(np.arange(int(25 * seconds)) / 25, Body(), 1.0, np.random.default_rng(seed))
    motion = MOTIONS[class_name](take)
    return take, motion, pose(loosened(take, motion.curves), take.body, len(take.seconds))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("street")
    write_street(out, **SMALL, workers=2)
    return out


@pytest.mark.parametrize("clips", [22, 100, 1001, 1500])
def test_clips_are_balanced_and_places_apart(clips):
    plans = plan_street(3, clips)
    assert len(plans) == clips == len({one.name for one in plans}) == len({one.seed for one in plans})
    sides = {split: [one for one in plans if one.split == split] for split in ("train", "test")}
    for side in sides.values():
        counts = Counter(one.label for one in side)
        assert len(counts) == len(CLASSES) and max(counts.values()) - min(counts.values()) <= 1
    assert abs(len(sides["test"]) / clips - 0.1) <= 11 / clips
    for field in ("group", "scene_seed"):
        train, test = ({getattr(one, field) for one in side} for side in sides.values())
        assert not train & test
    in_place = Counter((one.group, one.label) for one in plans)
    assert set(in_place.values()) == {1}


def test_a_clip_depends_on_its_seeds_alone():
    first, again, other = (film(plan("Run", seed), 48, 64) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[0].dtype == np.uint8 and first[0].shape[1:] == (48, 64, 3) and 20 <= first[1] <= 30
    assert first[0].shape != other[0].shape or (first[0] != other[0]).any()


def test_views_lights_and_lengths_differ():
    shots = [compose(plan(name, 100 + i), 48, 64) for i, name in enumerate(CLASSES * 4)]
    eyes = [shot.view.height for shot in shots]
    assert min(eyes) < 0.9 and max(eyes) > 3.0 and max(eyes) < 6.0
    sizes = []
    for shot in shots:
        joints = shot.figures[0].joints
        ends = [shot.view.project(joints[name])[:, 1] for name in ("head", "l_ankle")]
        sizes.append(np.median(np.abs(ends[0] - ends[1])) / 48)
    assert min(sizes) < 0.35 and max(sizes) > 0.8
    assert {shot.place.warmth == 0 for shot in shots} == {shot.place.day == 1 for shot in shots} == {True, False}
    stands = [not shot.drift.any() for shot in shots]
    assert 0 < sum(stands) < len(shots) and max(np.ptp(shot.drift[:, 0]) for shot in shots) > 30
    assert min(len(shot.drift) for shot in shots) >= 26 and len({shot.fps for shot in shots}) > 5
    headings = [shot.figures[0].frames["root"][0, :, 2] for shot in shots]
    assert {(x > 0, z > 0) for x, _, z in headings} == {(a, b) for a in (True, False) for b in (True, False)}
    assert any(len(shot.figures) > 1 for shot in shots) and any(shot.screens for shot in shots)


def test_the_performer_is_in_the_picture():
    for number, name in enumerate(CLASSES * 2):
        shot = compose(plan(name, 300 + number), 48, 64)
        seen = shot.view.project(shot.figures[0].joints["waist"])[:, :2] - shot.drift
        inside = (np.abs(seen[:, 0]) < 40) & (np.abs(seen[:, 1]) < 34)
        assert inside.mean() > 0.5, (name, number)


def test_clips_are_dark_or_bright_and_as_bright_as_drawn():
    rng = np.random.default_rng(0)
    lumas = [expose_by(rng, day).luma for day in np.linspace(0, 1, 60)]
    assert min(lumas) < 20 and max(lumas) > 110 and np.ptp(np.log(lumas[:20])) > 1
    one = plan("Wave", 3)
    frames, wanted = film(one, 24, 32)[0], luma_of(one)
    assert abs((frames @ LUMA).mean() / wanted - 1) < 0.1


@pytest.mark.parametrize("name,low,high", [("Walk", 0.5, 2.1), ("Run", 1.5, 5.6)])
def test_feet_do_not_slide(name, low, high):
    for seed in range(4):
        take, motion, (joints, _) = joints_of(name, seed)
        assert low < motion.speed < high
        toes = np.stack([joints[f"{n}_toe"] for n, _ in SIDES])
        down = toes[..., 1].argmin(0)
        ahead = toes[down, np.arange(toes.shape[1]), 2]
        same = down[1:] == down[:-1]
        back = -np.median((np.diff(ahead) / np.diff(take.seconds))[same])
        assert 0.6 < back / motion.speed < 1.4, (seed, back, motion.speed)


def test_actions_do_what_their_names_say():
    for seed in range(4):
        assert joints_of("Jump", seed)[2][0]["l_toe"][:, 1].max() > 0.06
        assert joints_of("Pick", seed, 4)[2][0]["head"][:, 1].min() < 1.3
        assert joints_of("Wave", seed)[2][0]["l_hand"][:, 1].max() > 1.3
        for name, sign in (("Sit", 1), ("Stand", -1)):
            pelvis = joints_of(name, seed)[2][0]["pelvis"][:, 1]
            assert sign * (pelvis[0] - pelvis[-1]) > 0.15
        facing = joints_of("Turn", seed)[2][1]["root"][:, :, 2]
        assert (facing @ facing[0]).min() < 0.8


def test_a_stopped_build_continues_with_the_same_bytes(dataset):
    files = sorted(dataset.glob("clips/*/*.mp4"))
    assert len(files) == 22
    before = {file: file.read_bytes() for file in files}
    for file in files[::7]:
        file.unlink()
    write_street(dataset, **SMALL, workers=1)
    assert {file: file.read_bytes() for file in sorted(dataset.glob("clips/*/*.mp4"))} == before
    settings = json.loads((dataset / "night_figures.json").read_text())
    assert settings["scenes"] == "street" and settings["clips"] == 22


@pytest.mark.parametrize("wrong", [{"clips": 21}, {"height": 50}, {"seed": 1}])
def test_wrong_settings_are_one_line(dataset, wrong):
    with pytest.raises(UserError) as error:
        write_street(dataset, **(SMALL | wrong))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "flags,message",
    [
        (["--clips=30"], "--clips has no effect with --scenes=room"),
        (["--scenes=street", "--light=day"], "--light has no effect with --scenes=street"),
        (["--scenes=street", "--train-per-class=3"], "--train-per-class has no effect"),
    ],
)
def test_flags_of_the_other_set_are_refused(tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        build_flags.parse_args(["night_figures", f"--out={tmp_path}", *flags])


def test_a_build_of_the_room_from_before_the_street_goes_on(tmp_path):
    out = f"--out={tmp_path}"
    room = build._settings(build_flags.parse_args(["night_figures", out]))
    drawing = {"light": "dark", "seed": 0, "train_per_class": 60, "test_per_class": 12, "height": 120, "version": 3}
    assert room == drawing | {key: room[key] for key in ("source", "size", "crf", "max_frames", "codec", "flow", "gop")}
    street = build._settings(build_flags.parse_args(["night_figures", out, "--scenes=street"]))
    assert street["scenes"] == "street" and street["clips"] == 1500 and "light" not in street
    assert build.ROOM not in street.items() and street["version"] == VERSION
