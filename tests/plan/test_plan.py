"""`lift_flax.plan` end to end: the real steps compiled from shapes alone, its table, its JSON and its errors."""

import importlib.util
import json
import subprocess
import sys

import pytest

from lift_flax.errors import UserError
from lift_flax.plan import __main__ as plan
from lift_flax.plan import compile_step, tables, topologies
from lift_flax.plan.batch_search import largest_batch
from lift_flax.plan.compile_step import CompiledStep, refused_bytes
from tests import ROOT
from tests.support.run_tools import environment
from tests.support.small_config import OVERRIDES, get_config, small_config

# of ml_collections, when it reads a config file
IGNORE_LOADER = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
SMALL = [f"--config.{name}={value}" for name, value in OVERRIDES.items() if name not in ("dataset", "train.batch_size")]


def _plan(*arguments: str, devices: int = 1, as_trained: bool = True) -> subprocess.CompletedProcess:
    """The command in a process of its own: it settles which devices there are."""
    command = [sys.executable, "-m", "lift_flax.plan", *arguments]
    compiler = environment(devices, as_trained=as_trained)
    return subprocess.run(command, cwd=ROOT, env=compiler, capture_output=True, text=True)


def _installed(module: str, extra: str):
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    return pytest.mark.skipif(not found, reason=f"the compiler is not installed: .[{extra}]")


def _json(*arguments: str, devices: int = 1) -> dict:
    ran = _plan(*arguments, "--json", devices=devices)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.slow
def test_two_devices_of_this_machine():
    """The ViT's first block alone is trained here, which training refuses without weights and planning does not.

    Without the FoE, whose FFTs have a gradient of one FFT each: the rest triples.
    """
    arguments = ["--config=configs/arid.py:tiny,unfreeze=first,foe=no", *SMALL, "--config.train.batch_size=4"]
    report = _json(*arguments, "--phase=student", devices=2)
    assert (report["devices"], report["mesh"], report["num_classes"]) == (2, {"data": 2, "fsdp": 1}, 11)
    (student,) = report["programs"]
    assert student["fits"] and 0 < student["memory"]["needed"] < report["device_memory"]
    # Gradients are summed once each, beside them what losses, metrics and the head's BatchNorm need.
    sums, trained = student["collectives"]["all-reduce"]["bytes"], student["trained_parameters"]
    assert 4 * trained <= sums < 4.01 * trained
    assert student["collectives"]["all-gather"]["count"] == 0
    forward, step = (sum(student["flops_per_example"][kind].values()) for kind in ("forward", "step"))
    assert forward < step < 3 * forward
    parts = student["flops_per_example"]
    assert {"trunk", "pvit", "project", "levels", "head"} <= set(parts["forward"])
    assert parts["step"]["trunk"] == parts["forward"]["trunk"]  # it is frozen
    # Forward, gradients of kernels, gradients of inputs; the Critic's queries, keys and values need none of the latter,
    # and each of the three attentions makes its scores again.
    frames, width = OVERRIDES["data.num_frames"], 128
    none_needed, again = 3 * 2 * frames * width**2, 3 * 2 * frames**2 * width
    assert parts["step"]["levels"] == 3 * parts["forward"]["levels"] - none_needed + again
    assert parts["step"].get("other", 0) < 0.001 * step


def test_table():
    ran = _plan("--config=configs/demo.py", *SMALL, "--num_classes=5", "--phase=teacher", as_trained=False)
    assert ran.returncode == 0, ran.stderr
    assert "compiling teacher, batch 8 on local" in ran.stderr and "fits: needs" in ran.stderr
    for text in ("night_figures, 5 classes", "teacher", "needed", "GFLOP per example"):
        assert text in ran.stdout


