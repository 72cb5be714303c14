"""Folders as people arrange them: which level is the class, which the split; what is open is asked, never guessed."""

import os
from pathlib import Path

import pytest

from data_prep.audit import items
from data_prep.sources import folder, video_list
from data_prep.sources.layout import split_of
from lift_flax.errors import UserError


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def _splits(root: Path, **flags) -> dict[str, list[str]]:
    return folder.read(root, **flags).folds["1"]


@pytest.mark.parametrize(("train", "test"), [
    ("train", "val"), ("Train", "Test"), ("training", "validation"), ("TRAIN", "valid"), ("train_set", "test-set"),
])  # fmt: skip
def test_usual_names_are_splits_in_any_case(tmp_path, capsys, train, test):
    """Also for an audit: the class is on the same level in both."""
    _touch(tmp_path, *(f"{side}/{name}/{i}.mp4" for side in (train, test) for name in ("fall", "walk") for i in (1, 2)))
    result = folder.read(tmp_path)
    assert result.classes == ["fall", "walk"]
    assert {split: {id.split("/")[0] for id in ids} for split, ids in result.folds["1"].items()} == {
        "train": {train}, "test": {test},
    }  # fmt: skip
    said = capsys.readouterr().out
    assert (f"none is named test, so {test} is the test split" in said) == (split_of(test) == "val")
    found, folds = items.find_items(tmp_path)
    assert {(item.split, item.label) for item in found} == {(s, c) for s in ("train", "test") for c in result.classes}
    assert {split: len(names) for split, names in folds["1"].items()} == {"train": 4, "test": 4}


def test_validation_beside_a_test_split_is_kept_for_training(tmp_path, capsys):
    names = [f"{side}/{name}/{i}.mp4" for side in ("train", "valid", "test") for name in "ab" for i in (1, 2)]
    splits = _splits(_touch(tmp_path, *names))
    assert {split: len(ids) for split, ids in splits.items()} == {"train": 4, "val": 4, "test": 4}
    assert all(id.startswith("valid/") for id in splits["val"])
    assert "training takes the validation split to choose its checkpoints" in capsys.readouterr().out
    assert {item.split for item in items.find_items(tmp_path)[0]} == {"train", "val", "test"}


def test_splits_may_lie_in_the_class_folders(tmp_path):
    names = [f"{name}/{side}/{i}.mp4" for name in "ab" for side in ("train", "test") for i in (1, 2)]
    assert _splits(_touch(tmp_path, *names))["test"] == ["a/test/1", "a/test/2", "b/test/1", "b/test/2"]


SITES = [f"{site}/{name}/{i}.mp4" for site in ("site_a", "site_b") for name in ("fall", "walk") for i in (1, 2)]


@pytest.mark.parametrize(("names", "question"), [
    (SITES, r"is the class of .*site_a/fall/1.mp4 'site_a' or 'fall'\?  There are folders site_a, site_b, and in them "
            r"fall, walk: answer with --class-level=1 or --class-level=2, or name"),
    ([f"my/{name}" for name in ("fall/1.mp4", "walk/2.mp4")], r"point --videos at .*/my, or give --class-level=2"),
    ([f"{side}/{name}" for side in ("train", "test") for name in SITES],
     r"is the class of .*test/site_a/fall/1.mp4 'site_a' or 'fall'\? .* --class-level=2 or --class-level=3"),
    (["train/a/1.mp4", "extra/a/2.mp4"], r"is the class of .*extra/a/2.mp4 'extra' or 'a'\?"),
    (["train/1.mp4", "test/2.mp4"], "test/2.mp4 is in no class folder; expected .*/test/CLASS/2.mp4"),
    (["train/a/1.mp4", "Train/a/2.mp4", "test/a/3.mp4"], "Train and train are both the train split: make them one"),
    (["val/a/1.mp4", "test/a/2.mp4"], "has only one of the folders train and test, test; add a folder train"),
    (["train/a/1.mp4", "val/a/2.mp4", "val/b/2.mp4"], "class b has videos in .*/val but none in .*/train"),
    (["train/a/1.mp4", "val/b/2.mp4", "test/a/3.mp4"], "class b has videos in .*/val but none in .*/train"),
])  # fmt: skip
def test_what_is_open_is_asked_in_one_line(tmp_path, names, question):
    with pytest.raises(UserError, match=question) as asked:
        folder.read(_touch(tmp_path, *names))
    assert "\n" not in str(asked.value)


