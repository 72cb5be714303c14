"""Several folders of records as one: clips, classes, splits, shares, and a run on them."""

import contextlib
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_prep import build
from lift_flax.data.batches import batch_ids, read_eval_examples, train_batches
from lift_flax.data.fitting import check_fits, groups_on_both_sides
from lift_flax.data.records import folders_of, mixed, open_records
from lift_flax.errors import UserError
from lift_flax.evaluate import evaluation
from lift_flax.runs.trained import open_trained
from lift_flax.train.run import train_and_test
from tests.conftest import REPRODUCIBLE, moving_bar
from tests.support.small_config import LIGHT, small_config
from tests.support.video_files import write_video


def _make(root: Path) -> None:
    for label, name in ((2, "still"), (0, "aside")):  # one class is the other folder's too, under another label
        for index in range(4):
            split = "train" if index < 3 else "test"
            path = root / "videos" / split / name / f"h{index}.mp4"
            write_video(path, moving_bar(label, 20 + index, 8), **REPRODUCIBLE)
    arguments = ["--videos", str(root / "videos"), "--out", str(root / "other"), "--flow", "--workers", "1"]
    build.main(["folder", *arguments])


@pytest.fixture(scope="session")
def other(build_once: Callable[..., Path]) -> Path:
    return build_once("mixed", _make) / "other"


@pytest.fixture(scope="module")
def both(records, other) -> str:
    return f"{records},{other}"


def test_clips_and_classes_of_both(records, other, both):
    mixed, one, two = (open_records(str(folder)) for folder in (both, records, other))
    assert mixed.classes == (*one.classes, "aside") and two.classes == ("aside", "still")
    assert mixed.place == both and mixed.has_flow and mixed.is_mixed and not one.is_mixed
    for split in ("train", "test"):
        expected = [f"{r.dir.name}:{i}" for r in (one, two) for i in r.split(1, split)]
        assert mixed.split(1, split) == expected
    assert mixed.of_part(mixed.split(1, "test"), "other") == [f"other:{i}" for i in two.split(1, "test")]
    config = small_config(records=both)
    ids = ["other:test/still/h3", "records:test/still/g3_6", "other:test/aside/h3"]
    examples = read_eval_examples(mixed, config, ids)
    assert [mixed.classes[example["label"]] for example in examples] == ["still", "still", "aside"]
    assert [example["id"] for example in examples] == ids
    own = read_eval_examples(two, config, ["test/still/h3", "test/aside/h3"])
    np.testing.assert_array_equal([examples[0]["clip"], examples[2]["clip"]], [example["clip"] for example in own])


def test_one_folder_whose_name_holds_a_comma_is_one_folder(other, tmp_path):
    shutil.copytree(other, tmp_path / "night, day")
    opened = open_records(str(tmp_path / "night, day"))
    assert not opened.is_mixed and opened.place == str(tmp_path / "night, day")
    assert folders_of(opened.place) == [opened.place] and folders_of("a, b") == ["a", "b"]


def test_weights_and_balanced_classes(both):
    mixed = open_records(both)
    ids = mixed.split(1, "train")  # 18 and 6 clips
    weighted = small_config(records=both, **{"data.weights": "1,3"})
    drawn = [i for step in range(1, 7) for i in batch_ids(mixed, weighted, ids, seed=5, step=step)]
    assert Counter(mixed.index[i].part for i in drawn) == {"records": 6, "other": 18}
    balanced = small_config(records=both, **{"data.balance": "classes"})
    drawn = [i for step in range(1, 7) for i in batch_ids(mixed, balanced, ids, seed=5, step=step)]
    counts = Counter(mixed.classes[mixed.index[i].label] for i in drawn)
    # within each folder every class alike: 18 clips of three classes, 6 of two
    assert counts == {"right": 6, "down": 6, "still": 9, "aside": 3}
    plain = small_config(records=both)
    drawn = [i for step in range(1, 7) for i in batch_ids(mixed, plain, ids, seed=5, step=step)]
    assert sorted(drawn) == sorted(ids)


