"""Fetching weights, from a server of our own that answers as huggingface.co does."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest
from safetensors.numpy import save_file

from lift_flax.weights import converted
from tests.support.weights_tools import timm_tensors

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "timm/deit_small_patch16_224.fb_in1k"


class _Hub(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes] = {}
    asked: list[str] = []
    wrong = False

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        owner, name, _, _, file = self.path.strip("/").split("/", 4)
        type(self).asked.append(file)
        body = self.files.get(file) if f"{owner}/{name}" == REPOSITORY else None
        if body is None:
            self.send_error(404)
            return
        digest = hashlib.sha256(body + b"!" * self.wrong).hexdigest()
        self.send_response(200)
        for key, value in (("X-Repo-Commit", COMMIT), ("ETag", f'"{digest}"'), ("Content-Length", str(len(body)))):
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format, *args):  # the server says nothing
        pass


@pytest.fixture
def hub(tmp_path):
    """The address of a hub that holds a small DeiT of that name."""
    save_file(timm_tensors(3, dim=384, grid=2), tmp_path / "hub.safetensors")
    config = {"architecture": "deit_small_patch16_224", "pretrained_cfg": {"mean": [0.485, 0.456, 0.406]}}
    files = {
        "model.safetensors": (tmp_path / "hub.safetensors").read_bytes(),
        "config.json": json.dumps(config).encode(),
    }
    _Hub.files, _Hub.asked, _Hub.wrong = files, [], False
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _run(endpoint: str, tmp_path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_ETAG_TIMEOUT": "5", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "lift_flax.cli", "weights", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_vit_is_fetched_once_and_converted(hub, tmp_path):
    out = tmp_path / "downloads"
    first = _run(hub, tmp_path, "fetch", "deit_s16", f"--out={out}")
    assert first.returncode == 0, first.stderr
    kept = json.loads((out / "deit_s16" / "fetched.json").read_text())
    assert kept["commit"] == COMMIT and kept["repository"] == REPOSITORY
    assert kept["sha256"] == {name: hashlib.sha256(body).hexdigest() for name, body in _Hub.files.items()}
    _Hub.asked = []
    assert _run(hub, tmp_path, "fetch", "deit_s16", f"--out={out}").returncode == 0 and not _Hub.asked
    file = str(out / "deit_s16" / "model.safetensors")
    converting = _run(hub, tmp_path, "convert", "vit", file, "--blocks=3", f"--out={tmp_path / 'ours'}")
    assert "6 heads, as deit_small_patch16" in converting.stdout, converting.stderr
    facts = converted.load_facts(tmp_path / "ours")
    assert (facts["num_heads"], facts["mean"]) == (6, [0.485, 0.456, 0.406])
    assert facts["source"]["sha256"] == kept["sha256"]["model.safetensors"]


def test_without_a_network_it_says_which_files_to_bring(tmp_path):
    failed = _run("http://127.0.0.1:9", tmp_path, "fetch", "dinov2_s14", f"--out={tmp_path / 'downloads'}")
    assert failed.returncode == 2 and failed.stderr.count("\n") == 1
    assert "bring config.json, preprocessor_config.json, model.safetensors of it to" in failed.stderr


def test_another_file_than_was_promised_is_not_kept(hub, tmp_path):
    _Hub.wrong = True
    failed = _run(hub, tmp_path, "fetch", "deit_s16", f"--out={tmp_path / 'downloads'}")
    assert failed.returncode == 2 and "remove it and fetch again" in failed.stderr
    assert not (tmp_path / "downloads" / "deit_s16" / "fetched.json").exists()


def test_names_are_listed_and_others_refused(tmp_path):
    assert "dinov2_s14 " in _run("http://127.0.0.1:9", tmp_path, "fetch").stdout
    failed = _run("http://127.0.0.1:9", tmp_path, "fetch", "dinov9")
    assert failed.returncode == 2 and "unknown name dinov9: choose one of dinov2_s14" in failed.stderr
