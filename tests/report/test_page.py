"""The report of a run: one page that stands alone, whatever the run held."""

import dataclasses
import json
import re

import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.evaluate import illumination
from lift_flax.report import __main__ as report
from lift_flax.report.page import write_page
from lift_flax.runs import config_file
from tests.report.page_tools import HOSTILE, TRAINING, Built, build, curve_lines, make_workdir, names, rebuild

RECORDED = {  # what `evaluate` adds to a curve
    "num_examples": 6,
    "views": "1x1",
    "recorded": {"luma": 21.0, "student": {"top1": 0.87}, "teacher": {"top1": 0.86}},
}


@pytest.fixture(scope="module")
def eleven(tmp_path_factory) -> Built:
    """The report of a run with eleven classes; its workdir is not to be changed."""
    return build(tmp_path_factory.mktemp("eleven") / "run", [*names(10), HOSTILE])


def test_page_holds_the_run(eleven):
    text, page, workdir, asked = eleven
    assert page.sections == ["summary", "clips", "classes", "confusion", "brightness", "curves", "setup"]
    assert page.tags.count("article") == page.tags.count("video") == len(set(asked)) == 12
    # teacher: loss, accuracy, learning rate; student: loss, distillation, accuracy, learning rate
    assert page.tags.count("svg") == 7
    for words in ("night_figures, fold 3", "22 test clips of 11 classes, 1 clip × 1 crop", "1 min 15 s", "2 × cpu"):
        assert words in page.text
    results = json.loads((workdir / "results.json").read_text())
    for network in ("teacher", "student"):
        scores = results[network]
        for share in (scores["top1"], scores["top5"], scores["mean_class"], scores["ece"], *scores["interval"]):
            assert f"{100 * share:.1f} %" in page.text.split("Test clips")[0]
    assert "not finite and are left out: 2." in page.text
    assert page.text.count("Chance, the share of their most frequent class, is 9.1 %.") == 1
    assert not re.search(r"\bnan\b", text)
    assert len(text) < 6_000_000


def test_summary(eleven):
    for row in (
        "parameters 7,654,321 1,234,567",
        "of these trained 6,543,210 1,234,567",
        "epochs 8 20",
        "steps 32 80",
        "checkpoint used gone gone",  # this workdir holds no checkpoint
        "to train on 32 ",  # 33, one of them for validation
        "for validation 1 ",
        "to test on 22 ",
        "size of each 12 frames of 64 px",
        "python 3.11.9",
        "jax 0.10.2",
    ):
        assert row in eleven.page.text


def test_accuracy_in_training_stands_beside_that_of_the_test(eleven):
    """And a network that has not fitted its clips says so, with the fields to raise."""
    student, teacher = eleven.page.text.split("Test clips")[0].split("Teacher")[:2]
    assert "top-1 in training 32.1 %" in student and "top-1 in training 98.7 %" in teacher
    unfitted = (
        "The student has not fitted its training clips: 32.1 % of them are right in its last epoch, 9.1 % by chance"
    )
    assert unfitted in eleven.page.text and "train.student_epochs (now 8)" in eleven.page.text
    assert "The teacher has not fitted" not in eleven.page.text and TRAINING["teacher"]["fitted"]


def test_a_given_teacher_has_no_phase_here(tmp_path):
    workdir = tmp_path / "run"
    make_workdir(workdir, names(3), lines=list(curve_lines(["student"], validation=False)))
    config = config_file.load(workdir / "config.json")
    train = dataclasses.replace(config.train, teacher_from="/other")
    config_file.save(dataclasses.replace(config, train=train), workdir / "config.json")
    results = json.loads((workdir / "results.json").read_text())
    results["training"]["teacher"] = None
    (workdir / "results.json").write_text(json.dumps(results))
    page = rebuild(workdir).page
    for row in ("epochs 8 –", "steps 32 –", "checkpoint used gone given", "train.teacher_from /other none"):
        assert row in page.text


def test_config_tells_what_differs(eleven):
    differs, every = eleven.page.text.split("what differs from the defaults")[1].split("Config: all ")
    assert "model.teacher.name r2plus1d_tiny r2plus1d_34" in differs
    assert "augment.flip" not in differs and "augment.flip 0.5" in every
    assert "0.43216, 0.394666, 0.37645" in every


