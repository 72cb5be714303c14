"""What a trained student looked at in a clip, as arrays."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from lift_flax.augment.streams import clip_streams
from lift_flax.config import Config
from lift_flax.explain import class_activation
from lift_flax.explain.attention_rollout import LevelWeights, frame_rollout, patch_rollout
from lift_flax.models.build import level_count, luminous_token_count
from lift_flax.models.functional import Network, Tree
from lift_flax.models.inputs import Streams, activation_dtype, student_inputs
from lift_flax.models.intermediates import Intermediates
from lift_flax.models.lift_net import pooling_matrix
from lift_flax.models.video_resnet import TRUNKS, map_shape
from lift_flax.runs.trained import TrainedRun
from lift_flax.video.clips import Parts
from lift_flax.video.gamma import light

Arrays = dict[str, Array]  # intermediates by name (lift_flax/models/intermediates.py)


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a student looked at in one clip.

    Attributes:
      frames: gamma-corrected, even if the luminous stream takes flow.
      probabilities: of the student.
      label: the class that activation and relevance are about.
      main, luminous: weight of each frame in either stream, together 1 (lift_flax/explain/attention_rollout.py).
      attention: weight of each patch of each frame, 1 in all: that of the frame, shared out among its patches.
      activation: map of the class, in the size of the part of the network that it comes from (class_activation.py).
      stage: that part.
      relevance: of each frame's fused token for the class.
      spectra: tokens before and after each level's Fourier Enhancement, S of them; N = 0 without one.
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
    spectra: Float[np.ndarray, "N 2 S E"]


class Explainer:
    """Explains the answers of one trained student; compiles its program at the first clip.

    Attributes:
      trained: the run.
      stage: the part of the student that activation maps are taken from.
    """

    def __init__(self, trained: TrainedRun):
        self.trained = trained
        config = trained.config
        frames, dtype = config.data.num_frames, activation_dtype(config)
        sizes = ((config.data.size, 3), (config.model.luminous.size, config.model.luminous.channels))
        dark, luminous = (jax.ShapeDtypeStruct((1, frames, size, size, channels), dtype) for size, channels in sizes)
        look = functools.partial(forward, trained.network)
        _, shapes = jax.eval_shape(look, trained.params, trained.batch_stats, dark, luminous, {})
        self.stage = class_activation.choose_stage(shapes, config.model.streams)
        point = class_activation.point(self.stage, config.model.pvit.blocks)
        points = {name: shapes[name] for name in (point, "fused")}
        self._look = jax.jit(functools.partial(_look, trained, self.stage, points))
        self._arrays = jax.device_put((trained.params, trained.batch_stats))  # once, not for each clip

    def __call__(self, parts: Parts, label: int | None = None) -> Explanation:
        """Explains one clip: "clip" uint8 [T,H,W,3], and "flow" uint8 [T,H,W,2] where the run takes it.

        Args:
          label: the class to explain; None for the one that the student predicts.
        """
        trained, luminous = self.trained, self.trained.config.model.luminous
        batch = {name: jnp.asarray(parts[name])[None] for name in ("clip", "flow") if name in parts}
        streams = clip_streams(batch, trained.config)
        chosen = jnp.array([-1 if label is None else label])
        with jax.transfer_guard("disallow"):  # the parameters are there already
            on_device = self._look(*self._arrays, streams, chosen)
        arrays = jax.tree.map(np.asarray, on_device)
        return Explanation(
            frames=light(parts["clip"], luminous.gamma, luminous.gamma_target),
            probabilities=self.trained.stated(arrays["probabilities"]),
            label=int(arrays["label"]),
            main=arrays["main"],
            luminous=arrays["luminous"],
            attention=_attention(arrays["main"], arrays["luminous"], arrays["patches"]),
            activation=arrays["activation"],
            stage=self.stage,
            relevance=arrays["relevance"],
            spectra=arrays["spectra"],
        )


def forward(
    network: Network, params: Tree, batch_stats: Tree, dark: Array, luminous: Array, shifts: Arrays
) -> tuple[dict[str, Array], Arrays]:
    """(outputs, intermediates) of the student in inference, with `shifts` added to intermediates."""
    inside = Intermediates(shifts=shifts)
    model = network.module(params, batch_stats)  # made here because Flax lets a gradient change no module from outside
    outputs = model(dark, luminous, train=False, intermediates=inside)
    return outputs, inside.arrays


def _look(
    trained: TrainedRun, stage: str, points: dict, params: Tree, batch_stats: Tree, streams: Streams, label: Array
) -> Arrays:
    """Everything about a batch of one clip, by one forward pass and the gradient of one logit.

    Args:
      points: shapes of the intermediates that the logit is differentiated by, by name.
      label: the class to explain [1]; below 0 for the predicted one.
    """
    config = trained.config
    dark, luminous = student_inputs(config, streams)

    def logit(shifts: Arrays) -> tuple[Array, tuple]:
        outputs, inside = forward(trained.network, params, batch_stats, dark, luminous, shifts)
        of = jnp.where(label < 0, outputs["logits"].argmax(axis=-1), label)  # [1]
        return outputs["logits"][0, of[0]], (outputs["logits"][0], inside, of[0])

    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), points)
    gradients, (logits, inside, of) = jax.grad(logit, has_aux=True)(zeros)
    levels = [_weights_of_level(config, inside, i) for i in range(level_count(config))]
    frames, tokens = config.data.num_frames, luminous_token_count(config)
    counts = {"both": (frames, tokens), "main": (frames, frames), "luminous": (tokens, tokens)}[config.model.streams]
    main, luminous_shares = frame_rollout(levels, config.model.streams, (1, *counts), inside.get("head/shares"))
    relevance = class_activation.frame_relevance(inside["fused"], gradients["fused"])
    return {
        "label": of,
        "probabilities": jax.nn.softmax(logits),
        "main": (main if config.model.streams == "both" else _to_frames(config, main))[0],
        "luminous": _to_frames(config, luminous_shares)[0],
        "patches": _patches(config, inside),
        "activation": _activation(config, inside, gradients, stage),
        "relevance": (_to_frames(config, relevance) if levels else relevance)[0],  # else they are the main stream's
        "spectra": _spectra(config, inside),
    }


def _weights_of_level(config: Config, inside: Arrays, i: int) -> LevelWeights:
    lift, critic, fusion = (inside[f"levels/{i}/{part}/attention"] for part in ("lift", "critic", "fusion"))
    if config.model.fusion_residual == "gate":
        return LevelWeights(lift, critic, fusion, inside[f"levels/{i}/fusion/gate"].mean(axis=-1))
    share = {"luminous": 1.0, "both": 0.5, "main": 0.0}[config.model.fusion_residual]
    return LevelWeights(lift, critic, fusion, jnp.full(inside["fused"].shape[:2], share))


def _to_frames(config: Config, of_tokens: Float[Array, "B S"]) -> Float[Array, "B T"]:
    """What luminous or fused tokens have in all, shared out among the frames that each stands for."""
    frames = config.data.num_frames
    if config.model.streams == "main" or config.model.luminous.tokens == "frames":
        return of_tokens
    steps = map_shape(TRUNKS[config.model.teacher.name], frames, config.model.luminous.size)[0]
    of_steps = of_tokens.reshape(len(of_tokens), steps, -1).sum(axis=-1)  # [B, t]
    return of_steps @ pooling_matrix(steps, frames)


def _patches(config: Config, inside: Arrays) -> Float[Array, "T h w"]:
    """What each frame's class token took from its patches, 1 over a frame's; without a main stream h = w = 1."""
    if config.model.streams == "luminous":
        return jnp.ones((config.data.num_frames, 1, 1))
    pvit = config.model.pvit
    shares = patch_rollout([inside[f"main/pvit/blocks/{i}/attention"] for i in range(pvit.blocks)])[:, 1:]  # [T, P]
    side = config.data.size // pvit.patch
    return (shares / shares.sum(axis=1, keepdims=True)).reshape(-1, side, side)


def _activation(config: Config, inside: Arrays, gradients: Arrays, stage: str) -> Float[Array, "t y x"]:
    place = class_activation.point(stage, config.model.pvit.blocks)
    if stage == class_activation.PVIT:
        side = config.data.size // config.model.pvit.patch
        return class_activation.patch_activation(inside[place], gradients[place]).reshape(-1, side, side)
    return class_activation.class_activation(inside[place], gradients[place], stage)[0]


def _spectra(config: Config, inside: Arrays) -> Float[Array, "N 2 S E"]:
    """Tokens before and after each level's Fourier Enhancement."""
    if not config.model.foe or not level_count(config):
        return jnp.zeros((0, 2, *inside["fused"].shape[1:]))
    places = [[f"levels/{i}/fusion/{when}_foe" for when in ("before", "after")] for i in range(level_count(config))]
    return jnp.stack([jnp.stack([inside[name][0] for name in level]) for level in places])


def _attention(
    main: Float[np.ndarray, "T"], luminous: Float[np.ndarray, "T"], patches: Float[np.ndarray, "T h w"]
) -> Float[np.ndarray, "T h w"]:
    """Frame weight times patch weight.  Patches are the main stream's; without one, frames are all there is to it."""
    weights = main if main.sum() > 0 else luminous
    return (weights / weights.sum())[:, None, None] * patches
