"""How fast a trained network answers: clips, a fresh process, frames of a camera.

    python benchmarks/inference.py --size=112                  # the paper's network, its R(2+1)D at 112x112
    python benchmarks/inference.py --config=tiny --steps=20 --json

Random weights, saved as a run and loaded as any run is, and clips of noise: neither changes the work.  What is compared
is measured in turn in one process; every time is the median of --steps, with the least and the most.
"""

import argparse
import contextlib
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from timed_steps import count

import lift_flax
from lift_flax import command_line, presets
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.errors import UserError, run_cli
from lift_flax.models.build import make_student
from lift_flax.models.functional import create, flatten, unflatten
from lift_flax.models.inputs import activation_dtype, normalise
from lift_flax.predict.inference import unfolded
from lift_flax.predict.predictor import Predictor
from lift_flax.runs import config_file
from lift_flax.runs.checkpoints import Checkpoints

STRIDES = (1, 5, 10, 30)
PREPARED = {"codec": "h264", "short_side": 256, "max_frames": 64, "flow": "dis"}

COLD = """
import json, time
since = time.perf_counter()
import numpy, lift_flax
imported = time.perf_counter()
predictor = lift_flax.load({workdir!r})
loaded = time.perf_counter()
how = predictor.preparation
predictor(numpy.zeros((how.num_frames, how.size, how.size, 3), numpy.uint8))
answered = time.perf_counter()
stream = predictor.stream()
print(json.dumps({{"import_s": imported - since, "load_s": loaded - imported, "first_answer_s": answered - loaded,
                   "stream_s": time.perf_counter() - answered}}))
"""


def read_config(args: argparse.Namespace) -> Config:
    """The preset with what the flags change; all blocks may train, since weights are random."""
    try:
        values = presets.get_config(args.config).unlock()
    except ValueError as error:
        raise UserError(str(error)) from error
    given = {"data.num_frames": args.frames, "model.levels": args.n, "model.luminous.size": args.size}
    values.update_from_flattened_dict({name: value for name, value in given.items() if value is not None})
    values.model.pvit.unfreeze = "all"
    return from_dict(values.to_dict())


def write_run(config: Config, classes: int, workdir: Path) -> None:
    """A run with random weights, as far as predicting reads it."""
    rng = np.random.default_rng(0)

    def drawn(path: str, shape: tuple[int, ...]) -> np.ndarray:
        if path.endswith("kernel"):
            return rng.standard_normal(shape, np.float32) * np.prod(shape[:-1], dtype=np.float32) ** -0.5
        return np.full(shape, path.endswith(("scale", "var")), np.float32)

    _, draw = create(functools.partial(make_student, config, classes), 0)
    names = ("params", "batch_stats")
    trees = [unflatten({k: drawn(k, v.shape) for k, v in flatten(tree).items()}) for tree in jax.eval_shape(draw)]
    workdir.mkdir()
    config_file.save(config, workdir / "config.json")
    facts = {"classes": [f"class {i}" for i in range(classes)], "prepared": PREPARED, "train_digest": ""}
    (workdir / "run.json").write_text(json.dumps(facts))
    with contextlib.closing(Checkpoints(workdir / "student")) as checkpoints:
        checkpoints.save(1, dict(zip(names, trees, strict=True)), data={"examples": 0})


def in_turn(functions: dict[str, Callable], steps: int) -> dict[str, list[float]]:
    """Milliseconds of each function, called in turn: [median, least, most]; once before that it compiles."""
    for function in functions.values():
        jax.block_until_ready(function())
    taken = {name: [] for name in functions}
    for _ in range(steps):
        for name, function in functions.items():
            since = time.perf_counter()
            jax.block_until_ready(function())
            taken[name].append(1000 * (time.perf_counter() - since))
    return {name: [statistics.median(ms), min(ms), max(ms)] for name, ms in taken.items()}


def cold_starts(workdir: Path) -> dict[str, dict[str, float]]:
    """Seconds of a fresh process by part, without and then with programs in the compile cache."""
    with tempfile.TemporaryDirectory() as cache:
        own = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        environment = {**os.environ, **own}  # as compilation_cache.py has it where the user has chosen nothing
        command = [sys.executable, "-c", COLD.format(workdir=str(workdir))]
        return {
            name: json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
            for name in ("empty_cache", "warm_cache")
        }


def clips(predictor: Predictor, steps: int) -> dict[str, list[float]]:
    """Milliseconds of one clip, folded and as trained, and of a batch."""
    trained, rng = predictor.trained, np.random.default_rng(0)
    how, batch_size = predictor.preparation, predictor.batch_size
    video = rng.integers(0, 60, (how.num_frames, how.size, how.size, 3), np.uint8)
    (clip,) = predictor.read(video)
    one = [jnp.asarray(part)[None] for part in clip.parts.values()]
    as_trained = unfolded(trained)
    return in_turn(
        {
            "one": lambda: predictor.probabilities([clip]),
            "one_unfolded": lambda: as_trained(*one)["probabilities"],
            "batch": lambda: predictor.probabilities([clip] * batch_size),
        },
        steps,
    )


