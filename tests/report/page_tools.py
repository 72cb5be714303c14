"""Reports of made-up runs, and their pages parsed."""

import contextlib
import dataclasses
import hashlib
import html.parser
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from lift_flax import presets
from lift_flax.config_checks import from_dict
from lift_flax.data.clip_reader import Part
from lift_flax.data.records import IndexEntry, Records
from lift_flax.evaluate import metrics
from lift_flax.report import clips, page
from lift_flax.runs import config_file
from lift_flax.video import encode

VOID = {"meta", "img", "br", "link", "hr"}
HOSTILE = "<script>alert('$x$')</script> & \"co\""
TRAINING = {  # of results.json
    "teacher": {"epochs": 20, "steps": 80, "step": 80, "parameters": 1234567, "trained_parameters": 1234567}
    | {"loss": 0.1, "top1": 0.987, "chance": 0.091, "fitted": True},
    "student": {"epochs": 8, "steps": 32, "step": 32, "parameters": 7654321, "trained_parameters": 6543210}
    | {"loss": 1.9, "top1": 0.321, "chance": 0.091, "fitted": False},
}


class Built(NamedTuple):
    """A report.

    Attributes:
      text: of the page.
      page: parsed.
      workdir: of the run.
      asked: ids of the clips that were read for it.
    """

    text: str
    page: "Page"
    workdir: Path
    asked: list[str]


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


def names(count: int) -> list[str]:
    """Names of classes."""
    return [f"action {i}" for i in range(count)]


def build(workdir: Path, classes: list[str], *, films: bool = False, **options) -> Built:
    """Makes a workdir and its report; `films` are encoded, else stubs that differ where their frames differ."""
    make_workdir(workdir, classes, **options)
    return rebuild(workdir, films=films)


def rebuild(workdir: Path, *, films: bool = False) -> Built:
    """The report of a workdir of `make_workdir`."""
    with _made_up_records(films) as asked:
        path = page.write_page(workdir)
    assert path == workdir / "report.html" and not list(workdir.glob(".report*"))
    text = path.read_text(encoding="utf-8")
    return Built(text, Page(text), workdir, asked)


@contextlib.contextmanager
def _made_up_records(films: bool) -> Iterator[list[str]]:
    """Clips of noise in place of records; gives the ids of those that are read."""
    asked: list[str] = []

    def read_eval_examples(records, config, ids):
        asked[:] = ids
        shape = (config.data.num_frames, config.data.size, config.data.size, 3)
        noise = np.random.default_rng(0).integers(0, 60, (len(ids), *shape), np.uint8)
        return [{"id": i, "clip": clip, "flow": clip[..., :2]} for i, clip in zip(ids, noise, strict=True)]

    index = {f"clip_{i}": IndexEntry(i, i // 2, "") for i in range(202)}
    folds = {"1": {"train": [f"train_{i}" for i in range(33)]}}
    records = Records(Path("made-up"), (), folds, index, (Part(Path("made-up")),), "folder", {"flow": "dis"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "open_records", lambda folder: records)
        patch.setattr(clips, "read_eval_examples", read_eval_examples)
        if not films:
            patch.setattr(encode, "mp4", lambda frames, fps: hashlib.sha256(frames.tobytes()).digest())
        yield asked


def make_workdir(
    workdir: Path,
    classes: list[str],
    *,
    teacher: bool = True,
    validation: bool = True,
    lines: list[dict] | None = None,
    accuracy: float = 0.5,
    earlier: bool = False,
) -> None:
    """Writes the files of a finished run with two test clips per class; `earlier`: as version 0.1.0 wrote them."""
    workdir.mkdir(exist_ok=True)
    config = from_dict(presets.get_config("tiny", dataset="night_figures").to_dict())
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, distill=teacher))
    config_file.save(config, workdir / "config.json")
    facts = {"classes": classes, "validation_ids": ["train_32"], "versions": {"jax": "0.10.2"}, "python": "3.11.9"}
    prepared = {"codec": "h264", "short_side": 256, "max_frames": 64, "flow": "dis"}
    facts |= {"prepared": prepared, "train_digest": "of these clips"}
    (workdir / "run.json").write_text(json.dumps({**facts, "devices": ["cpu", "cpu"]}))
    phases = ["teacher", "student"] if teacher else ["student"]
    if lines is None:
        lines = list(curve_lines(phases, validation, earlier))
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    training = {phase: TRAINING[phase] if phase in phases else None for phase in TRAINING}
    write_predictions(workdir, classes, teacher, accuracy, {} if earlier else {"training": training})


def curve_lines(phases: list[str], validation: bool, earlier: bool = False) -> Iterator[dict]:
    """Lines as the writer of metrics.jsonl leaves them: 5 epochs, a value that was not finite among them."""
    for phase in phases:
        for step in range(1, 21):
            loss = 2.4 / step**0.5
            line = {"phase": phase, "split": "train", "step": step, "epoch": step / 4, "loss": loss, "top1": step / 25}
            if phase == "student":
                line |= {"cross_entropy": loss / 2, "distillation": loss / 2 if len(phases) == 2 else None}
            yield line | ({"loss": None, "cross_entropy": None} if step == 3 else {})
            if step % 4 == 0 and not earlier:
                means = {"loss": loss + 0.1, "top1": step / 26, "learning_rate": 1e-3 * (1 - step / 20)}
                yield {"phase": phase, "split": "epoch", "step": step, "epoch": step / 4, **means}
            if validation and step % 4 == 0:
                yield line | {"split": "validation", "top1": step / 30}


def write_predictions(workdir: Path, classes: list[str], teacher: bool, accuracy: float, more: dict) -> None:
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
    (workdir / "results.json").write_text(json.dumps(results | more))
