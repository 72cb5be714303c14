"""The report of a run: one page that stands alone, whatever the run held."""

import dataclasses
import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest

from configs import demo
from lift_flax import config as config_lib
from lift_flax import config_file, film, metrics, report
from lift_flax.data import flow
from lift_flax.data.records import Records
from lift_flax.errors import UserError

VOID = {"meta", "img", "br", "link", "hr"}
HOSTILE = "<script>alert('$x$')</script> & \"co\""


class Page(html.parser.HTMLParser):
    """Checks that tags nest; collects sections, text, and every attribute that could load something."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.sections, self.words, self.links, self.tags = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        attrs = dict(attrs)
        if tag == "section":
            self.sections.append(attrs["id"])
        self.links += [attrs[name] for name in ("src", "href", "xlink:href", "srcset") if name in attrs]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)


def make_workdir(
    workdir: Path,
    classes: list[str],
    *,
    teacher: bool = True,
    validation: bool = True,
    lines: list[dict] | None = None,
    accuracy: float = 0.7,
) -> None:
    """Writes the files of a finished run with two test clips per class."""
    workdir.mkdir(exist_ok=True)
    config = config_lib.from_dict(demo.get_config().to_dict())
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, distill=teacher))
    config_file.save(config, workdir / "config.json")
    facts = {"classes": classes, "validation_ids": ["v1"], "versions": {"jax": "0.10.2"}, "python": "3.11.9"}
    (workdir / "run.json").write_text(json.dumps({**facts, "devices": ["cpu", "cpu"]}))
    if lines is None:
        lines = list(curve_lines(["teacher", "student"] if teacher else ["student"], validation))
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_predictions(workdir, classes, teacher, accuracy)


def curve_lines(phases: list[str], validation: bool):
    """Lines as the writer of metrics.jsonl leaves them: 5 epochs, a value that was not finite among them."""
    for phase in phases:
        for step in range(1, 21):
            loss = 2.4 / step**0.5
            line = {"phase": phase, "split": "train", "step": step, "epoch": step / 4, "loss": loss, "top1": step / 25}
            if phase == "student":
                line |= {"cross_entropy": loss / 2, "distillation": loss / 2 if len(phases) == 2 else None}
            yield line | ({"loss": None, "cross_entropy": None} if step == 3 else {})
            if validation and step % 4 == 0:
                yield line | {"split": "validation", "top1": step / 30}


def write_predictions(workdir: Path, classes: list[str], teacher: bool, accuracy: float) -> None:
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(len(classes)), 2)
    arrays = {}
    for name in ("logits", "teacher_logits") if teacher else ("logits",):
        arrays[name] = rng.normal(size=(len(labels), len(classes))).astype(np.float32)
        sure = rng.random(len(labels)) < accuracy
        arrays[name][sure, labels[sure]] += 9
        arrays[name][~sure, (labels[~sure] + 1) % len(classes)] += 9
    scores = {
        name: metrics.judge(v, labels, [str(i) for i in range(len(labels))], tuple(classes))
        for name, v in arrays.items()
    }
    ids = np.array([f"clip_{i}" for i in range(len(labels))])
    np.savez_compressed(workdir / "test_predictions.npz", ids=ids, labels=labels, loss=np.float64(1), **arrays)
    results = {"dataset": "night_figures", "fold": 3, "split": "test", "views": "1x1", "num_examples": len(labels)}
    results |= {
        "classes": classes,
        "teacher": scores.get("teacher_logits"),
        "student": scores["logits"],
        "seconds": 75.4,
    }
    (workdir / "results.json").write_text(json.dumps(results))


@pytest.fixture
def build(tmp_path, monkeypatch):
    """A function that makes a workdir, writes its report, and returns (text of the page, the page parsed)."""
    asked: list[str] = []

    def read_eval_examples(records, config, ids):
        asked[:] = ids
        shape = (config.data.num_frames, config.data.size, config.data.size, 3)
        clips = np.random.default_rng(0).integers(0, 60, (len(ids), *shape), np.uint8)
        return [{"id": i, "clip": clip, "flow": clip[..., :2]} for i, clip in zip(ids, clips, strict=True)]

    monkeypatch.setattr(
        report, "open_records", lambda folder: Records(tmp_path, (), {}, {}, tmp_path, "folder", {"flow": "dis"})
    )
    monkeypatch.setattr(report, "read_eval_examples", read_eval_examples)

    def build(classes, **options):
        workdir = tmp_path / "run"
        make_workdir(workdir, classes, **options)
        report.write(workdir)
        assert not (workdir / "report.part").exists()
        text = (workdir / "report.html").read_text(encoding="utf-8")
        return text, Page(text)

    build.asked, build.workdir = asked, tmp_path / "run"
    return build


def test_flow_is_drawn_in_colours():
    codes = flow.encode(np.array([[[[10.0, 0.0], [-10.0, 0.0], [0.0, 0.0], [0.0, 5.0]]]]))
    red, cyan, black, green = film.colour_flow(codes)[0, 0]
    assert red.tolist() == [255, 0, 0] and black.tolist() == [0, 0, 0]
    assert cyan[0] == 0 and cyan[1:].min() > 250 and 100 < green[1] < 140 and green[2] == 0


def names(count: int) -> list[str]:
    return [f"action {i}" for i in range(count)]


def test_page_holds_the_run(build):
    text, page = build([*names(10), HOSTILE])
    assert page.sections == ["clips", "classes", "confusion", "curves", "setup"]
    assert page.tags.count("article") == page.tags.count("img") == len(set(build.asked)) == 12
    assert page.tags.count("svg") == 5  # teacher: loss, accuracy; student: loss, distillation, accuracy
    for words in ("night_figures, fold 3", "22 test clips of 11 classes, 1 clip × 1 crop", "1 min 15 s", "2 × cpu"):
        assert words in page.text
    results = json.loads((build.workdir / "results.json").read_text())
    for network in ("teacher", "student"):
        for top in ("top1", "top5"):
            assert f"{100 * results[network][top]:.1f} %" in page.text
    assert "augment.flip 0.5" in page.text
    assert "0.43216, 0.394666, 0.37645" in page.text
    assert "not finite and are left out: 2." in page.text
    assert not re.search(r"\bnan\b", text)
    assert len(text) < 1_500_000


def test_page_needs_nothing_else_and_escapes_names(build):
    text, page = build([HOSTILE, "b"])
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert "script" not in page.tags
    assert HOSTILE in page.text


def test_clips_show_mistakes_and_correct_answers(build):
    _, page = build(names(11))
    assert page.text.count("✗ wrong") >= 4
    assert page.text.count("✓") >= 4
    assert all(f" {name} " in page.text.split("Accuracy by class")[0] for name in names(11))


def test_run_without_teacher(build):
    _, page = build(names(11), teacher=False)
    assert "This run had no teacher" in page.text
    assert page.tags.count("svg") == 2
    assert page.text.count("student :") == 12 and "teacher :" not in page.text


@pytest.mark.parametrize(("count", "table"), [(2, True), (12, True), (101, False)])
def test_number_of_classes(build, count, table):
    text, page = build(names(count))
    assert ('class="matrix"' in text) == table
    assert page.tags.count("article") == min(12, 2 * count)
    assert ("top-5" in page.text) == (count >= 6)
    assert len(text) < 1_500_000


def test_run_without_validation(build):
    _, page = build(names(3), validation=False)
    assert "No clips were held out for validation" in page.text
    assert page.tags.count("svg") == 5


def test_short_logs(build):
    line = {"phase": "student", "split": "train", "step": 1, "epoch": 1.0, "loss": 2.0, "top1": None}
    _, page = build(names(3), lines=[line])
    assert page.tags.count("svg") == 1
    _, page = build(names(3), lines=[])
    assert "Nothing was logged" in page.text


def test_all_right(build):
    _, page = build(names(4), accuracy=1.1)
    assert "✗" not in page.text
    assert "No mistakes." in page.text


def test_same_run_gives_the_same_page(build):
    assert build(names(11))[0] == build(names(11))[0]


@pytest.mark.parametrize("name", ["config.json", "run.json", "metrics.jsonl", "results.json", "test_predictions.npz"])
def test_unfinished_workdir(tmp_path, name):
    make_workdir(tmp_path, names(3))
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=name) as caught:
        report.write(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_choose_clips_covers_classes_and_kinds():
    labels = np.repeat(np.arange(11), 4)
    right = np.ones(44, bool)
    right[labels == 10] = False  # a class that is never recognised
    right[[1, 5, 9, 13, 17, 21, 25, 29]] = False
    chosen = report.choose_clips(labels, right, 12)
    assert len(set(chosen)) == 12
    assert set(labels[chosen]) == set(range(11))
    assert np.sum(right[chosen]) == 6
    assert chosen == report.choose_clips(labels, right, 12)


@pytest.mark.parametrize("wrong", [0, 1, 5])
def test_choose_clips_takes_what_there_is(wrong):
    labels, right = np.zeros(5, int), np.arange(5) >= wrong
    assert sorted(report.choose_clips(labels, right, 12)) == list(range(5))
    assert np.sum(~right[report.choose_clips(labels, right, 3)]) == min(wrong, 1) + 2 * (wrong == 5)
