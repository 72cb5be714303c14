"""The list of augmentations: what each stage draws, what it does to a batch, and what the preview writes beside it.

A new augmentation takes three edits of code: a function from clips to clips in a file of this folder, its probability
and ranges in `config.Augment`, and a `Stage` in `STAGES`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Key

from lift_flax.augment import colour, cutmix, exposure, rain, shuffle, warp
from lift_flax.config import Augment


def _the_key(key: Key[Array, ""], ranges: Augment, shape: tuple[int, ...]) -> Key[Array, ""]:
    """The draw of a stage that draws while it changes the frames: nothing else has to follow its draw."""
    del ranges, shape
    return key


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """One stage of the augmentation.  Each of its functions is jitted by itself.

    Attributes:
      purpose: the number that its random keys fold in.  A new stage takes a new number; a changed one would change the
        draws of every run.
      texts: {augmentation: ranges -> what the preview writes beside it}.  The names are the probabilities in
        `config.Augment`; the stage is left out, and not compiled, where all of them are 0.
      frames: (uint8 clips [B,T,H,W,3], draws, ranges) -> clips of the same shape.
      draw: (key of a row, ranges, shape [T,H,W,C] of its clip) -> arrays, drawn once for the row's frames, flow and
        target.
      flow: functions like `frames`, one after another, from coded flow uint8 [B,T,H,W,2] to the same; none leaves it as
        it is.
      targets: (targets [B,K], draws, ranges) -> [B,K]; None leaves them as they are.
    """

    purpose: int
    texts: dict[str, Callable[[Augment], str]]
    frames: Callable[[Array, Any, Augment], Array]
    draw: Callable[[Key[Array, ""], Augment, tuple[int, ...]], Any] = _the_key
    flow: tuple[Callable[[Array, Any, Augment], Array], ...] = ()
    targets: Callable[[Array, Any, Augment], Array] | None = None

    def is_on(self, ranges: Augment) -> bool:
        """Whether any of its augmentations is ever drawn."""
        return any(getattr(ranges, name) for name in self.texts)


def by_row(function: Callable[[Array, Any, Augment], Array]) -> Callable[[Array, Any, Augment], Array]:
    """A function of one clip and its draw, as a function of a batch."""
    return lambda batch, draws, ranges: jax.vmap(lambda one, drawn: function(one, drawn, ranges))(batch, draws)


STAGES = (  # in the order in which they are applied
    Stage(
        purpose=4,
        texts={"shuffle": lambda r: "all frames in any order"},
        draw=lambda key, r, shape: shuffle.frame_order(key, r.shuffle, shape[0]),
        frames=by_row(lambda clip, order, r: clip[order]),
        flow=(by_row(lambda flow, order, r: flow[order]),),
    ),
    Stage(
        purpose=0,
        texts={
            "flip": lambda r: "",
            "affine": lambda r: (
                f"zoom 1 ± {r.scale:g}, turn ± {r.rotate:g}°,\nshift ± {r.translate:g} of a side, shear ± {r.shear:g}°"
            ),
            "optical": lambda r: f"k ± {r.optical_k:g}",
            "elastic": lambda r: f"7x7 points, deviation {r.elastic_std:g} px",
        },
        draw=lambda key, r, shape: warp.draw_warp(key, r, *shape[1:3]),
        frames=by_row(lambda clip, drawn, r: warp.warp_clip(clip, drawn)),
        # in two jits: in one, XLA samples anew for every use of a vector (benchmarks/augment.py)
        flow=(
            by_row(lambda flow, drawn, r: warp.sample_flow(flow, drawn)),
            by_row(lambda moved, drawn, r: warp.turn_flow(moved, drawn)),
        ),
    ),
    Stage(
        purpose=1,
        texts={
            "jitter": lambda r: (
                f"brightness ± {r.brightness:g}, contrast ± {r.contrast:g},\n"
                f"saturation ± {r.saturation:g}, hue ± {r.hue:g} turns"
            ),
        },
        frames=by_row(colour.jitter),
    ),
    Stage(
        purpose=2,
        texts={
            "rain": lambda r: (
                f"slant ± {r.rain_slant:g}°, streaks of {r.rain_length:g} px,\n"
                f"{r.rain_speed:g} px a frame, scene darker by {r.rain_darken:g}"
            ),
        },
        frames=by_row(rain.rain),
    ),
    Stage(
        purpose=5,
        texts={
            "exposure": lambda r: (
                f"-{r.exposure_darker:g} to +{r.exposure_lighter:g} stops, wells of {r.exposure_well:g} to\n"
                f"{r.exposure_well * r.exposure_wells:g} electrons, read noise to {r.exposure_read_noise:g}"
            ),
        },
        frames=by_row(exposure.expose),
    ),
    Stage(
        purpose=3,
        texts={"cutmix": lambda r: "area uniform, from the clip before"},
        draw=lambda key, r, shape: cutmix.draw_box(key, r.cutmix, *shape[1:3]),
        frames=lambda clips, boxes, r: cutmix.paste(clips, boxes.edges),
        flow=(lambda flows, boxes, r: cutmix.paste(flows, boxes.edges),),
        targets=lambda targets, boxes, r: cutmix.mix_targets(targets, boxes.share),
    ),
)