@IGNORE_LOADER
def test_search_and_remat_are_asked_for_each_program(monkeypatch, capsys):
    """With a compiler of our own: a GiB for every example, half of it where activations are computed again."""
    compiled = []

    fits_below = compile_step.FITS_BELOW

    def compiled_step(step, *_):
        on = compiled_remat()
        needed = step.batch_size * 2**30 // (2 if on else 1)
        compiled.append((step.phase, on, step.batch_size))
        return CompiledStep(needed, needed <= fits_below * 24 * 2**30, {}, {}, 1.0)

    def compiled_remat():
        return "remat on" in capsys.readouterr().err

    monkeypatch.setattr(compile_step, "compile_step", compiled_step)
    monkeypatch.setattr(topologies, "_host_memory", lambda: 24 * 2**30)
    arguments = ["--config=configs/arid.py:tiny", "--remat=both", "--search", "--phase=teacher", "--json"]
    plan.main([*arguments, *SMALL, "--config.train.batch_size=16"])
    off, on = json.loads(capsys.readouterr().out)["programs"]
    assert (off["largest_batch"], on["largest_batch"]) == (21, 43)
    assert {(phase, on) for phase, on, _ in compiled} == {("teacher", False), ("teacher", True)}


@_installed("libtpu", "tpu")
def test_tpus():
    report = _json(
        "--config=configs/arid.py:tiny", *SMALL, "--topology=v5e:2x2", "--phase=student", "--config.mesh.fsdp=2"
    )
    assert (report["device"], report["devices"], report["processes"]) == ("TPU v5 lite", 4, 1)
    (student,) = report["programs"]
    assert student["fits"] and student["memory"]["peak"] > 0
    assert student["collectives"]["all-gather"]["count"] > 0


@pytest.mark.parametrize(("topology", "device", "gib"), [
    ("h100x8", "NVIDIA H100 80GB HBM3", 59.3), ("a100x8", "NVIDIA A100-SXM4-80GB", 59.5),
    ("a6000x2", "NVIDIA RTX A6000", 33.4),
])  # fmt: skip
@_installed("jax_plugins.xla_cuda12", "cuda12")
def test_gpus(topology, device, gib):
    report = _json("--config=configs/arid.py:tiny", *SMALL, f"--topology={topology}", "--phase=student")
    assert (report["device"], report["devices"]) == (device, int(topology[-1]))
    assert report["device_memory"] / 2**30 == pytest.approx(gib, abs=0.1)
    (student,) = report["programs"]
    assert student["fits"] and student["collectives"]["all-gather"]["count"] == 0


@pytest.mark.parametrize(("arguments", "message"), [
    (["--topology=v9e:2x2"], "--topology=v9e:2x2 is unknown: choose local, v5e:2x2"),
    (["--topology=h100x12"], "take 1 to 8, or a multiple of 8"),
    (["--config.dataset=mine"], "give --num-classes=K"),
    (["--config.train.batch_size=-1"], "config.train.batch_size is -1"),
    (["--config.mesh.fsdp=3"], "data=-1 and fsdp=3 do not make 1 devices"),
    (["--config.train.batchsize=3"], "no such field"),
    (["--remat=perhaps"], "perhaps"),
    (["student"], "'student' is not a flag"),
    (["--phase=teacher", "--config.train.distill=False"], "there is no teacher phase"),
    (["--config.model.num_heads=5"], "does not divide the 128 channels"),
])  # fmt: skip
@IGNORE_LOADER
def test_mistakes(arguments, message):
    with pytest.raises(UserError) as caught:
        plan.main(["--config=configs/arid.py:tiny", *arguments])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def _forward(phase: str, **fields) -> tuple[compile_step.StepShapes, dict[str, float]]:
    values = get_config().unlock()
    values.update_from_flattened_dict(fields)
    config, _ = plan.read_config(values.to_dict())
    step = compile_step.step_shapes(config, 3, phase)
    return step, compile_step.flops_per_example(step)["forward"]


def test_a_frozen_vit_that_is_computed_once_is_no_part_of_a_step():
    frozen = {"model.pvit.unfreeze": "none"}
    each_time, found = _forward("student", **frozen)
    once, others = _forward("student", **frozen, **{"data.feature_views": 2})
    assert "dark" in each_time.streams and found.pop("pvit") > 0
    assert "dark" not in once.streams and once.streams["main_features"].shape == (4, 4, 24)
    assert others == found


def test_pretraining_sees_each_clip_twice():
    """In each view the trunk is the teacher's, without the head for classes."""
    teacher, of_teacher = _forward("teacher")
    pretrain, of_pretrain = _forward("pretrain")
    assert pretrain.streams["luminous"].shape == (4, 2, *teacher.streams["luminous"].shape[1:])
    assert of_pretrain["trunk"] == pytest.approx(2 * of_teacher["teacher"], rel=1e-3) and of_pretrain["pvit"] > 0


