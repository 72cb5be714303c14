"""Tables and pages show the names of classes as they are."""

import csv
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest

from data_prep import build, report
from data_prep.sources.video_list import SourceClip, VideoList
from lift_flax import command_line
from lift_flax.ablate.table import show
from lift_flax.evaluate import __main__ as evaluate
from lift_flax.evaluate import tables
from lift_flax.explain import __main__ as explain
from lift_flax.predict import __main__ as predict
from lift_flax.predict.answers import VideoAnswer
from lift_flax.predict.output import lines
from lift_flax.report.page import write_page
from lift_flax.train.run import train_and_test
from lift_flax.train.screen import summary
from tests.conftest import REPRODUCIBLE, moving_bar
from tests.support.names import NAMES
from tests.support.small_config import small_config
from tests.support.video_files import write_video


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def _assert_shown(capsys: pytest.CaptureFixture, names: list[str]) -> None:
    shown = capsys.readouterr().out
    assert [name for name in names if name not in shown] == []


def _judged() -> dict:
    count = len(NAMES)
    scores = {"top1": 0.5, "top5": None, "interval": [0.4, 0.6], "mean_class": 0.5, "ece": 0.1}
    return scores | {"per_class": dict.fromkeys(NAMES, 0.5), "confusion": (1 - np.eye(count, dtype=int)).tolist()}


@pytest.mark.usefixtures("wide")
def test_every_table_shows_names_as_they_are(capsys):
    result = {"classes": NAMES, "teacher": None, "student": _judged(), "dataset": "my [clips] :smile:", "fold": 1}
    summary.show_accuracy({**result, "num_examples": 6, "views": "1x1"})
    _assert_shown(capsys, [*NAMES, "my [clips] :smile:"])

    facts = dict.fromkeys(("workdir", "step", "split", "num_examples", "frames", "size", "views", "average"), "")
    tables.show({**result, **facts, "left_out": 0, "trained_on": 0})
    _assert_shown(capsys, [*NAMES, f"{NAMES[0]} taken for {NAMES[1]} 1 times"])
    tables._show_confusion("student", np.eye(3, dtype=int).tolist(), NAMES[:3])
    _assert_shown(capsys, NAMES[:3])

    row = {"title": "whole", "paper": None, "runs": [], "why_not": ""}
    show({"dataset": "my [clips] :smile:", "seeds": 1, "rows": [row]})
    _assert_shown(capsys, ["my [clips] :smile:"])

    clips = [SourceClip(Path(f"{k}.mp4"), k, f"{k}", "") for k in range(len(NAMES))]
    videos = VideoList(NAMES, clips, {"1": {"train": [clip.id for clip in clips], "test": []}})
    facts = {"counts": videos.counts(), "mean_luma": {"classes": dict.fromkeys(NAMES, 9.0)}}
    report.print_report({**facts, "odd": {}, "in_train_and_test": {}}, videos, command_line.console())
    _assert_shown(capsys, NAMES)


def test_a_narrow_table_cuts_no_name(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "44")
    table = command_line.table("class", "teacher", "student")
    for name in NAMES:
        table.add_row(name, "50.0 %", "50.0 %")
    command_line.console().print(table)
    cells = [line.split("\u2502")[1].strip() for line in capsys.readouterr().out.splitlines() if "\u2502" in line]
    joined = "".join(cells).replace(" ", "")
    assert all(name.replace(" ", "") in joined for name in NAMES)


def test_an_answer_is_a_line_whatever_its_video_is_called():
    """Names of files need not be text, and may break lines."""
    answer = VideoAnswer("a\nb/caf\udce9.mp4", tuple(NAMES), np.full(len(NAMES), 1 / len(NAMES)))
    (line,) = lines.as_text(answer, top=len(NAMES)).splitlines()
    assert line.startswith(r"a\nb/caf\xe9.mp4: ") and all(name in line for name in NAMES)
    assert lines.as_json(answer)["video"] == answer.video, "programs get the name itself"


@pytest.mark.slow
@pytest.mark.usefixtures("wide")
def test_from_a_list_to_the_answers(tmp_path, capsys):
    """The same names in records, results, tables, report, answers and explanations."""
    rows = [("path", "label", "split")]
    for label, name in enumerate(NAMES):
        for take, split in enumerate(("train", "test")):
            path = tmp_path / "videos" / f"{label}_{take}.mp4"
            write_video(path, moving_bar(label % 3, label + take, 6), **REPRODUCIBLE)
            rows.append((path.name, name, split))
    rows[1] = (*rows[1][:2], "Validation")
    rows.append(("extra.mp4", NAMES[0], "train"))
    write_video(tmp_path / "videos" / "extra.mp4", moving_bar(0, 9, 6), **REPRODUCIBLE)
    with (tmp_path / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    flags = [
        "--videos",
        tmp_path / "videos",
        "--csv",
        tmp_path / "list.csv",
        "--out",
        tmp_path / "records",
        "--workers",
        1,
    ]
    build.main(["folder", *map(str, flags)])
    _assert_shown(capsys, NAMES)
    classes = json.loads((tmp_path / "records" / "folds.json").read_text())["classes"]
    assert classes == sorted(NAMES)

    config = small_config(records=tmp_path / "records", **{"train.distill": False, "train.student_epochs": 1})
    run, video = tmp_path / "run", str(tmp_path / "videos" / "0_1.mp4")
    results = train_and_test(config, run)
    assert "clips: 14 to train on, 1 for validation, 14 to test on" in capsys.readouterr().out
    assert json.loads((run / "run.json").read_text())["validation_ids"] == ["0_0"], "chosen by the list"
    summary.show_accuracy(results)
    _assert_shown(capsys, NAMES)
    page = write_page(run).read_text(encoding="utf-8")
    texts = {html.unescape(text).strip() for text in re.findall(r">([^<>]*)<", page)}
    assert set(NAMES) <= {re.sub(r"^\d+ ", "", text) for text in texts} and "<b>jump" not in page
    evaluate.main([f"--workdir={run}"])
    _assert_shown(capsys, NAMES)
    predict.main([f"--workdir={run}", f"--top={len(NAMES)}", video])
    _assert_shown(capsys, NAMES)
    explain.main([f"--workdir={run}", f"--label={NAMES[0]}", f"--out={tmp_path / 'explained'}", video])
    assert json.loads((tmp_path / "explained" / "0_1" / "explain.json").read_text())["class"] == NAMES[0]