def test_rare_classes_count_for_more(both):
    """Clips of a class count 1 / its number, 1 on average; what is scored counts 1."""
    mixed, config = open_records(both), small_config(records=both, **{"train.class_weights": "inverse"})
    ids = mixed.split(1, "train")
    numbers = {"right": 6, "down": 6, "still": 9, "aside": 3}
    with contextlib.closing(train_batches(mixed, config, ids, seed=5, first_step=0)) as batches:
        for batch in itertools.islice(batches, 6):
            names = [mixed.classes[label] for label in batch["label"]]
            np.testing.assert_allclose(batch["weight"], [24 / (4 * numbers[name]) for name in names], rtol=1e-6)
    assert {float(example["weight"]) for example in read_eval_examples(mixed, config, ids)} == {1.0}


def test_a_mixed_order_resumes_from_its_step(both):
    mixed, config = open_records(both), small_config(records=both, **{"data.weights": "1,3"})

    def batches(first: int, count: int) -> list[dict]:
        found = train_batches(mixed, config, mixed.split(1, "train"), seed=5, first_step=first)
        with contextlib.closing(found):
            return list(itertools.islice(found, count))

    whole, rest = batches(0, 5), batches(3, 2)
    for one, two in zip(whole[3:], rest, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])
    for step, batch in enumerate(whole, 1):
        expected = batch_ids(mixed, config, mixed.split(1, "train"), seed=5, step=step)
        assert batch["id"].tolist() == expected
        assert batch["label"].tolist() == [mixed.index[i].label for i in expected]


@pytest.mark.parametrize(("weights", "message"), [
    ("1", "write a number above 0 for each of the 2 folders"), ("1,0", "above 0"), ("1,two", "above 0"),
])  # fmt: skip
def test_weights_that_cannot_be(both, weights, message):
    with pytest.raises(UserError, match=message):
        check_fits(open_records(both), small_config(records=both, **{"data.weights": weights}))


def test_folders_that_do_not_fit_together(records, other, tmp_path):
    with pytest.raises(UserError, match="names other twice: leave one out"):
        open_records(f"{other},{other}")
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(other, tmp_path / "elsewhere" / "other")
    with pytest.raises(UserError, match="two folders called other: rename one"):
        open_records(f"{other},{tmp_path / 'elsewhere' / 'other'}")
    (tmp_path / "a,b").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="a,b/other has a comma, and commas separate folders"):
        mixed([open_records(str(records)), open_records(str(tmp_path / "a,b" / "other"))])
    with pytest.raises(UserError, match="config.data.dir is empty"):
        open_records(" , ")
    with pytest.raises(UserError, match="nowhere does not exist"):
        open_records(f"{other},nowhere")
    changed = tmp_path / "changed"
    shutil.copytree(other, changed)
    folds = json.loads((changed / "folds.json").read_text())
    (changed / "folds.json").write_text(json.dumps({**folds, "folds": {"2": folds["folds"]["1"]}}))
    with pytest.raises(UserError, match="no fold is in all of these folders"):
        open_records(f"{records},{changed}")
    splits = {**folds["folds"]["1"], "val": ["train/still/h0"]}
    (changed / "folds.json").write_text(json.dumps({**folds, "folds": {"1": splits}}))
    with pytest.raises(UserError, match="1 of 2 folders have validation clips of their own in fold 1"):
        open_records(f"{records},{changed}")


def test_what_not_all_have_is_not_used(records, other, tmp_path):
    """Folds and flow; and how every folder was prepared tells runs apart."""
    changed = tmp_path / "changed"
    shutil.copytree(other, changed)
    folds = json.loads((changed / "folds.json").read_text())
    (changed / "folds.json").write_text(json.dumps({**folds, "folds": {"7": folds["folds"]["1"], **folds["folds"]}}))
    report = json.loads((changed / "prep_report.json").read_text())
    report["settings"] |= {"flow": "none", "size": 128}
    (changed / "prep_report.json").write_text(json.dumps(report))
    mixed = open_records(f"{changed},{records}")
    assert set(mixed.folds) == {"1"} and not mixed.has_flow
    assert open_records(f"{records},{changed}").prepared != open_records(f"{records},{other}").prepared
    with pytest.raises(UserError, match="holds no optical flow"):
        check_fits(mixed, small_config("tiny,luminous=flow", records=f"{changed},{records}"))
    first = open_records(f"{records},{changed}")
    with pytest.raises(UserError, match=f"{changed} holds no optical flow"):  # the one without, whatever the order
        check_fits(first, small_config("tiny,luminous=flow", records=f"{records},{changed}"))
    assert mixed.lacks_fold(7) == first.lacks_fold(7) == f"{records} has no fold 7"