@IGNORE_LOADER
def test_values_of_fields_that_are_auto(records, tmp_path, monkeypatch, capsys):
    """Chosen by records that are there; else a line says that it is the default."""
    monkeypatch.setattr(plan, "_plan_program", lambda config, *_: {"input": config.model.luminous.input})
    auto = ["--config=configs/own.py:vits", "--json", "--phase=teacher"]
    plan.main([*auto, f"--config.data.dir={records}"])
    here = capsys.readouterr()
    assert "auto: model.luminous.input=flow: the records hold optical flow" in here.err
    report = json.loads(here.out)
    assert report["programs"] == [{"input": "flow"}] and report["num_classes"] == 3
    plan.main([*auto, f"--config.data.dir={tmp_path / 'elsewhere'}", "--num_classes=7"])
    away = capsys.readouterr()
    assert f"config.data.dir={tmp_path / 'elsewhere'} is not here" in away.err
    assert "auto: model.luminous.input=gamma: the default" in away.err and json.loads(away.out)["num_classes"] == 7


def test_a_config_is_needed_and_mistakes_are_one_line_and_exit_code_2():
    ran = _plan()
    *others, last = ran.stderr.strip().splitlines()
    assert ran.returncode == 2 and last.startswith("error: --config=NAME is needed")
    assert all("cuda" in line or "absl" in line for line in others)  # a GPU plugin speaks where there is no GPU


@pytest.mark.parametrize(("name", "extra"), [("v5e:2x2", "[tpu]"), ("h100x8", "[cuda12]")])
def test_a_compiler_that_is_not_installed(name, extra, monkeypatch):
    def not_installed(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr(topologies.topologies, "get_topology_desc", not_installed)
    with pytest.raises(UserError, match=f"pip install -e '.\\{extra}"):
        topologies.find(name)


def test_a_batch_that_does_not_divide():
    ran = _plan("--config=configs/arid.py:tiny", "--config.train.batch_size=3", devices=2)
    assert ran.returncode == 2 and "take --config.train.batch_size=4" in ran.stderr


@pytest.mark.parametrize(("message", "gib"), [
    ("RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (128.03G) exceeds "
     "available HBM (15.75G).", 128.03),
    ("Ran out of memory in memory space hbm. Used 20.10G of 15.75G hbm. Exceeded hbm capacity by 4.35G.", 20.1),
    ("RESOURCE_EXHAUSTED: something else", None),
])  # fmt: skip
def test_what_a_refusing_compiler_says(message, gib):
    needed = refused_bytes(message)
    assert (needed and needed / 2**30) == pytest.approx(gib)


@pytest.mark.parametrize(("fixed", "per_example", "tells", "largest", "most_probes"), [
    (100, 10, True, 80, 3),
    (100, 10, False, 80, 3),
    (100, 1, True, 896, 3),
    (100, 40, False, 16, 2),
    (100, 100, True, None, 2),
])  # fmt: skip
def test_search_for_the_largest_batch(fixed, per_example, tells, largest, most_probes):
    """A device of 1000 bytes, batches that divide by 16; a compiler that tells what it refuses, or does not."""

    def probe(batch):
        needed = fixed + per_example * batch
        return needed if tells or needed <= 1000 else None, needed <= 1000

    found, tried = largest_batch(probe, 32, 16, 1000)
    assert found == largest and len(tried) <= most_probes and (found is None or tried[found])


def test_search_closes_in_where_memory_is_no_line():
    found, tried = largest_batch(lambda batch: (batch * batch, batch <= 56), 8, 8, 10**4)
    assert found in (48, 56) and not any(ok for batch, ok in tried.items() if batch > 56)


def test_advice_names_what_is_not_on_yet():
    config = small_config(**{"train.batch_size": 32, "train.remat.pvit": True})
    assert tables.advice(config, "student", 4) == [
        "--config.train.remat.levels=True",
        "--config.train.precision=bfloat16",
        "--config.mesh.fsdp=4",
        "--config.train.accumulate=2",
        "--config.train.batch_size=16",
    ]
    assert tables.advice(config, "teacher", 4)[0] == "--config.train.remat.trunk=True"
