"""The embedded data set: reproducible, honest splits, ARID's light and layout, and the same act in every light."""

import json

import av
import numpy as np
import pytest

from data_prep.night_figures.pose import SIDES
from data_prep.night_figures.scene import LIGHTS, perform, render_scene
from data_prep.night_figures.write import (
    CLASSES,
    clip_frames,
    encode_clip,
    plan_clips,
    render_clip,
    write_dataset,
)
from lift_flax.errors import UserError
from lift_flax.video.gamma import LUMA

SMALL = {"train_per_class": 1, "test_per_class": 1, "height": 48, "num_frames": (4, 6), "fps": 20}


def decode(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("night")
    write_dataset(out, **SMALL, workers=2)
    return out


def test_the_eleven_classes_in_alphabetical_order():
    assert " ".join(CLASSES) == "Drink Jump Pick Pour Push Run Sit Stand Turn Walk Wave"


@pytest.mark.parametrize("train,test", [(40, 12), (5, 1), (1, 0), (9, 9)])
def test_plan_keeps_groups_and_seeds_apart(train, test):
    plans = plan_clips(3, train, test)
    assert len(plans) == len(CLASSES) * (train + test) == len({plan.name for plan in plans})
    assert len({plan.seed for plan in plans}) == len(plans)
    sides = [[plan for plan in plans if plan.split == split] for split in ("train", "test")]
    for field in ("group", "scene_seed"):
        assert not {getattr(plan, field) for plan in sides[0]} & {getattr(plan, field) for plan in sides[1]}
    for plan in plans:
        name, group, _ = plan.name.split("/")[1].split("_")
        assert (name, int(group)) == (plan.class_name, plan.group) and CLASSES[plan.label] == name
    scenes = {plan.group: plan.scene_seed for plan in plans}
    assert all(scenes[plan.group] == plan.scene_seed for plan in plans)


def test_a_scene_serves_several_classes():
    classes_of = {}
    for plan in plan_clips(0, 40, 12):
        classes_of.setdefault((plan.split, plan.group), set()).add(plan.class_name)
    assert min(len(classes) for classes in classes_of.values()) >= 3


@pytest.mark.parametrize("light", LIGHTS)
def test_rendering_is_deterministic(light):
    plan = plan_clips(0, 1, 0)[4]
    first, again = (render_clip(plan, light, 60, 80, 5, 20) for _ in range(2))
    assert first.shape == (5, 60, 80, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)


def test_encoding_is_deterministic(tmp_path):
    frames = render_clip(plan_clips(0, 1, 0)[7], "dark", 120, 160, 8, 20)
    for number in range(12):
        encode_clip(frames, tmp_path / f"{number}.mp4", 20)
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1


def test_an_unknown_light_is_refused():
    with pytest.raises(ValueError, match="infrared"):
        render_clip(plan_clips(0, 1, 0)[0], "dusk", 60, 80, 5, 20)


def test_twins_move_alike():
    plans = plan_clips(0, 1, 0)
    for plan in (plans[1], plans[6], plans[8]):
        day, warm = (render_scene(plan, light, 60, 80, 21, 20)[::10] @ LUMA for light in ("day", "infrared"))
        body = (warm > 0.2).any(0)  # where the figure is in any of the three frames
        assert 0.02 < body.mean() < 0.4
        change = np.abs(np.diff(day, axis=0)).max(0)
        assert change[body].mean() > 4 * np.median(change[~body]), plan.name


def test_dark_clips_are_as_dark_as_arid():
    plans = plan_clips(0, 40, 12)[::11]
    means = [(render_clip(plan, "dark", 48, 64, 7, 3) @ LUMA).mean() for plan in plans]
    assert min(means) > 7 and max(means) < 52 and 12 < np.median(means) < 25


def test_bones_keep_their_lengths_and_feet_stay_above_the_floor():
    for plan in plan_clips(1, 1, 0):
        joints = perform(plan, 30, 20).joints
        for a, b in (("l_hip", "l_knee"), ("r_knee", "r_ankle"), ("l_shoulder", "l_elbow"), ("r_elbow", "r_wrist")):
            length = np.linalg.norm(joints[a] - joints[b], axis=-1)
            np.testing.assert_allclose(length, length[0], rtol=1e-6, err_msg=f"{plan.class_name} {a}")
        assert min(joints["l_toe"][:, 1].min(), joints["r_toe"][:, 1].min()) > 0


def test_actions_do_what_their_names_say():
    acts = {plan.class_name: perform(plan, 40, 20) for plan in plan_clips(0, 1, 0)}
    height = {name: act.joints["pelvis"][:, 1] for name, act in acts.items()}
    assert height["Sit"][0] - height["Sit"][-1] > 0.3 and height["Stand"][-1] - height["Stand"][0] > 0.3
    assert min(acts["Jump"].joints[f"{n}_toe"][:, 1].max() for n, _ in SIDES) > 0.2
    facing = acts["Turn"].frames["root"][:, :, 2]
    assert (facing @ facing[0]).min() < -0.9
    way = {name: np.linalg.norm(np.ptp(acts[name].joints["pelvis"][:, [0, 2]], axis=0)) for name in acts}
    assert way["Run"] > way["Walk"] > way["Push"] > way["Wave"]


def test_lists_parse_and_files_decode(dataset):
    plans = {plan.name: plan for plan in plan_clips(0, 1, 1)}
    seen = set()
    for split in ("train", "test"):
        lines = (dataset / f"ARID_split1_{split}.txt").read_text().splitlines()
        for number, line in enumerate(lines):
            video_id, class_id, file = line.split("\t")
            plan = plans[file.removesuffix(".mp4")]
            assert int(video_id) == number and int(class_id) == plan.label and plan.split == split
            assert decode(dataset / "clips" / file).shape == (clip_frames(plan, (4, 6)), 48, 64, 3)
            seen.add(plan.name)
    assert seen == set(plans)
    table = [line.split("\t") for line in (dataset / "mapping_table.txt").read_text().splitlines()]
    assert table == [[str(label), name] for label, name in enumerate(CLASSES)]


def test_a_stopped_run_continues_and_workers_do_not_matter(dataset):
    files = sorted(dataset.glob("clips/*/*.mp4"))
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    for file in files[::5]:
        file.unlink()
    (files[0].parent / ".killed.1.part.mp4").touch()
    write_dataset(dataset, **SMALL, workers=1)
    assert sorted(dataset.glob("clips/*/*")) == sorted(dataset.glob("clips/*/*.mp4")) == files
    for number, file in enumerate(files):
        assert file.read_bytes() == before[file][0], file
        assert number % 5 == 0 or file.stat().st_mtime_ns == before[file][1]


def test_other_settings_in_the_same_folder_are_refused(dataset):
    with pytest.raises(UserError, match="other settings .*light.*choose another folder"):
        write_dataset(dataset, **SMALL, light="day")
    assert json.loads((dataset / "night_figures.json").read_text())["light"] == "dark"


@pytest.mark.parametrize("wrong", [{"light": "dusk"}, {"height": 50}, {"num_frames": (9, 4)}, {"seed": -1}])
def test_wrong_settings_are_one_line(tmp_path, wrong):
    with pytest.raises(UserError) as error:
        write_dataset(tmp_path / "out", **(SMALL | wrong))
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