def test_a_clip_is_on_one_side_of_all_folders(records, other, tmp_path):
    swapped = tmp_path / "swapped"
    shutil.copytree(other, swapped)
    folds = json.loads((swapped / "folds.json").read_text())
    fold = folds["folds"]["1"]
    (swapped / "folds.json").write_text(
        json.dumps({**folds, "folds": {"1": {"train": fold["test"], "test": fold["train"]}}})
    )
    place = f"{other},{swapped}"
    with pytest.raises(UserError, match=r"8 test clips are training clips of another folder \(.* is .*: leave one"):
        check_fits(open_records(place), small_config(records=place))
    check_fits(open_records(f"{records},{other}"), small_config(records=f"{records},{other}"))


def test_groups_of_own_clips_on_both_sides_are_noted(other, tmp_path):
    """A person filmed by day to train on and in the dark to test on, under one name."""
    folds = json.loads((other / "folds.json").read_text())
    for name, tested in (("day", ("0", "1")), ("dark", ("2", "3")), ("infrared", ("0", "1"))):
        shutil.copytree(other, tmp_path / name)
        clips = [{**clip, "group": clip["id"][-1], "content": ""} for clip in folds["clips"]]
        sides = {
            side: [c["id"] for c in clips if (c["group"] in tested) == (side == "test")] for side in ("train", "test")
        }
        (tmp_path / name / "folds.json").write_text(json.dumps({**folds, "clips": clips, "folds": {"1": sides}}))
    (line,) = groups_on_both_sides(open_records(f"{tmp_path / 'day'},{tmp_path / 'dark'}"), 1)
    assert line.startswith("note: groups tested in one folder and trained on in another: 4, such as 0.")
    assert groups_on_both_sides(open_records(f"{tmp_path / 'day'},{tmp_path / 'infrared'}"), 1) == []
    assert groups_on_both_sides(open_records(str(tmp_path / "day")), 1) == []


@pytest.mark.slow
def test_a_run_on_both_is_scored_on_each(both, tmp_path):
    fields = {**LIGHT, "data.weights": "1,1", "train.student_epochs": 1, "log.light_curve": True}
    config = small_config(records=both, **fields)
    results = train_and_test(config, tmp_path / "run")
    assert results["num_examples"] == 8 and set(results["parts"]) == {"records", "other"}
    assert [results["parts"][name]["num_examples"] for name in ("records", "other")] == [6, 2]
    mean = sum(part["num_examples"] * part["student"]["top1"] for part in results["parts"].values()) / 8
    assert mean == pytest.approx(results["student"]["top1"])
    run = tmp_path / "run"
    curve = json.loads((run / "illumination.json").read_text())
    assert {name: light["num_examples"] for name, light in results["lights"].items()} == {"records": 6, "other": 2}
    for name, light in results["lights"].items():
        for network in ("teacher", "student"):
            whole = results["parts"][name][network]
            assert light[network] == (whole and {"top1": whole["top1"], "interval": whole["interval"]})
    assert results["area"] == curve["area"] and curve["num_examples"] == 6 and len(curve["points"]) == 9
    assert (run / "illumination.png").stat().st_size > 10_000
    protocol = evaluation.Protocol(illumination=True)
    scored = evaluation.Evaluation(open_trained(run), protocol).run()
    assert scored["illumination"]["picture"] == str(run / "illumination.png")
    assert json.loads((run / "illumination.json").read_text()) == curve  # as the run itself measured it
    assert scored["records"] == both and scored["trained_on"] == 0
    assert scored["parts"]["other"]["student"]["confusion"] == results["parts"]["other"]["student"]["confusion"]
    assert train_and_test(config, tmp_path / "run") == results
    part = evaluation.Protocol(data_dir=both.split(",")[1], split="train")
    scored = evaluation.Evaluation(open_trained(tmp_path / "run"), part).run()
    assert scored["trained_on"] == scored["num_examples"] == 6  # they are seen where they lie alone, too
    shutil.copytree(both.split(",")[1], tmp_path / "copy")
    part = evaluation.Protocol(data_dir=tmp_path / "copy", split="train")
    assert evaluation.Evaluation(open_trained(run), part).run()["trained_on"] == 6  # by their pictures
    part = evaluation.Protocol(data_dir=both.split(",")[1], illumination=True)
    assert "picture" not in evaluation.Evaluation(open_trained(run), part).run()["illumination"]
    assert json.loads((run / "illumination.json").read_text()) == curve  # a part's does not replace the run's
