"""What a trained student looked at in a clip, as arrays."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from lift_flax.augment.streams import clip_streams
from lift_flax.data.clip_reader import Parts
from lift_flax.explain import attention_rollout
from lift_flax.explain import class_activation as activation
from lift_flax.models import inputs
from lift_flax.runs.trained import TrainedRun
from lift_flax.video.gamma import gamma_table


@dataclasses.dataclass(frozen=True)
class Explanation:
    """One clip's.

    Attributes:
      frames: gamma-corrected, also where the luminous stream takes flow.
      probabilities: of the student.
      label: the class that activation and relevance are about.
      main, luminous: weight of each frame in either stream, together 1 (lift_flax/explain/attention_rollout.py).
      attention: weight of each patch of each frame, 1 in all: that of the frame, shared out among its patches.
      activation: of the class, as fine as the part of the network that it is taken from (class_activation.py).
      stage: that part.
      relevance: of each frame's fused token for the class.
      spectra: before and after the Fourier Enhancement of each level; N = 0 without.
    """

    frames: UInt8[np.ndarray, "T H W 3"]
    probabilities: Float[np.ndarray, "K"]
    label: int
    main: Float[np.ndarray, "T"]
    luminous: Float[np.ndarray, "T"]
    attention: Float[np.ndarray, "T h w"]
    activation: Float[np.ndarray, "t y x"]
    stage: str
    relevance: Float[np.ndarray, "T"]
    spectra: Float[np.ndarray, "N 2 T E"]


class Explainer:
    """Looks into one trained student; compiled at its first clip."""

    def __init__(self, trained: TrainedRun):
        self.trained = trained
        size = trained.config.model.luminous.size
        clip = (1, trained.config.data.num_frames, size, size, 3)
        model = jax.eval_shape(trained.network.module, trained.params, trained.batch_stats)
        self.stage = activation.choose_stage(model, jax.ShapeDtypeStruct(clip, trained.config.train.dtype))
        self._look = jax.jit(functools.partial(_look, trained, self.stage))

    def __call__(self, parts: Parts, label: int | None = None) -> Explanation:
        """Explains one clip: "clip" uint8 [T,H,W,3], and "flow" uint8 [T,H,W,2] where the run takes it.

        Args:
          label: the class to ask for; None for the one that the student predicts.
        """
        trained = self.trained
        batch = {name: jnp.asarray(parts[name])[None] for name in ("clip", "flow") if name in parts}
        views = clip_streams(batch, trained.config)
        asked = jnp.array([-1 if label is None else label])
        found = jax.tree.map(np.asarray, self._look(trained.params, trained.batch_stats, views, asked))
        return Explanation(
            frames=gamma_table(trained.config.model.luminous.gamma)[parts["clip"]],
            probabilities=found["probabilities"][0],
            label=int(found["label"][0]),
            main=found["main"][0],
            luminous=found["luminous"][0],
            attention=_attention(found["main"][0], found["luminous"][0], found["patches"][0]),
            activation=found["activation"][0],
            stage=self.stage,
            relevance=found["relevance"][0],
            spectra=found["spectra"],
        )


def _look(trained: TrainedRun, stage: str, params: dict, batch_stats: dict, views: dict, asked: jax.Array) -> dict:
    """All that is asked of the network about a batch of one clip; traced once."""
    model = trained.network.module(params, batch_stats)
    dark, luminous = inputs.student_inputs(trained.config, views)
    found = attention_rollout.walk(model, dark, luminous)
    label = jnp.where(asked < 0, found["logits"].argmax(axis=-1), asked)  # [B]
    levels = [jnp.stack([before[0], after[0]]) for before, after in found.pop("foe")]
    return {
        **found,
        "label": label,
        "probabilities": jax.nn.softmax(found["logits"]),
        "activation": activation.class_activation(model, dark, luminous, label, stage),
        "relevance": activation.frame_relevance(model, found["fused"], label),
        "spectra": jnp.stack(levels) if levels else jnp.zeros((0, 2, *found["fused"].shape[1:])),
    }


def _attention(
    main: Float[np.ndarray, "T"], luminous: Float[np.ndarray, "T"], patches: Float[np.ndarray, "T h w"]
) -> Float[np.ndarray, "T h w"]:
    """Frame weight times patch weight.  Patches are the main stream's; without one, frames are all there is to it."""
    weights = main if main.sum() > 0 else luminous
    return (weights / weights.sum())[:, None, None] * patches
