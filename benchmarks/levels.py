"""What the levels do to numbers, at the paper's size and at the start: how far changes, rounding and streams reach.

    python -m benchmarks.levels [--levels=1,2,8] [--norms=plane,row] [--residuals=luminous,both,gate,main]

For each norm of the spectrum and each N: by what factor a change of 1e-9 in either stream comes out of the levels, and
how far products in float32, TF32 and bfloat16 are from float64.  Then, for each residual of the fusion and each N, the
share of the output that each stream has: by how much it changes, relative to its size, when the stream is exchanged for
that of another clip.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.rounded_products import with_rounded_products
from lift_flax import command_line
from lift_flax.models.fusion import Level, LevelSpec
from lift_flax.models.layers.precision import exact
from lift_flax.models.lift_net import Head, pooling_matrix

DIM, HEADS, FRAMES, STEPS, CLASSES = 512, 8, 30, 4, 11
NORMS, RESIDUALS = ("plane", "branch", "after", "row"), ("luminous", "main", "both", "gate")


class AfterTrunks(nnx.Module):
    """Levels and head, as LIFT-Net has them."""

    def __init__(self, levels: int, spec: LevelSpec, rngs: nnx.Rngs):
        self.levels = nnx.List([Level(DIM, spec, rngs=rngs) for _ in range(levels)])
        self.head = Head(DIM, CLASSES, rngs=rngs)

    @exact
    def __call__(self, main, luminous):
        for level in self.levels:
            main, luminous = level(main, luminous)
        return {"fused": main, "logits": self.head(main, train=False)}


def tokens(seed: int) -> dict[str, np.ndarray]:
    """Both streams of two clips [2, T, E], alike from frame to frame: a normalised one, and a trunk's steps, pooled."""
    rng = np.random.default_rng(seed)
    main = rng.normal(size=(2, 1, DIM)) + 0.3 * rng.normal(size=(2, FRAMES, DIM))
    steps = np.maximum(rng.normal(size=(2, 1, DIM)) + 0.3 * rng.normal(size=(2, STEPS, DIM)), 0)
    return {"main": main, "luminous": np.einsum("St,BtE->BSE", pooling_matrix(FRAMES, STEPS), steps)}


def distance(found, expected) -> float:
    """How far `found` is from `expected`, relative to its size."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def _made(levels: int, spec: LevelSpec, seed: int = 0):
    graphdef, arrays = nnx.split(AfterTrunks(levels, spec, nnx.Rngs(seed)))
    return (lambda arrays, main, luminous: nnx.merge(graphdef, arrays)(main, luminous)), nnx.to_pure_dict(arrays)


def conditioning(levels: int, norm: str) -> dict[str, float]:
    """Factors for a small change of "main" and "luminous"; distances of "float32 fused", "tf32 logits", ..."""
    run, arrays = _made(levels, LevelSpec(HEADS, foe_norm=norm))
    streams, facts = tokens(0), {}
    with jax.enable_x64(True):
        in_float64, jitted = jax.tree.map(lambda x: x.astype(jnp.float64), arrays), jax.jit(run)
        expected = jitted(in_float64, **streams)
        for name, x in streams.items():
            moved = x * (1 + 1e-9 * np.random.default_rng(1).normal(size=x.shape))
            fused = jitted(in_float64, **{**streams, name: moved})["fused"]
            facts[name] = distance(fused, expected["fused"]) / distance(moved, x)
    inputs = [jnp.asarray(streams[name], jnp.float32) for name in ("main", "luminous")]
    for precision in ("float32", "tf32", "bfloat16"):
        found = jax.jit(run if precision == "float32" else with_rounded_products(run, precision))(arrays, *inputs)
        facts |= {f"{precision} {name}": distance(found[name], expected[name]) for name in expected}
    return facts


def influence(levels: int, residual: str) -> dict[str, float]:
    """How much the fused tokens change when either stream becomes another clip's."""
    run, arrays = _made(levels, LevelSpec(HEADS, residual=residual))
    streams, others = tokens(0), tokens(1)
    with jax.enable_x64(True):
        in_float64, jitted = jax.tree.map(lambda x: x.astype(jnp.float64), arrays), jax.jit(run)
        fused = jitted(in_float64, **streams)["fused"]
        exchanged = {name: jitted(in_float64, **{**streams, name: others[name]})["fused"] for name in streams}
    return {name: distance(found, fused) for name, found in exchanged.items()}


def main() -> None:
    """Prints both tables as Markdown."""
    parser = command_line.parser(__doc__, "python -m benchmarks.levels")
    parser.add_argument("--levels", default="1,2,4,8", help="numbers of levels")
    parser.add_argument("--norms", default=",".join(NORMS), help="of the spectrum")
    parser.add_argument("--residuals", default=",".join(RESIDUALS), help="of the fusion")
    args = parser.parse_args()
    counts = [int(count) for count in args.levels.split(",")]
    print("| norm, N | change of luminous, main | float32 fused, logits | TF32 | bfloat16 |\n|---|---|---|---|---|")
    for norm, count in itertools.product(filter(None, args.norms.split(",")), counts):
        facts = conditioning(count, norm)
        pairs = [(facts["luminous"], facts["main"])]
        pairs += [(facts[f"{p} fused"], facts[f"{p} logits"]) for p in ("float32", "tf32", "bfloat16")]
        print(f"| {norm}, {count} | " + " | ".join(f"{a:.1e}, {b:.1e}" for a, b in pairs) + " |", flush=True)
    print("\n| residual, N | luminous | main |\n|---|---|---|")
    for residual, count in itertools.product(filter(None, args.residuals.split(",")), counts):
        facts = influence(count, residual)
        print(f"| {residual}, {count} | {facts['luminous']:.1e} | {facts['main']:.1e} |", flush=True)


if __name__ == "__main__":
    main()
