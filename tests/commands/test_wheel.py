"""What is installed works by itself: from a wheel, an editable install and a checkout, with processes that spawn.

The environments are empty but for a path to the packages that this one has, so nothing is downloaded.
"""

import ast
import configparser
import contextlib
import http.client
import importlib.util
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from lift_flax.runs.package.contents import REQUIRED
from lift_flax.runs.places import SHIPPED_FOLDER
from tests import ROOT
from tests.conftest import moving_bar
from tests.support.small_config import OVERRIDES
from tests.support.video_files import write_video

MOST_SECONDS = 15  # of a processor, until a first answer
FILES = ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
PACKAGES = ("lift_flax", "configs", "data_prep")
OWN_CONFIG = """\
from lift_flax import presets


def get_config(arg=None):
    return presets.get_config(arg, preset="tiny", dataset="named in the file")
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, with files where the network that comes with them lies: installing writes into them."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shipped = folder / "lift_flax" / "shipped"
    shipped.mkdir(exist_ok=True)
    for name in REQUIRED:
        (shipped / name).touch()  # those of the network stay as they are
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _pip(Path(sys.executable), "wheel", str(checkout), "--no-build-isolation", "--wheel-dir", str(folder))
    shutil.rmtree(checkout / "build", ignore_errors=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel."""
    programs = _environment(tmp_path_factory.mktemp("installed"))
    _pip(programs / "python", "install", "--ignore-installed", str(wheel))
    return programs


@pytest.fixture(scope="module")
def with_network() -> None:
    """Skips where the network that comes with lift_flax is not there."""
    if not (SHIPPED_FOLDER / "model.safetensors").is_file():
        pytest.skip(f"no network in {SHIPPED_FOLDER}: `make shipped-model` makes it")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own clips: a folder of five for each of three classes."""
    folder = tmp_path_factory.mktemp("home") / "my_clips"
    for label, name in enumerate(("right", "down", "still")):
        for index in range(5):
            write_video(folder / name / f"{index}.mp4", moving_bar(label, index, 8))
    return folder


@pytest.fixture(scope="module")
def records(installed: Path, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records that the wheel's `lift-flax build` makes in an empty folder."""
    empty = tmp_path_factory.mktemp("empty")
    said = _call(
        [installed / "lift-flax", "build", "folder", f"--videos={videos}", "--out=records", "--workers=2"], empty
    )
    assert "lift-flax train --config=own:tiny --config.data.dir=records" in said and "arid" not in said
    return empty / "records"


def test_a_wheel_holds_every_package_inside_one(wheel, checkout):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"lift_flax"}
    expected = {path.relative_to(ROOT / "lift_flax") for path in (ROOT / "lift_flax").rglob("*.py")}
    for top in ("configs", "data_prep"):
        expected |= {path.relative_to(ROOT) for path in (ROOT / top).rglob("*.py")}
    expected |= {path.relative_to(ROOT / "lift_flax") for path in (ROOT / "lift_flax" / "plan").glob("*.textproto")}
    expected |= {Path(name) for name in ("py.typed", "report/page.html", "report/page.css")}
    expected |= {Path("serve/page", path.name) for path in (ROOT / "lift_flax" / "serve" / "page").iterdir()}
    expected |= {Path("shipped", path.name) for path in (checkout / "lift_flax" / "shipped").iterdir()}
    assert Path("shipped/model.safetensors") in expected
    assert {Path(name).relative_to("lift_flax") for name in names if name.startswith("lift_flax/")} == expected
    assert b"lift-flax = lift_flax.cli:run" in zipfile.ZipFile(wheel).read(
        next(name for name in names if name.endswith("entry_points.txt"))
    )


def test_what_is_imported_is_asked_for():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    lines = settings["options"]["install_requires"].splitlines()
    for extra in ("hub", "onnx", "prep", "serve", "torch"):
        lines += settings["options.extras_require"][extra].splitlines()
    wanted = {re.split(r"[\[<>=]", line)[0].lower().replace("_", "-") for line in lines}
    known = packages_distributions()
    for name in _imported():
        assert {other.lower().replace("_", "-") for other in known.get(name, [name])} & wanted, name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["configs", "data_prep"])
def test_no_other_package_is_installed(installed, name, tmp_path):
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({name!r}) is not None)"
    assert importlib.util.find_spec(name) is not None  # in a checkout
    _call([installed / "python", "-c", code], tmp_path)


@pytest.mark.slow
def test_a_wheel_trains_on_own_clips_and_answers(installed, records, videos):
    here = records.parent
    _call([installed / "lift-flax", "train", "--config=own:tiny", *_small(), "--workdir=run"], here)
    results = json.loads((here / "run" / "results.json").read_text())
    assert results["dataset"] == "my_clips" and results["classes"] == ["down", "right", "still"]
    assert (here / "run" / "report.html").is_file()
    clip = videos / "down" / "0.mp4"
    said = _call([installed / "lift-flax", "predict", "--workdir=run", "--json", clip], here)
    assert json.loads(said.splitlines()[-1])["label"] in results["classes"]


