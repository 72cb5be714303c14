"""How soon the live server answers, through a real socket: one visitor, four visitors, and the paper's network.

    python benchmarks/live.py --out=runs/live                       # six minutes, two idle cores
    python benchmarks/live.py --out=runs/live --seconds=10 --parts=one,four
    python benchmarks/live.py --out=runs/live --workdir=RUN --clips=CLIPS --parts=answers   # is what it says right?

Networks have random weights, which cost as much as trained ones.  Frames are noise of 320x240 px, 25 a second, sent as
the page sends them on the machine itself: raw, without loss.  `answers` sends the frames of 50 of the videos in CLIPS
and compares with `run.stream` on the same frames: without loss, as WebP of quality 95, and with a little noise.
"""

import argparse
import functools
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
from PIL import Image
from websockets.sync.client import ClientConnection, connect

import lift_flax
from lift_flax.calls.loaded_run import LoadedRun
from lift_flax.config_checks import from_dict
from lift_flax.export.package import write_package
from lift_flax.models.build import make_student
from lift_flax.models.functional import create
from lift_flax.runs.trained import TrainedRun
from lift_flax.serve.messages import packed, unpacked
from lift_flax.video.decode import decode_frames

FPS, WIDTH, HEIGHT = 25, 320, 240
CLASSES = ("Drink", "Jump", "Pick", "Pour", "Push", "Run", "Sit", "Stand", "Turn", "Walk", "Wave")
CONFIGS = {"any_tiny": ("any", "tiny"), "paper": ("arid", "paper,unfreeze=all")}
SIDE = 240  # px, shorter side of clips that are sent
MOST_CLIPS = 50
SENT = 40  # frames of a clip, its last
FORMS = {
    "rgba": "raw",
    "whole": "WebP without loss",
    "webp": "WebP of quality 95",
    "noise": "raw, each value changed by -1, 0 or 1",
}
_SLOW = 4  # frames at the beginning of a stream, for which things are made


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="gets networks and logs")
    parser.add_argument("--parts", default="one,four,paper", help="of one, four, paper, answers")
    parser.add_argument("--seconds", type=float, default=60.0, help="of frames that each visitor sends")
    parser.add_argument("--workdir", default="shipped", help="run that `answers` asks")
    parser.add_argument("--clips", type=Path, help="folder of videos for `answers`")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for part in args.parts.split(","):
        if part == "answers":
            videos = sorted(args.clips.rglob("*.mp4"))
            answers(args.workdir, videos[:: max(len(videos) // MOST_CLIPS, 1)][:MOST_CLIPS], args.out)
        else:
            config = "paper" if part == "paper" else "any_tiny"
            visits(part, network(config, args.out), 4 if part == "four" else 1, args.seconds, args.out)


def network(name: str, out: Path) -> Path:
    """A package with random weights of a preset."""
    path = out / name
    if not path.exists():
        module, preset = CONFIGS[name]
        values = __import__(f"configs.{module}", fromlist=["get_config"]).get_config(preset)
        config = from_dict(values.to_dict())
        net, draw = create(functools.partial(make_student, config, len(CLASSES)), config.seed)
        params, batch_stats = jax.jit(draw)()
        prepared = {"codec": "h264", "short_side": 256, "max_frames": 64, "flow": "none"}
        trained = TrainedRun(path, config, CLASSES, prepared, "none", net, params, batch_stats, 0, clip_seconds=2.0)
        write_package(trained, path)
    return path


class Server:
    """`lift-flax serve` as a process of its own."""

    def __init__(self, workdir: Path | str, log: Path):
        command = [sys.executable, "-m", "lift_flax.cli", "serve", f"--workdir={workdir}", "--port=0"]
        with log.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file)
        while not (found := re.search(r"http://127.0.0.1:(\d+)/", log.read_text())):
            if self.process.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.1)
        self.address = f"ws://127.0.0.1:{found[1]}/live"

    def megabytes(self) -> float:
        """Memory that it holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # pyright: ignore[reportOptionalSubscript]

    def held(self) -> tuple[int, int]:
        """(threads, sockets)."""
        root = Path(f"/proc/{self.process.pid}")
        links = [os.readlink(link) for link in (root / "fd").iterdir()]
        return len(list((root / "task").iterdir())), sum(link.startswith("socket:") for link in links)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def visits(part: str, workdir: Path, visitors: int, seconds: float, out: Path) -> None:
    """Prints what visitors get who film at once."""
    with Server(workdir, out / f"{part}.log") as server:
        _visits(part, server, visitors, seconds)


def _visits(part: str, server: Server, visitors: int, seconds: float) -> None:
    visit(server.address, 2.0, until_answer=True)  # compiles
    time.sleep(1)
    before, memory = server.held(), server.megabytes()
    found: list[dict] = []
    course: list[float] = []

    def one() -> None:
        found.append(visit(server.address, seconds, until_answer=part == "paper"))

    threads = [threading.Thread(target=one) for _ in range(visitors)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.5)
        course.append(server.megabytes())
    time.sleep(2 + max(each["p95_ms"] for each in found) / 500)  # what is being computed for nobody any more ends
    last = course[len(course) // 2 : -2] or course
    total = sum(each["answers"] for each in found)
    print(f"{part}: {visitors} at once, {seconds:g} s of {WIDTH}x{HEIGHT} px at {FPS} a second")
    for each in found:
        share = each["answers"] / max(total, 1)
        print(
            f"  received {each['received']}, dropped {each['dropped']}, answers {each['answers']} ({share:.0%}), "
            f"latency p50 {each['p50_ms']:.0f} ms, p95 {each['p95_ms']:.0f} ms"
        )
    print(f"  memory of the second half: {min(last):.0f} to {max(last):.0f} MiB; afterwards {server.megabytes():.0f},")
    print(f"  before {memory:.0f}; threads and sockets before {before}, afterwards {server.held()}", flush=True)


def visit(address: str, seconds: float, *, until_answer: bool) -> dict:
    """The last counts of a visitor who films for some seconds; with `until_answer` until one has come at least."""
    counts: dict = {"received": 0, "dropped": 0, "answers": 0, "p50_ms": 0.0, "p95_ms": 0.0}
    pictures = np.random.default_rng(0).integers(0, 90, (FPS, HEIGHT, WIDTH, 4), np.uint8)
    with connect(address, max_size=None, compression=None) as socket:

        def listen() -> None:
            for message in socket:
                if isinstance(message, bytes):
                    counts.update(unpacked(message)[0]["counts"])

        threading.Thread(target=listen, daemon=True).start()
        since, number = time.perf_counter(), 0
        while time.perf_counter() - since < seconds or (until_answer and not counts["answers"]):
            head = {"time": number / FPS, "width": WIDTH, "height": HEIGHT, "format": "rgba"}
            socket.send(packed(head, pictures[number % FPS].tobytes()))
            number += 1
            time.sleep(max(since + number / FPS - time.perf_counter(), 0))
        time.sleep(1)
    return counts


def answers(workdir: str, clips: list[Path], out: Path) -> None:
    """Prints how the server's answers for clips compare with those of a stream on the same frames."""
    with Server(workdir, out / "answers.log") as server:
        _answers(lift_flax.load(workdir), server, clips)


def _answers(run: LoadedRun, server: Server, clips: list[Path]) -> None:
    visit(server.address, 2.0, until_answer=True)  # compiles
    worst, same, bytes_sent = dict.fromkeys(FORMS, 0.0), dict.fromkeys(FORMS, 0), dict.fromkeys(FORMS, 0.0)
    count = 0
    for clip in clips:
        frames = decode_frames(clip, short_side=SIDE)[-SENT:]
        stream = run.stream(every=1)
        pushed = [stream.push(frame, index / FPS) for index, frame in enumerate(frames)]
        wanted = {answer.index: answer for answer in pushed if answer}
        if not wanted:
            print(f"{clip.name}: shorter than a window")
            continue
        count += 1
        for form in FORMS:
            messages = [_message(frame, index, form) for index, frame in enumerate(frames)]
            bytes_sent[form] += sum(map(len, messages)) / len(messages)
            found = asked(server.address, messages, min(wanted))
            apart = [np.abs(head["probabilities"] - wanted[index].probabilities).max() for index, head in found.items()]
            worst[form] = max(worst[form], *map(float, apart))
            same[form] += found[len(frames) - 1]["label"] == wanted[len(frames) - 1].label
    print(f"answers: {count} clips, {SENT} frames of each at most, against a stream on the same frames")
    for form, name in FORMS.items():
        size = bytes_sent[form] / count / 1000
        print(
            f"  {name}: {size:.0f} kB a frame, the same label at the end for {same[form]} of {count}, probabilities "
            f"at most {worst[form]:.1e} apart",
            flush=True,
        )


def asked(address: str, messages: list[bytes], first: int) -> dict[int, dict]:
    """{frame: answer} from frame `first` on; each frame is sent when the answer for the one before has come."""
    for pause in (0.05, 0.2, 0.8):
        found = _asked(address, messages, first, pause)
        if all(head["index"] == index for index, head in found.items()):
            return found
    sys.exit("frames were passed over: run it on an idle machine")


def _asked(address: str, messages: list[bytes], first: int, pause: float) -> dict[int, dict]:
    """`pause` is what a frame gets before the next one replaces it, where no answer is due."""
    found = {}
    with connect(address, max_size=None, compression=None) as socket:
        for index, message in enumerate(messages):
            socket.send(message)
            if index < first:
                if not index:
                    _until_ready(socket)
                time.sleep(6 * pause if index < _SLOW else pause)
                continue
            found[index] = _next_answer(socket)
    return found


def _message(frame: np.ndarray, index: int, form: str) -> bytes:
    height, width = frame.shape[:2]
    if form == "noise":
        noise = np.random.default_rng(index).integers(-1, 2, frame.shape)
        frame = np.clip(frame + noise, 0, 255).astype(np.uint8)
    if form in ("rgba", "noise"):
        data = np.dstack([frame, np.full((height, width), 255, np.uint8)]).tobytes()
    else:
        target = io.BytesIO()
        Image.fromarray(frame).save(target, "webp", quality=95, lossless=form == "whole")
        data = target.getvalue()
    head = {"time": index / FPS, "width": width, "height": height}
    return packed({**head, "format": "webp" if form in ("whole", "webp") else "rgba"}, data)


def _until_ready(socket: ClientConnection) -> None:
    while isinstance(message := socket.recv(), bytes) or json.loads(message).get("state") != "ready":
        pass


def _next_answer(socket: ClientConnection) -> dict:
    while True:
        message = socket.recv()
        if isinstance(message, bytes):
            return unpacked(message)[0]
        if (said := json.loads(message))["type"] == "error":
            sys.exit(said["reason"])


if __name__ == "__main__":
    main()
