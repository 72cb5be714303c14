"""docs/paper_notes.md is true of the code: fields, defaults, files and parameter counts."""

import ast
import re

import jax
import pytest
from flax import nnx

from configs import arid
from lift_flax import presets
from lift_flax.ablate.rows import reference, rows
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.errors import UserError
from lift_flax.models.build import make_student, make_teacher
from lift_flax.models.functional import count_parameters, create
from lift_flax.train.optim import split_params, trains_in_student_phase
from tests import ROOT

NOTES = (ROOT / "docs" / "paper_notes.md").read_text()
FIELD = re.compile(r"`((?:model|data|train|augment)(?:\.[a-z_0-9]+)+)`(?: = `([^`]*)`)?")
PATH = re.compile(r"`((?:configs|lift_flax|data_prep|tests|docs)/[\w/]+\.\w+)`")


def _fields() -> dict:
    flat = {}

    def walk(tree, prefix):
        for name, value in tree.items():
            walk(value, f"{prefix}{name}.") if isinstance(value, dict) else flat.update({prefix + name: value})

    walk(presets.defaults().to_dict(), "")
    return flat


def test_fields_exist_and_defaults_are_right():
    fields, stated = _fields(), 0
    for name, default in FIELD.findall(NOTES):
        assert name in fields, f"the notes name {name}"
        if default:
            stated += 1
            value = fields[name]
            assert (default.strip('"') if isinstance(value, str) else ast.literal_eval(default)) == value, name
    assert stated > 40


def test_every_field_of_a_reading_has_a_row():
    data, train = (
        ("data.dir", "data.cache", "data.workers"),
        ("train.profile_steps", "train.remat", "train.teacher_from", "train.init_from"),
    )
    ours = data + train  # where and how it runs
    readings = (n for n in _fields() if n.split(".")[0] in ("model", "data", "train", "augment"))
    wanted = {n for n in readings if not n.startswith(ours)}
    assert wanted == {name for name, default in FIELD.findall(NOTES) if default}


def test_files_exist():
    named = set(PATH.findall(NOTES))
    assert len(named) > 10
    assert not [path for path in sorted(named) if not (ROOT / path).is_file()]


def test_classes_and_functions_exist():
    pairs = re.findall(r"`(lift_flax/[\w/]+\.py)` `(\w+)`", NOTES)
    assert len(pairs) > 10
    for path, name in pairs:
        assert re.search(rf"^(class|def) {name}\b", (ROOT / path).read_text(), re.MULTILINE), (path, name)


def test_every_note_in_the_code_is_listed():
    files = (path for folder in ("configs", "data_prep", "lift_flax") for path in (ROOT / folder).rglob("*.py"))
    with_note = {path.relative_to(ROOT).as_posix() for path in files if "NOTE(paper)" in path.read_text()}
    assert set(PATH.findall(NOTES.split("## Notes in the code")[1])) == with_note


def test_the_rows_of_table_vi_are_those_that_ablate_trains():
    """Each argument makes the config of the row with that figure."""
    base = {"model.pvit.init_from": "weights"}
    table = NOTES.split("## The ablations of Table VI")[1].split("##")[0]
    stated = {}
    for paper, argument in re.findall(r"^\| [^|]+ \| ([\d.]+) \| ([^|]+) \|$", table, re.MULTILINE):
        values = arid.get_config(next(iter(re.findall(r"`(\w+=[^`]*)`", argument)), None)).unlock()
        flags = dict(re.findall(r"`--config\.([\w.]+)=([^`]*)`", argument))
        values.update_from_flattened_dict(base | {name: ast.literal_eval(value) for name, value in flags.items()})
        stated[float(paper)] = from_dict(values.to_dict())
    expected = {}
    for row in rows(_config()):
        values = arid.get_config().unlock()
        values.update_from_flattened_dict({**reference("weights"), **row.changes})
        expected |= {row.paper: from_dict(values.to_dict())} if row.paper else {}
    assert stated == expected and len(stated) == 8


def _stated(row: str) -> int:
    return int(re.search(rf"^\| {re.escape(row)} \| ([\d,]+) \|$", NOTES, re.MULTILINE)[1].replace(",", ""))


def _config(argument: str | None = None, **train) -> Config:
    values = arid.get_config(argument).to_dict()
    values["model"]["pvit"]["init_from"] = "only shapes are asked for"
    values["train"].update(train)
    return from_dict(values)


def _params(make, config, num_classes):
    def module(rngs: nnx.Rngs) -> nnx.Module:
        return make(config, num_classes, rngs)

    return jax.eval_shape(create(module, 0)[1])[0]


@pytest.fixture(scope="module")
def student():
    return _params(make_student, _config(), 11)


def test_counts_of_parts(student):
    level, main = student["levels"]["0"], student["main"]
    fusion = level["fusion"]
    parts = {
        "R(2+1)D-34, 359 classes": _params(make_teacher, _config(), 359),
        "R(2+1)D-34, 11 classes": student["trunk"],
        "PViT: five blocks and embeddings": main["pvit"],
        "one ViT block": main["pvit"]["blocks"]["0"],
        "projection: Linear(768, 512), LayerNorm": [main["project"], main["norm"]],
        "LIFT of one level": level["lift"],
        "Critic of one level": level["critic"],
        "Fusion of one level, without FoE": [fusion["attention"], fusion["norm"]],
        "FoE of one level": fusion["foe"],
        "one level": level,
        "eight levels": student["levels"],
        "head, 11 classes": student["head"],
        "student, N = 8, 11 classes": student,
    }
    assert {row: _stated(row) for row in parts} == {row: count_parameters(tree) for row, tree in parts.items()}


def test_counts_of_smaller_students(student):
    level = count_parameters(student["levels"]["0"])
    for n in (4, 6):
        assert _stated(f"student, N = {n}, 11 classes") == count_parameters(student) - (8 - n) * level


@pytest.mark.parametrize("row, distill", [("in the student's phase", True), ("without distillation", False)])
def test_counts_of_trained_parameters(student, row, distill):
    trained, _ = split_params(student, trains_in_student_phase(_config(distill=distill)))
    assert _stated(f"of N = 8: trained {row}") == count_parameters(trained)


def test_frozen_random_blocks_are_refused():
    with pytest.raises(UserError, match="docs/weights.md"):
        from_dict(arid.get_config().to_dict())