@pytest.mark.slow
def test_a_config_file_of_ones_own_trains(installed, records, tmp_path):
    (tmp_path / "mine.py").write_text(OWN_CONFIG)
    (tmp_path / "empty").mkdir()
    command = [installed / "lift-flax", "train", f"--config={tmp_path / 'mine.py'}", *_small(records), "--workdir=run"]
    _call(command, tmp_path / "empty")
    results = json.loads((tmp_path / "empty" / "run" / "results.json").read_text())
    assert results["dataset"] == "named in the file"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["checkout", "editable"])
def test_two_workers_build(kind, checkout, videos, tmp_path):
    programs = _environment(tmp_path / "environment")
    if kind == "editable":
        _pip(programs / "python", "install", "--ignore-installed", "--no-build-isolation", "--editable", str(checkout))
        command, here = [programs / "lift-flax", "build"], tmp_path
    else:
        command, here = [programs / "python", "-m", "data_prep.build"], checkout
    _call([*command, "folder", f"--videos={videos}", f"--out={tmp_path / 'records'}", "--workers=2"], here)
    report = json.loads((tmp_path / "records" / "prep_report.json").read_text())
    assert not report["rejected"] and report["source"] == "folder"


@pytest.mark.slow
@pytest.mark.usefixtures("with_network")
def test_the_network_inside_answers_at_once(installed, tmp_path):
    """Nothing was computed before, and no program is kept."""
    clip, seconds = write_video(tmp_path / "clip.mp4", moving_bar(0, 0, 30)), _stopwatch()
    said = _call([installed / "lift-flax", "predict", "--json", clip], tmp_path, **_as_a_user(tmp_path))
    answer = json.loads(said.splitlines()[-1])
    assert answer["label"] in answer["probabilities"] and len(answer["probabilities"]) == 11
    assert seconds("lift-flax predict") < MOST_SECONDS


@pytest.mark.slow
@pytest.mark.usefixtures("with_network")
def test_the_server_inside_answers_at_once(installed, tmp_path):
    """From its start to the answer for a file that is sent to it."""
    clip, log = write_video(tmp_path / "clip.mp4", moving_bar(0, 0, 30)), tmp_path / "log"
    command, seconds = [installed / "lift-flax", "serve", "--port=0"], _stopwatch()
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=tmp_path, env=_as_a_user(tmp_path), stdout=file, stderr=file)
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)/", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        answer = _posted(int(found[1]), clip)
    finally:
        process.kill()
        process.wait()
    assert answer["label"] in answer["probabilities"]
    assert seconds("POST /predict") < MOST_SECONDS


def _stopwatch() -> Callable[[str], float]:
    """When called, the seconds of a processor that processes took which were started and have ended since then.

    They are what the wall clock says where nothing else runs; other tests do.  Both are printed.
    """
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)

    def seconds(what: str) -> float:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{what}: {used:.1f} s of a processor, {time.perf_counter() - began:.1f} s by the clock")
        return used

    return seconds


def _posted(port: int, clip: Path) -> dict:
    """What the server answers for a file, as JSON."""
    head = b'--part\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"\r\n\r\n'
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=240)) as connection:
        kind = {"Content-Type": "multipart/form-data; boundary=part"}
        connection.request("POST", "/predict", head + clip.read_bytes() + b"\r\n--part--\r\n", kind)
        return json.loads(connection.getresponse().read())


def _as_a_user(home: Path) -> dict[str, str]:
    """The environment of somebody who has never computed anything: nothing that tests set, and an empty home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX", "XLA", "PYTHON", "XDG"))}
    return {**kept, "HOME": str(home)}


def _imported() -> set[str]:
    """The packages of others that the code imports; jax2onnx is installed by hand (Makefile)."""
    names = set()
    for path in (path for top in PACKAGES for path in (ROOT / top).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"lift_flax", "jax2onnx"}


def _small(records: str | Path = "records") -> list[str]:
    fields = {**OVERRIDES, "train.teacher_epochs": 1, "train.student_epochs": 1, "data.dir": records}
    del fields["dataset"]
    return [f"--config.{name.replace('_', '-')}={value}" for name, value in fields.items()]


def _environment(folder: Path) -> Path:
    """Makes an environment that sees this one's packages, but not what is installed in place; returns its programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    paths = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    (site / "dependencies.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return Path(sysconfig.get_path("scripts", "venv", vars=paths))


def _pip(python: Path, *words: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
    _call([*command, words[0], "--no-deps", "--no-index", *words[1:]], Path.cwd())


def _call(command: list, here: Path, **variables: str) -> str:
    """What a command prints, in the environment of these variables alone if there are any.  It must end well."""
    environment = variables or {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(word) for word in command]
    ran = subprocess.run(words, cwd=here, env=environment, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, f"{' '.join(words)}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout
