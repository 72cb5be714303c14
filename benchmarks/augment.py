"""Time of the augmentations on a clip of 30 frames of 224x224, by stage.

    python benchmarks/augment.py

Prints ms per clip of each stage, of the fused warp against its parts one after another, and of all stages in one jit
against a jit for each; beside them XLA's own estimate of work and traffic, and how many arrays as large as a clip the
program writes.  A clip is 4.5 MB.  The warp takes 16 operations for each of its 4.5 million values and 11 MB of
traffic; all stages together 280 MFLOP, and in memory one clip more than they are given.

Why one jit for each stage: XLA on a CPU fuses the jitter with the blend of the warp's four corners, because the jitter
reads that blend several times (r, g and b for each colour, and the mean).  The gathers are not repeated: they are
written out, four arrays of a clip's size with frames innermost, and blended anew at every read, with long strides.
In a jit of its own the warp is one loop that writes one clip.  optimization_barrier changes nothing: it is gone before
fusion.  For the same reason the flow's vectors are turned in a jit of their own
(70 ms in one, 15 ms in two, with other work beside).

On two cores of a server CPU: warp 7 ms, as three samplings 20; warp and jitter 10 ms, in one jit 48; everything 18 ms,
in one jit 131.
"""

import argparse
import functools
import math
import re
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from lift_flax import presets
from lift_flax.augment import streams, warp
from lift_flax.config_checks import from_dict

BATCH, FRAMES, SIZE = 2, 30, 224
ROUNDS = 7
LARGE = BATCH * FRAMES * SIZE * SIZE * 2  # values in the smaller kind of clip, the flow


def measure(name: str, function, *args) -> None:
    """Prints the median time of a call, and for a jitted function what its compiled program says of itself."""
    jax.block_until_ready(function(*args))
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        jax.block_until_ready(function(*args))
        times.append(time.perf_counter() - start)
    line = f"{name:38s} {1e3 * statistics.median(times) / BATCH:7.1f} ms a clip"
    if hasattr(function, "lower"):
        program = function.lower(*args).compile()
        cost = program.cost_analysis()
        mflop, traffic = cost["flops"] / BATCH / 1e6, cost["bytes accessed"] / BATCH / 1e6
        line += f"   {mflop:7.0f} MFLOP {traffic:6.0f} MB   writes {_large_arrays(program.as_text())} arrays"
    print(line, flush=True)


def _large_arrays(program: str) -> int:
    """Results of at least a clip's size in the outermost computation."""
    entry = program[program.index("\nENTRY") :]
    shapes = re.findall(r"= \w+\[([\d,]+)\]\S* (?!parameter|bitcast|get-tuple)\w+", entry)
    return sum(math.prod(map(int, shape.split(","))) >= LARGE for shape in shapes)


def parts_apart(clip, key, ranges):
    """The warp's affine, optical and elastic part as three samplings."""
    keys = streams.row_keys(key, 0, jnp.arange(len(clip)))
    for part in (("matrix", "shift"), ("optical",), ("elastic",)):
        clip = _one_part(clip, keys, ranges, part)
    return clip


@functools.partial(jax.jit, static_argnums=(2, 3))
def _one_part(clip, keys, ranges, part):
    def one(clip, key):
        drawn = warp.draw_warp(key, ranges, SIZE, SIZE)
        nothing = warp.Warp(jnp.eye(2), jnp.zeros(2), jnp.zeros(()), jnp.zeros_like(drawn.elastic))
        only = nothing._replace(**{name: getattr(drawn, name) for name in part})
        return warp.sample(clip, *warp.coordinates(only, SIZE, SIZE))

    return jax.vmap(one)(clip, keys)


def main() -> None:
    """Prints the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    config = from_dict(presets.get_config("paper,unfreeze=all").to_dict())
    ranges, luminous = config.augment, config.model.luminous
    clip = np.random.default_rng(0).integers(0, 90, (BATCH, FRAMES, SIZE, SIZE, 3))
    clip = jnp.asarray(clip, jnp.uint8)
    flow = clip[..., :2] + 100
    key, shape = jax.random.key(0), clip.shape
    drawn = {name: (stage, draw) for stage, draw in streams.draw_stages(key, ranges, shape) for name in stage.texts}
    warping, drawn_warp = drawn["flip"]
    jitter, drawn_jitter = drawn["jitter"]
    sample_flow, turn_flow = warping.flow

    def warp_and_jitter(clip):
        return jitter.frames(warping.frames(clip, drawn_warp, ranges), drawn_jitter, ranges)

    def warp_then_jitter(clip):
        return bound_jitter(bound_warp(clip))

    def everything(clip):
        clip = streams.augment_frames(clip, streams.draw_stages(key, ranges, shape), ranges)
        return clip, streams._light(clip, luminous)

    bound_warp, bound_jitter = _bound(warping.frames, drawn_warp, ranges), _bound(jitter.frames, drawn_jitter, ranges)
    for name in ("shuffle", "flip", "jitter", "rain", "cutmix"):
        stage, draw = drawn[name]
        measure("warp" if stage is warping else name, _bound(stage.frames, draw, ranges), clip)
    measure("gamma", _bound(streams._light, luminous), clip)
    measure("flow: warp", _bound(sample_flow, drawn_warp, ranges), flow)
    measure(
        "flow: vectors",
        _bound(turn_flow, drawn_warp, ranges),
        jax.jit(sample_flow, static_argnums=2)(flow, drawn_warp, ranges),
    )
    measure("flow: luminous stream", _bound(streams._flow_stream, luminous), flow)
    measure("warp as three samplings", functools.partial(parts_apart, key=key, ranges=ranges), clip)
    measure("warp and jitter, a jit each", warp_then_jitter, clip)
    measure("warp and jitter, one jit", jax.jit(warp_and_jitter), clip)
    measure("everything, a jit each", everything, clip)
    measure("everything, one jit", jax.jit(everything), clip)


def _bound(function, *rest):
    """`function` with all but its first argument fixed, jitted anew so that its program can be asked."""
    return jax.jit(lambda first: function(first, *rest))


if __name__ == "__main__":
    main()
