"""The ablation table: every row is a config that can be made, and the command trains, continues and tabulates."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs import arid, demo
from lift_flax.ablate.__main__ import main
from lift_flax.ablate.rows import pretraining, reference, rows
from lift_flax.ablate.table import markdown
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.errors import UserError
from lift_flax.fields import flat_fields
from lift_flax.models.functional import flatten
from lift_flax.runs.checkpoints import read_best
from lift_flax.weights import converted, torch_video
from tests import ROOT
from tests.support.weights_tools import trunk_tensors

PAPER = {
    "large": 95.21, "r3d": 92.11, "flow": 87.22, "no_distillation": 94.15, "frozen_vit": 94.92, "trained_vit": 93.97,
    "small": 94.32, "medium": 94.93,
}  # fmt: skip


@pytest.mark.parametrize("leaf", [demo, arid])
def test_every_row_is_a_config(leaf):
    """And differs from the first in what its title says, and in nothing else."""
    nested = leaf.get_config("unfreeze=all").to_dict()
    table = rows(from_dict(nested))
    assert {row.name: row.paper for row in table if row.paper} == PAPER
    first = flat_fields(_made(leaf, reference("weights")))
    assert (first["model.levels"], first["model.pvit.blocks"], first["model.pvit.unfreeze"]) == (8, 5, "first")
    for row in table:
        found = flat_fields(_made(leaf, {**reference("weights"), **row.changes}))
        assert {name for name in found if found[name] != first[name]} <= set(row.changes), row.name
        assert row.name == "large" or found != first, row.name
    assert _made(leaf, pretraining(from_dict(nested))).model.streams == "main"


def _made(leaf, fields: dict) -> Config:
    values = leaf.get_config("unfreeze=all").unlock()
    values.update_from_flattened_dict(fields)
    return from_dict(values.to_dict())


def _ablate(workdir: Path, *arguments) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "lift_flax.ablate",
        "--config=tests/support/small_config.py",
        f"--workdir={workdir}",
    ]
    return subprocess.run([*command, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_the_command(records, tmp_path):
    """Pretrains a ViT, trains the first row and another from its teacher, and is done at once the second time."""
    workdir = tmp_path / "table"
    arguments = [
        f"--config.data.dir={records}", f"--vit_records={records}", "--rows=main", "--seeds=1",
        "--config.train.teacher_epochs=1", "--config.train.student_epochs=1",
    ]  # fmt: skip
    ended = _ablate(workdir, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    table = json.loads((workdir / "ablation.json").read_text())
    assert [row["name"] for row in table["rows"]] == ["large", "main"]
    for row in table["rows"]:
        place = workdir / "rows" / row["name"] / "seed0"
        assert row["runs"][0]["student"] == json.loads((place / "results.json").read_text())["student"]["top1"]
    taught, given = (flatten(read_best(workdir / "rows" / "large" / "seed0" / "teacher")[i]) for i in (0, 1))
    student, statistics = (flatten(read_best(workdir / "rows" / "main" / "seed0" / "student")[i]) for i in (0, 1))
    assert not (workdir / "rows" / "main" / "seed0" / "teacher").exists()
    for name, array in taught.items():
        np.testing.assert_array_equal(student[f"trunk/{name}"], array, err_msg=name)
    for name, array in given.items():
        np.testing.assert_array_equal(statistics[f"trunk/{name}"], array, err_msg=name)
    pretrained = np.load(workdir / "vit" / "weights.npz")
    for name in pretrained.files:  # of the first row all but the first block stayed as it was
        if not name.startswith("params/blocks/0/"):
            np.testing.assert_array_equal(student["main/pvit/" + name.removeprefix("params/")], pretrained[name])
    stamps = {path: path.stat().st_mtime for path in workdir.rglob("results.json")}
    again = _ablate(workdir, *arguments)
    assert again.returncode == 0 and {path: path.stat().st_mtime for path in stamps} == stamps
    assert "main stream only" in again.stdout and "not run" not in again.stdout
    other = _ablate(workdir, *arguments, "--config.train.learning_rate=0.5")
    assert other.returncode == 2 and "another kind (train.learning_rate differ)" in other.stderr


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    """The commands that an ablation starts; each leaves a result and does nothing else."""
    commands: list[list[str]] = []

    def call(command: list[str], log: Path | None) -> None:
        commands.append(command[2:])
        flags = dict(word[2:].split("=", 1) for word in command if word.startswith("--"))
        folder = Path(flags["out"] if "convert" in command[2] else flags["workdir"])
        folder.mkdir(parents=True)
        scores = {"top1": len(commands) / 10, "per_class": {"down": 1.0}, "confusion": [[1]]}
        results = {"student": scores, "teacher": None, "num_examples": 6, "seconds": 1.0}
        results |= {"dataset": "small", "fold": 1, "split": "test", "views": "1x1", "classes": ["down"]}
        (folder / "results.json").write_text(json.dumps(results))
        (folder / "weights.json").write_text(json.dumps({"source": {"sha256": "of the ViT"}}))
        np.savez(folder / "test_predictions.npz", ids=np.zeros(1), labels=np.zeros(1), logits=np.zeros((1, 1)))

    monkeypatch.setattr("lift_flax.ablate.runs.call", call)
    return commands


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_what_is_started_and_what_is_not_started_again(records, started, tmp_path, capsys):
    """A ViT is pretrained and converted, the first row trained, the other from its teacher; the second time nothing."""
    workdir = tmp_path / "table"
    arguments = [
        "--config=tests/support/small_config.py", f"--config.data.dir={records}", f"--vit-records={records}",
        f"--workdir={workdir}", "--rows=main", "--seeds=1",
    ]  # fmt: skip
    main(arguments)
    vit, convert, first, other = started
    assert vit[0] == first[0] == other[0] == "lift_flax.main" and "--config.model.streams=main" in vit
    assert convert[:3] == ["lift_flax.weights.convert", "vit", str(workdir / "pretraining")]
    teacher_from = f"--config.train.teacher_from={workdir / 'rows' / 'large' / 'seed0'}"
    assert teacher_from in other and teacher_from not in first
    for command in (first, other):
        assert f"--config.model.pvit.init_from={workdir / 'vit'}" in command and "--config.seed=0" in command
    table = json.loads((workdir / "ablation.json").read_text())
    assert [row["runs"][0]["student"] for row in table["rows"]] == [0.3, 0.4]
    assert "| main stream only | – | 40.0 % | one seed | +10.0 | none |" in (workdir / "ablation.md").read_text()
    main(arguments)
    assert len(started) == 4 and "main stream only" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"another kind \(train.learning_rate differ\)"):
        main([*arguments, "--config.train.learning_rate=0.5"])
    table = json.loads((workdir / "table.json").read_text())
    del table["train.adam_eps"], table["model.teacher.bn_eps"]  # as if these fields had come later
    (workdir / "table.json").write_text(json.dumps(table))
    main(arguments)
    assert len(started) == 4
    for damage in ("{", "[]", json.dumps({**table, "train.batchsize": 3}), json.dumps({"clips": ""})):
        (workdir / "table.json").write_text(damage)
        with pytest.raises(UserError, match="table.json is damaged or of another version"):
            main(arguments)


@pytest.fixture(scope="module")
def trunks(tmp_path_factory) -> dict[str, Path]:
    """Folders of converted weights of small video ResNets: an R(2+1)D of two trainings, and an R3D of two."""
    folders = {}
    for name, kind in (("one", "r2plus1d"), ("two", "r2plus1d"), ("r3d", "r3d"), ("r3d_two", "r3d")):
        weights = torch_video.convert(trunk_tensors(f"{kind}_tiny", 3))
        weights.facts["source"] = {"file": "w.pth", "sha256": name}
        folders[name] = tmp_path_factory.mktemp("trunks") / name
        converted.save(weights, "", folders[name])
    return folders


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_the_row_with_an_r3d_starts_from_weights_of_its_own(records, started, tmp_path, trunks, capsys):
    """Where the R(2+1)D of the others is pretrained; and a table holds teachers from one file of weights."""
    workdir, one, r3d = tmp_path / "table", trunks["one"], trunks["r3d"]
    arguments = [
        "--config=tests/support/small_config.py", f"--config.data.dir={records}", f"--workdir={workdir}",
        "--rows=r3d", "--seeds=1", f"--config.model.teacher.init_from={one}",
    ]  # fmt: skip
    main(arguments)
    assert len(started) == 1 and f"--config.model.teacher.init_from={one}" in started[0]
    why = json.loads((workdir / "ablation.json").read_text())["rows"][1]["why_not"]
    assert why == "the reference's R(2+1)D is pretrained and no R3D is (--r3d-weights)"
    main([*arguments, f"--r3d-weights={r3d}"])
    given = [word for word in started[1] if "model.teacher" in word]  # the last of a field's flags counts
    assert given[-2:] == ["--config.model.teacher.name=r3d_tiny", f"--config.model.teacher.init_from={r3d}"]
    main(arguments)
    assert len(started) == 2 and "with R3D model" in capsys.readouterr().out
    kept = (trunks["one"] / converted.FACTS).read_text()
    with pytest.raises(UserError, match=r"another kind \(r3d differ\)"):
        main([*arguments, f"--r3d-weights={trunks['r3d_two']}"])
    try:  # the same folder, converted anew from another file
        (one / converted.FACTS).write_text((trunks["two"] / converted.FACTS).read_text())
        with pytest.raises(UserError, match=r"another kind \(teacher differ\)"):
            main(arguments)
        table = json.loads((workdir / "table.json").read_text())
        earlier = {name: value for name, value in table.items() if name not in ("teacher", "r3d")}
        (workdir / "table.json").write_text(json.dumps(earlier))  # of an earlier version: its runs name the weights
        (workdir / "rows/large/seed0/run.json").write_text(json.dumps({"weights": {"teacher": "one"}}))
        with pytest.raises(UserError, match=r"another kind \(teacher differ\)"):
            main(arguments)
    finally:
        (one / converted.FACTS).write_text(kept)
    main(arguments)
    assert json.loads((workdir / "table.json").read_text())["teacher"] == "one"


@pytest.mark.parametrize(("arguments", "message"), [
    (["--r3d-weights={r3d}"], "the R.2.1.D of the other rows starts from nothing; give it weights as well"),
    (["--r3d-weights={two}", "--config.model.teacher.init_from={one}"], "holds r2plus1d_tiny: beside r2plus1d_tiny st"),
    (["--r3d-weights=nowhere", "--config.model.teacher.init_from={one}"], "is no folder of converted weights"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_weights_that_are_none_for_an_r3d(records, started, tmp_path, trunks, arguments, message):
    command = ["--config=tests/support/small_config.py", f"--workdir={tmp_path}", f"--config.data.dir={records}"]
    with pytest.raises(UserError, match=message):
        main([*command, *(argument.format(**trunks) for argument in arguments)])
    assert not started


@pytest.mark.parametrize(("arguments", "message"), [
    (["--config.seed=3"], "the rows set config.seed themselves"),
    (["--config.model.levels=3"], "the rows set config.model.levels themselves"),
    (["--noconfig.train.distill"], "write flags of the config as --config=NAME"),
    (["--config.train.trunk=finetune"], "finetune"),
    (["--rows=bigger"], "--rows=bigger is no row: the rows are large, r3d"),
    (["--config.data.dir=nowhere"], "nowhere does not exist"),
    (["--seeds=0"], "seeds"),
    (["--config.model.levles=2"], "levles"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_mistakes(records, tmp_path, arguments, message):
    given = [f"--config.data.dir={records}", *arguments]
    command = ["--config=tests/support/small_config.py", f"--workdir={tmp_path / 'table'}"]
    with pytest.raises(UserError, match=message):
        main([*command, *given])


def test_rows_that_lack_something_say_so():
    row = {"name": "flow", "title": "with Optical Flow", "paper": 87.22, "why_not": "the records hold none", "runs": []}
    first = {
        "name": "large",
        "title": "LIFT-Net - 8",
        "paper": 95.21,
        "why_not": "",
        "runs": [_run(0, 0.9), _run(1, 0.8)],
    }
    other = {"name": "small", "title": "LIFT-Net - 4", "paper": None, "why_not": "", "runs": [_run(0, 0.8)]}
    text = markdown({"dataset": "x", "seeds": 2, "rows": [first, row, other]})
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines()]
    assert {len(line) for line in lines} == {6} and set("".join(lines[1])) == {"-", ":"}
    assert lines[2] == ["LIFT-Net - 8", "95.21 %", "85.0 %", "80.0 % to 90.0 %", "", "70.0 %"]
    assert lines[3][2] == "not run: the records hold none"
    assert lines[4][1:5] == ["–", "80.0 %", "one seed", "-10.0"]


def _run(seed: int, student: float) -> dict:
    return {"seed": seed, "student": student, "teacher": 0.7, "num_examples": 10}
