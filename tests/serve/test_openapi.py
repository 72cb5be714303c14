"""docs/openapi.yaml is true of the live server: its routes, and the fields of what they give."""

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import av
import jsonschema
import numpy as np
import pytest
import yaml
from openapi_spec_validator import validate
from starlette.routing import Route

from lift_flax.predict.answers import ClipAnswer, StreamAnswer, VideoAnswer
from lift_flax.predict.live.window import LiveClip
from lift_flax.predict.output.lines import as_json
from lift_flax.serve.app import make_app
from lift_flax.serve.limits import Limits
from lift_flax.serve.messages import Settings
from lift_flax.serve.reception import Reception
from lift_flax.serve.session import answer_json
from lift_flax.serve.visitors.visitor import LiveAnswer
from tests import ROOT
from tests.conftest import moving_bar
from tests.support.live_tools import PATIENCE, LiveServer, live_server
from tests.support.video_files import write_video

SPEC = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
OF_THE_PAGE = {"/", "/card"}
SHARES = np.array([0.75, 0.25], np.float32)


def _check(name: str, found: Any) -> None:
    """Raises where something is not as the description says."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": SPEC["components"]}
    jsonschema.Draft202012Validator(schema).validate(found)


def _fields(name: str) -> set[str]:
    return set(SPEC["components"]["schemas"][name]["properties"])


def test_it_is_an_openapi_document_of_the_routes_for_programs():
    validate(SPEC)
    app = make_app(
        create_autospec(Reception, instance=True, limits=Limits()), names=frozenset(), any_address=False, token=""
    )
    routes = {route.path: (route.methods or set()) - {"HEAD"} for route in app.routes if isinstance(route, Route)}
    described = {path: {method.upper() for method in item} for path, item in SPEC["paths"].items()}
    assert {path: methods for path, methods in routes.items() if path not in OF_THE_PAGE} == described
    settings = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert f"\nversion = {SPEC['info']['version']}\n" in settings


def test_answers_have_the_fields_that_it_names():
    clips = tuple(ClipAnswer(float(i), i + 1.0, "Walk", 0.75) for i in range(2))
    long = as_json(VideoAnswer("a.mp4", ("Walk", "Run"), SHARES, clips, ("odd",), is_long=True))
    _check("Answer", long)
    assert set(long) == _fields("Answer") and set(long["timeline"][0]) == _fields("Span")
    answer = StreamAnswer(3, "Walk", 0.75, SHARES, 5.0, 1.5)
    live = answer_json(LiveAnswer(answer, create_autospec(LiveClip), np.zeros((2, 2, 3), np.uint8), Settings(), 7.0))
    assert set(live) == _fields("Event")


def test_refusals_are_those_of_the_code():
    """Every status that is raised in the files of these routes, and no other."""
    for path, files in {"/predict": ["uploads"], "/events": ["programs"], "/stream": ["programs"]}.items():
        texts = [(ROOT / "lift_flax" / "serve" / f"{name}.py").read_text(encoding="utf-8") for name in files]
        raised = set(re.findall(r"HTTPException\((\d{3})|\}, (\d{3})\)", "".join(texts)))
        refused = set(re.findall(r"return (\d{3}), ", (ROOT / "lift_flax/serve/access.py").read_text(encoding="utf-8")))
        (item,) = SPEC["paths"][path].values()
        assert {"".join(found) for found in raised} | refused | {"200"} == set(item["responses"]), path


def _asked(server: LiveServer, path: str, data: bytes | None = None, kind: str = "") -> tuple[int, Any]:
    request = urllib.request.Request(f"{server.address}{path}", data, {"content-type": kind} if kind else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def _wait_for(server: LiveServer) -> None:
    """Waits until a server answers: it prints its address a moment before."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            _asked(server, "health")
            return
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _form(content: bytes) -> bytes:
    head = '--part\r\ncontent-disposition: form-data; name="file"; filename="clip.mp4"\r\n\r\n'
    return head.encode() + content + b"\r\n--part--\r\n"


@pytest.mark.slow
def test_what_comes_back_is_as_it_says(server: LiveServer, run: Path, tmp_path: Path):
    form = "multipart/form-data; boundary=part"
    _wait_for(server)
    video = write_video(tmp_path / "clip.mp4", moving_bar(0, 3, 60)).read_bytes()
    for path, data, kind, status, schema in (
        ("health", None, "", 200, "Health"),
        ("predict?timeline=yes", _form(video), form, 200, "Answer"),
        ("predict", _form(b"no video"), form, 422, "BadVideo"),
        ("predict", b"no form", "text/plain", 415, "Error"),
        ("events", None, "", 409, "Error"),
        ("stream", None, "", 409, "Error"),
    ):
        code, found = _asked(server, path, data, kind)
        assert code == status, (path, found)
        _check(schema, found)
    source = write_video(tmp_path / "source.mp4", moving_bar(1, 3, 60))
    with live_server(run, tmp_path / "log", f"--source={source}") as camera:
        _wait_for(camera)
        with urllib.request.urlopen(f"{camera.address}events", timeout=60) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            line = next(line for line in answer if line.startswith(b"data: "))
        _check("Event", json.loads(line.removeprefix(b"data: ")))
        with av.open(f"{camera.address}stream", timeout=(60, 60)) as stream:
            shown = next(stream.decode(video=0)).to_ndarray(format="rgb24")
        assert shown.shape == (48 + 24, 64, 3) and shown[:48].max() < 100 < shown[48:].max(), "its label is below it"
        code, found = _asked(camera, "health")
        assert (code, found["source"]) == (200, "running")
        _check("Health", found)
