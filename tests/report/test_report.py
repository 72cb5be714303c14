"""The report of a run: one page that stands alone, whatever the run held."""

import base64
import dataclasses
import html.parser
import io
import json
import re
from pathlib import Path

import av
import numpy as np
import pytest

from configs import demo
from lift_flax import config as config_lib
from lift_flax.data.records import IndexEntry, Records
from lift_flax.errors import UserError
from lift_flax.evaluate import illumination, metrics
from lift_flax.report import __main__ as report
from lift_flax.report import clips as report_clips
from lift_flax.report import figures, film
from lift_flax.runs import config_file
from lift_flax.video import flow_codes

VOID = {"meta", "img", "br", "link", "hr"}
RECORDED = {  # what `evaluate` adds to a curve
    "num_examples": 6,
    "views": "1x1",
    "recorded": {"luma": 21.0, "student": {"top1": 0.87}, "teacher": {"top1": 0.86}},
}
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
        self.links += [attrs[name] for name in ("src", "href", "xlink:href", "srcset", "poster") if name in attrs]

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
    accuracy: float = 0.5,
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

    index = {f"clip_{i}": IndexEntry(i, i // 2, "") for i in range(202)}
    folds = {"1": {"train": [f"train_{i}" for i in range(33)]}}
    records = Records(tmp_path, (), folds, index, tmp_path, "folder", {"flow": "dis"})
    monkeypatch.setattr(report, "open_records", lambda folder: records)
    monkeypatch.setattr(report_clips, "read_eval_examples", read_eval_examples)

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
    codes = flow_codes.encode(np.array([[[[10.0, 0.0], [-10.0, 0.0], [0.0, 0.0], [0.0, 5.0]]]]))
    red, cyan, black, green = film.colour_flow(codes)[0, 0]
    assert red.tolist() == [255, 0, 0] and black.tolist() == [0, 0, 0]
    assert cyan[0] == 0 and cyan[1:].min() > 250 and 100 < green[1] < 140 and green[2] == 0


def without_films(text: str) -> str:
    """The page without the bytes of its films: of some hundred films x264 encodes one in another way the next time."""
    return re.sub(r"data:video/mp4;base64,[^\"]*", "", text)


def names(count: int) -> list[str]:
    return [f"action {i}" for i in range(count)]


def test_page_holds_the_run(build):
    text, page = build([*names(10), HOSTILE])
    assert page.sections == ["summary", "clips", "classes", "confusion", "brightness", "curves", "setup"]
    assert page.tags.count("article") == page.tags.count("video") == len(set(build.asked)) == 12
    # teacher: loss, accuracy, learning rate; student: loss, distillation, accuracy, learning rate
    assert page.tags.count("svg") == 7
    for words in ("night_figures, fold 3", "22 test clips of 11 classes, 1 clip × 1 crop", "1 min 15 s", "2 × cpu"):
        assert words in page.text
    results = json.loads((build.workdir / "results.json").read_text())
    for network in ("teacher", "student"):
        scores = results[network]
        for share in (scores["top1"], scores["top5"], scores["mean_class"], scores["ece"], *scores["interval"]):
            assert f"{100 * share:.1f} %" in page.text.split("Test clips")[0]
    assert "not finite and are left out: 2." in page.text
    assert not re.search(r"\bnan\b", text)
    assert len(text) < 6_000_000


def test_summary(build):
    _, page = build(names(11))
    for row in (
        "parameters – –",  # this workdir holds no checkpoint
        "epochs 8 20",
        "steps 32 80",  # of 8 clips
        "checkpoint used gone gone",
        "to train on 32 ",  # 33, one of them for validation
        "for validation 1 ",
        "to test on 22 ",
        "size of each 12 frames of 64 px",
        "python 3.11.9",
        "jax 0.10.2",
    ):
        assert row in page.text


def test_a_given_teacher_has_no_phase_here(build):
    build(names(3), lines=list(curve_lines(["student"], validation=False)))
    path = build.workdir / "config.json"
    config = config_file.load(path)
    config_file.save(dataclasses.replace(config, train=dataclasses.replace(config.train, teacher_from="/other")), path)
    report.write(build.workdir)
    page = Page((build.workdir / "report.html").read_text(encoding="utf-8"))
    for row in ("epochs 8 –", "steps 32 –", "checkpoint used gone given", "train.teacher_from /other none"):
        assert row in page.text


def test_config_tells_what_differs(build):
    _, page = build(names(2))
    differs, every = page.text.split("what differs from the defaults")[1].split("Config: all ")
    assert "model.teacher.name r2plus1d_tiny r2plus1d_34" in differs
    assert "augment.flip" not in differs and "augment.flip 0.5" in every
    assert "0.43216, 0.394666, 0.37645" in every


def test_results_of_before_are_completed(build):
    """A results.json without intervals, means of classes and calibration gives the same page."""
    text, _ = build(names(11))
    path = build.workdir / "results.json"
    results = json.loads(path.read_text())
    for network in ("teacher", "student"):
        for name in ("mean_class", "interval", "ece"):
            del results[network][name]
    path.write_text(json.dumps(results))
    report.write(build.workdir)
    assert without_films((build.workdir / "report.html").read_text(encoding="utf-8")) == without_films(text)


def test_brightness(build):
    _, page = build(names(4))
    assert f"python -m lift_flax.evaluate --workdir={build.workdir} --illumination" in page.text

    def score(light):
        top1 = 0.9 - 0.05 * abs(np.log2(light.camera.exposure))
        scores = {"top1": top1, "interval": [top1 - 0.1, top1 + 0.1]}
        return {"luma": 20 * light.camera.exposure, "teacher": scores, "student": scores}

    found = illumination.curve(score)
    twin = {"name": HOSTILE, "luma": 90.0, "teacher": {"top1": 0.5}, "student": {"top1": 0.432}}
    (build.workdir / "illumination.json").write_text(json.dumps({**found, **RECORDED, "twins": [twin]}))
    svgs = page.tags.count("svg")
    report.write(build.workdir)
    page = Page((build.workdir / "report.html").read_text(encoding="utf-8"))
    assert page.tags.count("svg") == svgs + 1 and "script" not in page.tags
    assert "as recorded 21.0 87.0 % 86.0 %" in page.text and "6 clips, views 1x1" in page.text
    assert "× 1/64 0.3 60.0 % 60.0 %" in page.text and f"{HOSTILE} 90.0 43.2 % 50.0 %" in page.text
    assert f"area {100 * found['area']['student']:.1f} %" in page.text


def test_films_show_the_clip(build):
    """Dark on the left and lifted on the right, all of its frames."""
    text, page = build(names(2))
    films = [link for link in page.links if link.startswith("data:video/mp4;base64,")]
    assert len(films) == page.tags.count("video") == 4
    for address in films:
        with av.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as container:
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
            assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert frames.shape == (12, film.SIDE, 2 * film.SIDE, 3)
        dark, lifted = frames[:, :, : film.SIDE].mean(), frames[:, :, film.SIDE :].mean()
        assert 25 < dark < 35 and 60 < lifted < 90  # 0 to 59, and that to the power 1 / 1.8
    assert len(set(films)) == 4
    assert "Attention is not shown" in page.text and "holds no trained student yet" in page.text


def test_epoch_means():
    points = [(0.5, 1.0), (1.0, 3.0), (1.25, 5.0), (3.0, 7.0)]
    assert figures.epoch_means(points).tolist() == [[0.75, 2.0], [1.25, 5.0], [3.0, 7.0]]


def test_command_line(build, capsys):
    build(names(2))
    (build.workdir / "report.html").unlink()
    report.main([f"--workdir={build.workdir}"])
    assert capsys.readouterr().out == f"{build.workdir / 'report.html'}\n" and (build.workdir / "report.html").exists()
    with pytest.raises(UserError, match="--frob"):
        report.main([f"--workdir={build.workdir}", "--frob"])


def test_page_needs_nothing_else_and_escapes_names(build):
    text, page = build([HOSTILE, "b"])
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert "script" not in page.tags
    assert HOSTILE in page.text


def test_clips_show_mistakes_and_correct_answers(build):
    _, page = build(names(11))
    wrong, right = page.text.split("Surest mistakes")[1].split("Accuracy by class")[0].split("Surest right answers")
    assert wrong.count("student : ") == right.count("student : ") == 6
    assert len(re.findall(r"student : [^:]* ✗ wrong \(the true class: ", wrong)) == 6
    assert "the true class" not in right and right.count("✓") >= 6


def test_run_without_teacher(build):
    _, page = build(names(11), teacher=False)
    assert "This run had no teacher" in page.text
    assert page.tags.count("svg") == 3
    assert page.text.count("student :") == 12 and "teacher :" not in page.text


@pytest.mark.parametrize(("count", "table"), [(2, True), (12, True), (101, False)])
def test_number_of_classes(build, count, table):
    text, page = build(names(count))
    assert ('class="matrix"' in text) == table
    assert page.tags.count("article") == min(12, 2 * count)
    assert ("top-5" in page.text) == (count >= 6)


def test_run_without_validation(build):
    _, page = build(names(3), validation=False)
    assert "No clips were held out for validation" in page.text
    assert page.tags.count("svg") == 7


def test_short_logs(build):
    line = {"phase": "student", "split": "train", "step": 1, "epoch": 1.0, "loss": 2.0, "top1": None}
    _, page = build(names(3), lines=[line])
    assert page.tags.count("svg") == 2
    _, page = build(names(3), lines=[])
    assert "Nothing was logged" in page.text


def test_all_right(build):
    _, page = build(names(4), accuracy=1.1)
    assert "✗" not in page.text
    assert "No mistakes." in page.text


def test_same_run_gives_the_same_page(build):
    assert without_films(build(names(11))[0]) == without_films(build(names(11))[0])


@pytest.mark.parametrize("name", ["config.json", "run.json", "metrics.jsonl", "results.json", "test_predictions.npz"])
def test_unfinished_workdir(tmp_path, name):
    make_workdir(tmp_path, names(3))
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=name) as caught:
        report.write(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_choose_clips_takes_the_surest_of_many_classes():
    labels = np.repeat(np.arange(8), 4)
    shares = np.full((32, 8), 0.01)
    for i, label in enumerate(labels):
        shares[i, (label + (i % 4 == 3)) % 8] = 0.5 + i / 100  # the fourth clip of each class is a mistake
    right, wrong = report_clips.choose_clips(labels, shares)
    assert right == [30, 26, 22, 18, 14, 10]  # the surest of each class, though 29 is surer than 26
    assert wrong == [31, 27, 23, 19, 15, 11]


@pytest.mark.parametrize("wrong", [0, 1, 5])
def test_choose_clips_takes_what_there_is(wrong):
    labels = np.zeros(5, int)
    shares = np.where(np.arange(5)[:, None] < wrong, [0.2, 0.8], [0.8, 0.2])
    assert report_clips.choose_clips(labels, shares) == (list(range(wrong, 5)), list(range(wrong)))