def test_brightness(tmp_path):
    _, page, workdir, _ = build(tmp_path / "run", names(4))
    assert f"lift-flax evaluate --workdir={workdir} --illumination" in page.text

    def score(light):
        top1 = 0.9 - 0.05 * abs(np.log2(light.camera.exposure))
        scores = {"top1": top1, "interval": [top1 - 0.1, top1 + 0.1]}
        return {"luma": 20 * light.camera.exposure, "teacher": scores, "student": scores}

    found = illumination.curve(score)
    twin = {"name": HOSTILE, "luma": 90.0, "teacher": {"top1": 0.5}, "student": {"top1": 0.432}}
    (workdir / "illumination.json").write_text(json.dumps({**found, **RECORDED, "twins": [twin]}))
    svgs = page.tags.count("svg")
    page = rebuild(workdir).page
    assert page.tags.count("svg") == svgs + 1 and "script" not in page.tags
    assert "as recorded 21.0 87.0 % 86.0 %" in page.text and "6 clips, views 1x1" in page.text
    assert "× 1/64 0.3 60.0 % 60.0 %" in page.text and f"{HOSTILE} 90.0 43.2 % 50.0 %" in page.text
    assert f"area {100 * found['area']['student']:.1f} %" in page.text


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "write_page", lambda workdir: workdir / "report.html")
    report.main([f"--workdir={tmp_path}"])
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    with pytest.raises(UserError, match="--frob"):
        report.main([f"--workdir={tmp_path}", "--frob"])


def test_page_needs_nothing_else_and_escapes_names(eleven):
    text, page, *_ = eleven
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert "script" not in page.tags
    assert HOSTILE in page.text


def test_clips_show_mistakes_and_correct_answers(eleven):
    clips = eleven.page.text.split("Surest mistakes")[1].split("Accuracy by class")[0]
    wrong, right = clips.split("Surest right answers")
    assert wrong.count("student : ") == right.count("student : ") == 6
    assert len(re.findall(r"student : [^:]* ✗ wrong \(the true class: ", wrong)) == 6
    assert "the true class" not in right and right.count("✓") >= 6


def test_run_without_teacher(tmp_path):
    _, page, *_ = build(tmp_path / "run", names(11), teacher=False)
    assert "This run had no teacher" in page.text
    assert page.tags.count("svg") == 3
    assert page.text.count("student :") == 12 and "teacher :" not in page.text


@pytest.mark.parametrize(("count", "table"), [(2, True), (12, True), (101, False)])
def test_number_of_classes(tmp_path, count, table):
    text, page, *_ = build(tmp_path / "run", names(count))
    assert ('class="matrix"' in text) == table
    assert page.tags.count("article") == min(12, 2 * count)
    assert ("top-5" in page.text) == (count >= 6)


def test_run_without_validation(tmp_path):
    _, page, *_ = build(tmp_path / "run", names(3), validation=False)
    assert "No clips were held out for validation" in page.text
    assert page.tags.count("svg") == 7


def test_short_logs(tmp_path):
    step = {"phase": "student", "split": "train", "step": 1, "epoch": 1.0, "loss": 2.0, "top1": None}
    epoch = step | {"split": "epoch", "learning_rate": 1e-3}
    for lines, svgs in ([step], 1), ([step, epoch], 2):
        assert build(tmp_path / "run", names(3), lines=lines).page.tags.count("svg") == svgs
    assert "Nothing was logged" in build(tmp_path / "run", names(3), lines=[]).page.text


def test_all_right(tmp_path):
    _, page, *_ = build(tmp_path / "run", names(4), accuracy=1.1)
    assert "✗" not in page.text
    assert "No mistakes." in page.text


def test_same_run_gives_the_same_page(eleven, tmp_path):
    again = build(tmp_path / "run", [*names(10), HOSTILE])
    assert again.text.replace(str(again.workdir), str(eleven.workdir)) == eleven.text


FILES = ["config.json", "run.json", "metrics.jsonl", "results.json", "test_predictions.npz", "illumination.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "cut off", "a list", "nothing in it", "other bytes"])
def test_missing_and_damaged_files_are_one_line(tmp_path, name, damage):
    make_workdir(tmp_path, names(3))
    path = tmp_path / name
    if damage == "missing":
        path.unlink(missing_ok=True)
        if name == "illumination.json":  # which a finished run need not have
            return
    else:
        whole = path.read_bytes() if path.exists() else b'{"points": [], "area": 1}'
        half = whole[: len(whole) // 2] + (b"\n" if name == "metrics.jsonl" else b"")  # its last line may be cut off
        other = whole[:100] + bytes(200) + whole[300:] + b"\n"
        path.write_bytes({"cut off": half, "a list": b"[]\n", "nothing in it": b"{}\n", "other bytes": other}[damage])
    with pytest.raises(UserError, match=name) as caught:
        write_page(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_records_that_lack_a_clip_are_one_line(tmp_path):
    make_workdir(tmp_path, names(102))  # the made-up records have clips for 101
    with pytest.raises(UserError, match="holds no clip clip_202, which the run was tested on: build them again"):
        rebuild(tmp_path)
