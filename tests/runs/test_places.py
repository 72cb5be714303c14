"""What names a run besides its workdir: a package, huggingface.co, the network that comes with lift_flax."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import huggingface_hub
import pytest

import lift_flax
from lift_flax.errors import UserError
from lift_flax.evaluate import __main__ as evaluate
from lift_flax.explain import __main__ as explain
from lift_flax.predict import __main__ as predict
from lift_flax.report import __main__ as report
from lift_flax.runs import places
from lift_flax.runs.package import hub
from lift_flax.runs.trained import open_trained
from lift_flax.train.run import train_and_test
from tests.support.small_config import small_config

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FETCH = "import sys; from lift_flax.runs.places import find; print(find(sys.argv[1]).path)"


@pytest.fixture
def shipped(packed, monkeypatch) -> Path:
    """A package in the place of the network that comes with lift_flax."""
    monkeypatch.setattr(places, "SHIPPED_FOLDER", packed)
    return packed


@pytest.fixture(scope="module")
def video(records) -> Path:
    return min((records.parent / "videos" / "test").rglob("*.mp4"))


def test_without_a_workdir_the_shipped_network_answers(shipped, run, video, tmp_path, monkeypatch, capsys):
    predict.main([str(video), "--json"])
    said = capsys.readouterr()
    assert [*json.loads(said.out)["probabilities"]] == ["down", "right", "still"]
    assert said.err == (
        "no run is named: the network that comes with lift_flax answers, with 3 classes: down, right, still; what it "
        f"can do: {shipped / 'README.md'}\n"
    )
    stated = json.loads((shipped / "run.json").read_text())
    copy = shutil.copytree(shipped, tmp_path / "copy")
    (copy / "run.json").write_text(json.dumps({**stated, "measured": {"in_words": "right for 9 of 10\nbars"}}))
    monkeypatch.setattr(places, "SHIPPED_FOLDER", copy)
    assert lift_flax.load().workdir == copy
    said = capsys.readouterr().err
    assert f"still; right for 9 of 10\\nbars; what it can do: {copy / 'README.md'}\n" in said
    monkeypatch.setattr(places, "SHIPPED_FOLDER", shipped)
    lift_flax.load(run)
    assert capsys.readouterr().err == ""
    assert lift_flax.load().workdir == lift_flax.load("shipped").workdir == shipped
    assert capsys.readouterr().err.count("no run is named") == 1  # who writes shipped knows


@pytest.mark.slow
def test_it_explains_too(shipped, video, tmp_path, capsys):
    explain.main([str(video), f"--out={tmp_path}"])
    assert capsys.readouterr().err.startswith("no run is named")
    assert (tmp_path / video.stem / "explain.json").is_file()


def test_shipped_where_there_is_none_and_where_a_folder_has_that_name(shipped, tmp_path, monkeypatch, video):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shipped").mkdir()
    with pytest.raises(UserError, match=r"and there is a folder of that name here: give the folder's whole path"):
        open_trained("shipped")
    assert open_trained(None).workdir == shipped
    with pytest.raises(UserError, match="is not a workdir of a run"):
        open_trained(tmp_path / "shipped")
    monkeypatch.setattr(places, "SHIPPED_FOLDER", tmp_path / "none")
    with pytest.raises(
        UserError, match=r"no network comes with this lift_flax \(.*none is missing\): name a run, as --w"
    ):
        predict.main([str(video)])
    with pytest.raises(UserError, match="no network comes with this lift_flax"):
        lift_flax.load()


@pytest.mark.slow
def test_a_package_is_scored_on_records_that_are_given(packed, run, records, capsys):
    """It is known that the run has not learnt from its test clips; nothing is written into the package."""
    before = sorted((path.name, path.stat().st_mtime_ns) for path in packed.iterdir())
    evaluate.main([f"--workdir={packed}", f"--data-dir={records}", "--json"])
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    own = json.loads((run / "results.json").read_text())
    assert found["student"]["confusion"] == own["student"]["confusion"] and found["dataset"] == "small"
    assert (found["trained_on"], found["workdir"]) == (0, str(packed))
    with pytest.raises(UserError, match="is a package of a run, which does not say where its records are: give them"):
        evaluate.main([f"--workdir={packed}"])
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in packed.iterdir())


@pytest.mark.slow
def test_what_takes_a_workdir_alone_says_so(packed, records, tmp_path):
    zipped = tmp_path / "net.zip"
    zipped.touch()
    for place in (packed, zipped):
        with pytest.raises(UserError, match="is no workdir, which this needs: give the --workdir of a training"):
            report.main([f"--workdir={place}"])
    with pytest.raises(UserError, match="is no workdir, which this needs"):
        lift_flax.load(packed).report()
    with pytest.raises(UserError, match="is no workdir, which this needs"):
        train_and_test(small_config(records=records), packed)


def test_addresses():
    for address in ("hf://me/net", str(Path("hf://me/net")), "hf://me/net/"):
        assert hub.parse(address) == ("me/net", "main")
    assert hub.parse("hf://me/a.net_2@v1.0/x") == ("me/a.net_2", "v1.0/x")
    for address in ("hf://net", "hf:me/net", "hf://me/net/more", "hf://me/../x", "hf://../net"):
        with pytest.raises(UserError, match="is no address of a package: write hf://owner/name"):
            hub.parse(address)


class _Hub(http.server.SimpleHTTPRequestHandler):
    """Answers as huggingface.co does for the repository me/net, whose files lie in a folder."""

    def do_GET(self):
        names = [*(path.name for path in Path(self.directory).iterdir()), "pytorch_model.bin"]
        if self.path.startswith("/api/models/me/net/revision/"):
            facts = {"id": "me/net", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
            self._answer(json.dumps(facts).encode())
        elif self.path.startswith(f"/api/models/me/net/tree/{COMMIT}"):
            listed = [{"type": "file", "oid": COMMIT, "size": 1, "path": name} for name in names]
            self._answer(json.dumps(listed).encode())
        else:
            self.do_HEAD()

    def do_HEAD(self):
        path = Path(self.directory, self.path.rpartition("/")[2])
        if f"/me/net/resolve/{COMMIT}/" in self.path and path.is_file():
            self._answer(path.read_bytes())
        else:
            self.send_error(404)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        length = {"Content-Length": str(len(body)), "ETag": f'"{len(body)}"', "X-Repo-Commit": COMMIT}
        for key, value in length.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format, *args):  # the server says nothing
        pass


@pytest.fixture(scope="module")
def address(packed):
    """Of a hub that holds the package."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Hub, directory=str(packed)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _find(name: str, endpoint: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_ETAG_TIMEOUT": "5", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", FETCH, name]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_a_package_is_fetched_from_a_hub(address, packed, tmp_path):
    """Its own files alone: no pickle that lies beside them."""
    found = _find("hf://me/net@v1", address, tmp_path)
    assert found.returncode == 0, found.stderr
    folder = Path(found.stdout.strip())
    assert {path.name for path in folder.iterdir()} == {path.name for path in packed.iterdir()}
    assert open_trained(folder).classes == ("down", "right", "still")


def test_hubs_that_cannot_be_reached(monkeypatch):
    def lost(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lost)
    with pytest.raises(UserError, match=r"cannot fetch huggingface.co/me/net at main \(ConnectionError\): .* or bring"):
        lift_flax.load("hf://me/net")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"fetching hf://me/net needs huggingface_hub: pip install -e '\.\[hub\]'"):
        lift_flax.load("hf://me/net")


def test_every_way_to_name_a_run_takes_an_address(packed, monkeypatch):
    """Also where it went through a Path, which takes a slash away."""
    monkeypatch.setattr(hub, "fetch", lambda repository, revision: {("me/net", "main"): packed}[repository, revision])
    assert lift_flax.load("hf://me/net").workdir == packed
    flags = predict._parser().parse_args(["--workdir=hf://me/net", "clip.mp4"])
    assert open_trained(flags.workdir).packed
