"""Folds and test splits of whole groups: no group is ever on both sides."""

import collections
import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from data_prep.sources import folder, infar, own_splits
from data_prep.sources.video_list import SourceClip, VideoList
from lift_flax.errors import UserError

ACTORS = ["daria", "eli", "ido", "moshe"]
PEOPLE = {"group_regex": "/([a-z]+)_"}


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Two actions by four people, two clips of each; eli has no clip of one."""
    for action, actor, take in itertools.product(("bend", "walk"), ACTORS, (1, 2)):
        if (action, actor) != ("walk", "eli"):
            path = tmp_path / "videos" / action / f"{actor}_{take}.avi"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path / "videos"


def _csv(videos: Path, head: str, cell) -> Path:
    """A list of `videos` whose last columns are what `cell` gives for an actor."""
    clips = [path.relative_to(videos) for path in sorted(videos.rglob("*.avi"))]
    lines = [f"{clip},{clip.parent.name},{cell(clip.name.split('_')[0])}\n" for clip in clips]
    path = videos.parent / "list.csv"
    path.write_text(f"path,label,{head}\n" + "".join(lines))
    return path


def _check_sides(result: VideoList) -> None:
    """Every clip is tested once, and no group of a fold is on both sides."""
    group_of = {clip.id: clip.group for clip in result.clips}
    assert sorted(id for splits in result.folds.values() for id in splits["test"]) == sorted(group_of)
    for splits in result.folds.values():
        assert sorted(splits["train"] + splits["test"]) == sorted(group_of)
        trained, tested = ({group_of[id] for id in splits[side]} - {""} for side in ("train", "test"))
        assert not trained & tested


@pytest.mark.parametrize("reader", [folder, infar])
def test_leave_one_person_out(videos, reader):
    result = reader.read(videos, **PEOPLE, folds="groups")
    _check_sides(result)
    assert result.tests_on == {"1": "daria", "2": "eli", "3": "ido", "4": "moshe"}
    assert result.folds["2"]["test"] == ["bend/eli_1", "bend/eli_2"]
    listed = reader.read(videos, csv_file=_csv(videos, "group", str), folds="groups")
    assert (listed.folds, listed.tests_on) == (result.folds, result.tests_on)


def test_folds_of_whole_groups(videos):
    result = folder.read(videos, **PEOPLE, folds=2)
    _check_sides(result)
    counts = [list(splits["test"].values()) for splits in result.counts().values()]
    assert sorted(counts) == [[4, 2], [4, 4]], "as even as whole people allow"
    assert sorted(", ".join(result.tests_on.values()).split(", ")) == ACTORS


def test_groups_by_name(videos):
    result = folder.read(videos, **PEOPLE, test_groups="ido, daria")
    assert {id.split("/")[1].split("_")[0] for id in result.folds["1"]["test"]} == {"ido", "daria"}
    table = _csv(videos, "group", lambda actor: f'"{actor}, night"')
    comma = folder.read(videos, csv_file=table, test_groups="eli, night")
    assert {clip.group for clip in comma.clips if clip.id in comma.folds["1"]["test"]} == {"eli, night"}


@pytest.mark.parametrize(("flags", "fold"), [
    ({"folds": "groups"}, "1"),
    ({"folds": 4}, r"\d"),
    ({"test_groups": "eli"}, "1"),
    ({"test_groups": "ido"}, None),
])  # fmt: skip
def test_groups_that_differ_in_case_on_both_sides(videos, flags, fold, capsys):
    listed = _csv(videos, "group", lambda actor: "Eli" if actor == "daria" else actor)
    folder.read(videos, csv_file=listed, **flags)
    said = capsys.readouterr().out
    note = rf"note: Eli and eli are two groups, on both sides of fold {fold}; if they are one, spell it in one way\n"
    assert re.fullmatch(note, said) if fold else not said
    folder.read(videos)  # without groups
    assert not capsys.readouterr().out


def test_folds_of_a_list(videos):
    numbers = dict(zip(ACTORS, (2, 10, 2, 0), strict=True))
    result = folder.read(videos, csv_file=_csv(videos, "fold", numbers.get))
    _check_sides(result)
    assert list(result.folds) == ["0", "2", "10"] and not result.tests_on
    named = folder.read(videos, csv_file=_csv(videos, "group,fold", lambda actor: f"{actor},part {numbers[actor]}"))
    assert named.tests_on == {"1": "part 0", "2": "part 2", "3": "part 10"}
    assert named.folds["1"] == result.folds["0"] and named.clips[0].group == "daria"
    table = _csv(videos, "split,group", lambda actor: f"{'Test' if actor == 'ido' else 'train'},{actor}")
    split = folder.read(videos, csv_file=table)
    assert {id.split("/")[1][:3] for id in split.folds["1"]["test"]} == {"ido"}


@pytest.mark.parametrize(("flags", "message"), [
    ({"folds": 3}, r"--folds needs the group of each clip, and 14 of 14 have none.* --group-regex, or in a column"),
    ({"folds": "groups"}, "--folds needs the group of each clip"),
    ({"test_groups": "eli"}, "--test-groups needs the group of each clip"),
    ({"folds": 5, **PEOPLE}, "--folds=5 needs at least two folds and no more than there are groups: daria, eli"),
    ({"folds": 2, "group_regex": "(bend|walk)"}, "all clips of class bend are of group bend, so the fold that tests"),
    ({"test_groups": "eli,dari", **PEOPLE}, "--test-groups: no clip is of group 'dari'; there are daria, eli"),
    ({"test_groups": "eli,ido,daria,moshe", **PEOPLE}, "class bend has no training clip in fold 1"),
    ({"test_groups": "eli", "folds": 2, **PEOPLE}, "--folds=2 give the splits: leave out --test-groups"),
    ({"test_share": 0.3, "seed": 2, "folds": 2, **PEOPLE}, "--folds=2 give the splits: leave out --test-share$"),
    ({"seed": 2, "folds": "groups", **PEOPLE}, "--folds=groups give the splits: leave out --seed"),
    ({"seed": 2, "test_groups": "eli", **PEOPLE}, "--test-groups give the splits: leave out --seed"),
])  # fmt: skip
def test_refused_in_one_line(videos, flags, message):
    with pytest.raises(UserError, match=message) as caught:
        folder.read(videos, **flags)
    assert "\n" not in str(caught.value)


def test_a_list_that_gives_splits_takes_no_flag_that_does(videos):
    path = _csv(videos, "fold", ACTORS.index)
    with pytest.raises(UserError, match="list.csv give the splits: leave out --folds"):
        folder.read(videos, csv_file=path, folds=2)
    path = _csv(videos, "group,fold", lambda actor: f"{actor},{ACTORS.index(actor) % 2}")
    path.write_text(path.read_text().replace("daria_2.avi,walk,daria,0", "daria_2.avi,walk,daria,1"))
    with pytest.raises(UserError, match="group daria is on both sides of fold 0"):
        folder.read(videos, csv_file=path)
    with pytest.raises(UserError, match="the CSV has a column group: leave out --group-regex"):
        folder.read(videos, csv_file=path, group_regex="(x)")


def _uneven(loads: np.ndarray) -> float:
    """How far counts [folds, classes] are from even shares of each class and of all clips."""
    total, even = loads.sum(axis=0), 1 / len(loads)
    return float(((loads / total - even) ** 2).sum() + ((loads.sum(axis=1) / total.sum() - even) ** 2).sum())


def test_folds_are_as_even_as_whole_groups_allow():
    """Compared with every way to deal groups out."""
    rng = np.random.default_rng(0)
    for folds, groups in ((2, 8), (3, 7), (4, 6)):
        counts = rng.integers(0, 6, (groups, 3)) + (np.arange(groups)[:, None] < 2)
        clips = [
            SourceClip(Path(f"{g}/{c}/{i}.mp4"), c, f"{g}/{c}/{i}", f"g{g}")
            for g, c in np.ndindex(counts.shape) for i in range(counts[g, c])
        ]  # fmt: skip
        dealt = VideoList(list("abc"), clips, own_splits.make_folds(list("abc"), clips, folds, seed=1)[0])
        _check_sides(dealt)
        ours = np.array([list(splits["test"].values()) for splits in dealt.counts().values()])

        ways = (np.array(way) for way in itertools.product(range(folds), repeat=groups))
        best = min(_uneven(np.stack([counts[way == f].sum(axis=0) for f in range(folds)])) for way in ways)
        assert _uneven(ours) <= 1.5 * best + 1e-3


def test_a_class_of_two_groups_is_trained_on_in_every_fold():
    """The two are dealt to different folds, though even numbers of clips would have them in one."""
    groups = {"a": 8, "b": 8, "c": 1, "d": 1}
    labels = collections.defaultdict(int, c=1, d=1)
    clips = [SourceClip(Path(f"{g}{i}"), labels[g], f"{g}{i}", g) for g, n in groups.items() for i in range(n)]
    made, tests_on = own_splits.make_folds(["x", "y"], clips, 2, 0)
    VideoList(["x", "y"], clips, made).check()
    assert sorted(len(names.split(", ")) for names in tests_on.values()) == [2, 2]