def vit(predictor: Predictor, steps: int) -> dict[str, list[float]]:
    """Milliseconds of the main stream, by numbers of frames that go through it together; "stream": as a stream does."""
    folded, how = predictor._folded, predictor.preparation
    pvit = folded.config.model.pvit

    @jax.jit
    def main_stream(arrays, frames):
        dark = normalise(frames[None], pvit.mean, pvit.std).astype(activation_dtype(folded.config))  # [1, T, H, W, 3]
        return folded.student(arrays).main(dark)

    frames = np.random.default_rng(0).integers(0, 60, (how.num_frames, how.size, how.size, 3), np.uint8)
    counts = sorted({1, min(5, how.num_frames), how.num_frames})
    together = {str(n): functools.partial(main_stream, folded.arrays, frames[:n]) for n in counts}
    return in_turn({**together, "stream": lambda: predictor._stream_programs.token(frames[0])}, steps)


def stream(predictor: Predictor, every: int, steps: int) -> dict[str, list[float]]:
    """Milliseconds of a stream: of all pushes of a window together, and from the last one to the answer.

    "latency" is that of a camera slower than the main stream; "window" is measured without any waiting.
    """
    how, rng = predictor.preparation, np.random.default_rng(0)
    frames = rng.integers(0, 60, (how.num_frames, how.size, how.size, 3), np.uint8)
    latencies, windows = [], []
    for wait in (True, False):
        camera = predictor.stream(every=every)
        for frame in frames:
            camera.push(frame)
        for _ in range(steps):
            since = time.perf_counter()
            for i in range(every):
                if wait:
                    jax.block_until_ready(list(camera._tokens))
                answer = camera.push(frames[i % how.num_frames])
            (latencies if wait else windows).append(answer.latency_ms if wait else 1000 * (time.perf_counter() - since))
    return {
        name: [statistics.median(ms), min(ms), max(ms)] for name, ms in (("latency", latencies), ("window", windows))
    }


def measure(args: argparse.Namespace, config: Config, workdir: Path) -> dict:
    """Everything; times in milliseconds as [median, least, most], cold starts in seconds."""
    write_run(config, args.classes, workdir)
    found = {"cold_start": cold_starts(workdir)}
    predictor = lift_flax.load(workdir, batch_size=args.batch).predictor
    found["clip_ms"] = clips(predictor, args.steps)
    found["vit_ms"] = vit(predictor, args.steps)
    found["stream_ms"] = {every: stream(predictor, every, args.steps) for every in STRIDES}
    ms, vit_ms = found["clip_ms"], found["vit_ms"]
    found["clips_per_s"] = 1000 * args.batch / ms["batch"][0]
    found["folded_share"] = ms["one"][0] / ms["one_unfolded"][0]
    recomputed = vit_ms[str(config.data.num_frames)][0]
    found["vit_share"] = {k: min(k, config.data.num_frames) * vit_ms["stream"][0] / recomputed for k in STRIDES}
    return found


def show(found: dict, args: argparse.Namespace) -> None:
    """The same for people."""

    def times(ms: list[float]) -> str:
        return f"{ms[0]:9.1f} ms ({ms[1]:.1f} to {ms[2]:.1f})"

    for name, parts in found["cold_start"].items():
        seconds_of_parts = ", ".join(
            f"{part[:-2].replace('_', ' ')} {seconds:.1f} s" for part, seconds in parts.items()
        )
        print(f"fresh process, {name.replace('_', ' ')}: {seconds_of_parts}")
    clip = found["clip_ms"]
    print(f"one clip             {times(clip['one'])}")
    print(f"  BatchNorm unfolded {times(clip['one_unfolded'])}; folded takes {found['folded_share']:.3f} of it")
    print(f"batch of {args.batch}           {times(clip['batch'])}; {found['clips_per_s']:.2f} clips/s")
    for name, ms in found["vit_ms"].items():
        print(f"main stream, {name if name == 'stream' else f'{name} frames'}: {times(ms)}")
    for every, ms in found["stream_ms"].items():
        print(
            f"answer every {every:2} frames: latency {times(ms['latency'])}, all pushes {times(ms['window'])}; "
            f"main stream {found['vit_share'][every]:.3f} of computing it for the window"
        )


def main() -> None:
    """The command line."""
    parser = command_line.parser(__doc__, "python -m benchmarks.inference")
    parser.add_argument("--config", default="paper", help="PRESET[,key=value...] of lift_flax/presets.py")
    parser.add_argument("--size", type=count, help="px, of the R(2+1)D's frames; the preset's if not given")
    parser.add_argument("--frames", type=count, help="of a clip; the preset's if not given")
    parser.add_argument("--n", type=count, help="levels; the preset's if not given")
    parser.add_argument("--classes", type=count, default=11)
    parser.add_argument("--batch", type=count, default=8, help="clips of the throughput")
    parser.add_argument("--steps", type=count, default=5, help="times that each is measured")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    config = read_config(args)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args, config, Path(folder) / "run")
    if args.json:
        print(json.dumps({"config": args.config, "size": config.model.luminous.size, **found}))
    else:
        show(found, args)


if __name__ == "__main__":
    run_cli(main)
