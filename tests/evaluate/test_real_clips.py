"""The tables of real clips (benchmarks/real_clips.py): right answers by person, of all and of those not chosen on."""

import json

import numpy as np
import pytest

from benchmarks.real_clips import accuracies, lines_of

PEOPLE = ("daria", "denis", "eli", "ido", "ira", "lena", "lyova", "moshe", "shahar")


def test_people_that_nothing_was_chosen_on_stand_apart():
    hits = np.array([True, False] * 3 + [True] * 12)  # half of the chosen three, all of the six others
    found = accuracies(hits, [person for person in PEOPLE for _ in range(2)])
    assert (found["all"]["clips"], found["others"]["clips"]) == (18, 12)
    assert found["all"]["top1"] == pytest.approx(15 / 18) and found["others"]["top1"] == 1
    assert found["others"]["interval"][1] == 1 and found["all"]["interval"][0] < 15 / 18
    assert "others" not in accuracies(np.array([True, False]), ["daria", "eli"])  # quick rows


def test_a_line_counts_the_clips_of_every_fold_and_seed(tmp_path):
    """A fold tests one person; two seeds of nine folds, each with two clips, of which the first is answered right."""
    clips = [{"id": f"{person}/{k}", "group": person} for person in PEOPLE for k in range(2)]
    folds = {str(n + 1): {"test": [f"{person}/{k}" for k in range(2)]} for n, person in enumerate(PEOPLE)}
    for light in ("day", "dark"):
        (tmp_path / light).mkdir()
        (tmp_path / light / "folds.json").write_text(json.dumps({"clips": clips, "folds": folds}))
    runs = [tmp_path / "tiny-0", tmp_path / "tiny-1"]
    for run in runs:
        (run / "fold1").mkdir(parents=True)
        (run / "fold1" / "results.json").write_text(json.dumps({"seconds": 90}))
        scored = [{"fold": n + 1, "num_examples": 2, "student": {"top1": 0.5}} for n in range(9)]
        for light in ("day", "dark"):
            one = [{**line, "teacher": None if light == "dark" else {"top1": 1.0}} for line in scored]
            (run / f"{light}.json").write_text(json.dumps({"runs": one}))
    lines = lines_of(runs, {light: tmp_path / light for light in ("day", "dark")})
    named = {(line["light"], line["network"]): line for line in lines}
    assert named.keys() == {("day", "teacher"), ("day", "student"), ("dark", "student")}
    student = named["day", "student"]
    assert student["all"]["clips"] == 36 and student["all"]["top1"] == 0.5 and student["minutes"] == 1.5