def test_the_answer_is_a_flag(tmp_path, capsys):
    _touch(tmp_path, *SITES)
    assert folder.read(tmp_path, class_level=1).classes == ["site_a", "site_b"]
    by_action = folder.read(tmp_path, class_level=2, group_regex="^([^/]+)/", test_groups="site_b")
    assert by_action.classes == ["fall", "walk"] and {id[:6] for id in by_action.folds["1"]["test"]} == {"site_b"}
    found, _ = items.find_items(tmp_path)
    assert {item.label for item in found} == {"all"} and "classes unknown: is the class of" in capsys.readouterr().out
    assert {item.label for item in items.find_items(tmp_path, 2)[0]} == {"fall", "walk"}
    with pytest.raises(UserError, match="site_a/fall/1.mp4 is in no class folder; expected .*/site_a/fall/CLASS/1.mp4"):
        folder.read(tmp_path, class_level=3)


def test_names_of_splits_may_be_classes(tmp_path):
    _touch(tmp_path, *(f"{name}/{i}.mp4" for name in ("train", "bus") for i in (1, 2, 3)))
    assert folder.read(tmp_path).classes == ["bus", "train"]  # vehicles: nothing else would make sense
    _touch(tmp_path, "test/1.mp4", "test/2.mp4")
    with pytest.raises(UserError, match="bus is beside the folders train and test; .* or give --class-level=1"):
        folder.read(tmp_path)
    assert folder.read(tmp_path, class_level=1).classes == ["bus", "test", "train"]


def test_folders_in_class_folders_are_of_that_class(tmp_path):
    _touch(tmp_path, "a/1.mp4", "a/night/2.mp4", "b/day/3.mp4", "b/day/4.mp4")
    assert folder.read(tmp_path).classes == ["a", "b"]


def test_class_folders_may_be_links(tmp_path, capsys):
    pool = _touch(tmp_path / "pool", "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in "ab":
        (videos / name).symlink_to(pool / name)
    (pool / "a" / "up").symlink_to(videos)
    (videos / "c").symlink_to(tmp_path / "gone")
    assert [clip.id for clip in folder.read(videos).clips] == ["a/1", "a/2", "b/1", "b/2"]
    assert f"left out: {videos / 'c'} is a link to {tmp_path / 'gone'}, which is missing" in capsys.readouterr().out
    (videos / "d").symlink_to(pool / "a")  # was "holds no video"
    assert len(video_list.find_videos(videos)) == 6
    with pytest.raises(UserError, match=r"a/1.mp4 and .*d/1.mp4 are one file, by a link; remove one of them"):
        folder.read(videos)


def test_composed_and_decomposed_letters_are_the_same_name(tmp_path):
    composed, decomposed = "Fu\u00dfg\u00e4nger", "Fu\u00dfga\u0308nger"
    _touch(tmp_path, f"train/{composed}/1.mp4", "train/b/1.mp4", f"test/{decomposed}/1.mp4", "test/b/1.mp4")
    result = folder.read(tmp_path, group_regex=r"(tr|te)")
    assert result.classes == [composed, "b"]
    assert f"test/{composed}/1" in result.folds["1"]["test"]
    assert os.path.exists(next(clip.path for clip in result.clips if clip.id == f"test/{composed}/1"))
    _touch(tmp_path, f"train/{decomposed}/1.mp4")
    with pytest.raises(UserError, match="two files share the id train/"):
        folder.read(tmp_path)


def test_names_that_differ_by_case_only_are_noted(tmp_path, capsys):
    _touch(tmp_path, *(f"{name}/{i}.mp4" for name in ("Walk", "walk") for i in (1, 2)))
    assert folder.read(tmp_path).classes == ["Walk", "walk"]
    assert "note: Walk and walk are two classes; if they are one, spell it in one way" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["two\nlines", "a\tb", "caf\udce9", "para\u2029graph", "w" * 201])
def test_class_names_that_no_table_can_show_are_refused(name):
    with pytest.raises(
        UserError, match="has a line break, a tab or bytes that are not UTF-8; rename it|has 201 char"
    ) as e:
        video_list.fit_name(name, "the class folder")
    assert str(e.value).isprintable()
