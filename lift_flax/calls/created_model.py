"""The networks for your own code: made by name, with or without pretrained weights.

    model = lift_flax.create_model("lift_net", num_classes=11)
    model(clip)["logits"]                # uint8 clips [B,T,H,W,3] -> [B,K]
    model.features(clip)                 # what the classifier takes, [B,E]
    model.intermediates(clip)            # named arrays from inside
    model = model.reset_head(5)          # the same network with a new classifier

A model is data and never changes.  To train it in a loop of your own, take its pure function and its arrays:

    def loss(params):
        outputs, batch_stats = model.network.apply(params, model.batch_stats, *model.inputs(clip), train=True)
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from lift_flax.augment.streams import Clips, Flows, clip_streams
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.data.chosen_fields import refuse_auto
from lift_flax.errors import UserError
from lift_flax.fields import flat_fields
from lift_flax.models.functional import Network, Tree, flatten, unflatten
from lift_flax.models.inputs import student_inputs, teacher_inputs
from lift_flax.models.intermediates import Intermediates
from lift_flax.models.layers.dense import accumulation_dtype
from lift_flax.models.video_resnet import TRUNKS
from lift_flax.train import phases
from lift_flax.weights.pretrained import with_settings

AnyClips = Clips | UInt8[np.ndarray, "B T H W 3"]
AnyFlows = Flows | UInt8[np.ndarray, "B T H W 2"]

LIFT_NET = "lift_net"
# paths of the layers whose size follows the classes
_CLASSIFIERS = ("head", "main_head", "luminous_head", "fc", "trunk/fc", "teacher/fc")


def create_model(
    name: str,
    num_classes: int,
    *,
    seed: int = 0,
    fields: Mapping[str, Any] | None = None,
    trunk_weights: str | Path = "",
    vit_weights: str | Path = "",
) -> "CreatedModel":
    """Makes a network for your own code.

    Args:
      name: "lift_net", or a video ResNet alone: "r2plus1d_34", "r2plus1d_18", "r3d_18", ...
      num_classes: K.
      seed: of the random start of every parameter that no weights fill.
      fields: fields of the config that differ from its defaults, {"model.levels": 4, "data.size": 112}; the defaults
        are the paper's.
      trunk_weights: folder of `lift-flax weights convert` for the video ResNet (docs/weights.md).
      vit_weights: such a folder for LIFT-Net's partial ViT.

    Raises:
      UserError: an unknown name or field, a value beyond its bound, or weights that do not fit the network.

    >>> import numpy as np
    >>> import lift_flax
    >>> model = lift_flax.create_model("r2plus1d_tiny", num_classes=5)
    >>> clip = np.zeros((2, 8, 32, 32, 3), np.uint8)
    >>> model(clip)["logits"].shape, model.features(clip).shape
    ((2, 5), (2, 128))
    >>> model.reset_head(3)(clip)["logits"].shape
    (2, 3)
    """
    config = _read_config(name, seed, fields or {}, str(trunk_weights), str(vit_weights))
    if num_classes < 1:
        raise UserError(f"num_classes={num_classes}: give one class or more")
    phase = _phase(name, config, num_classes)
    params, batch_stats = jax.jit(phase.draw)()
    pretrained = jax.device_put(phase.pretrained)  # once, not at each call
    arrays = unflatten({**flatten({"params": params, "batch_stats": batch_stats}), **pretrained})
    return CreatedModel(name, config, phase.network, arrays["params"], arrays["batch_stats"])


@dataclasses.dataclass(frozen=True)
class CreatedModel:
    """A network with its arrays.  `create_model` makes it.

    Clips are uint8 frames [B,T,H,W,3] as they were decoded, square, of the side `config.data.size` for LIFT-Net.  The
    model makes the luminous stream of them and normalises both, as training and `lift_flax.load` do.  With
    `model.luminous.input` flow or both it also takes coded flow, uint8 [B,T,H,W,2].

    Attributes:
      name: as given to `create_model`.
      config: of the network and its inputs.
      network: `network.apply(params, batch_stats, *inputs, train=...)` is a pure function that returns (outputs, new
        statistics).
      params, batch_stats: nested dicts of arrays.
    """

    name: str
    config: Config
    network: Network
    params: Tree
    batch_stats: Tree

    def inputs(self, clip: AnyClips, flow: AnyFlows | None = None) -> tuple[Float[Array, "B T _ _ _"], ...]:
        """Normalised clips as `network.apply` takes them: dark and luminous, or luminous alone for a video ResNet.

        Raises:
          UserError: the network takes optical flow, and none is given.
        """
        if flow is None and self.config.model.luminous.takes_flow:
            raise UserError(
                f"{self.name} with luminous.input={self.config.model.luminous.input} takes flow beside the clip"
            )
        batch = {"clip": clip} if flow is None else {"clip": clip, "flow": flow}
        streams = clip_streams(jax.tree.map(jnp.asarray, batch), self.config)
        if self.name == LIFT_NET:
            return student_inputs(self.config, streams)
        return (teacher_inputs(self.config, streams),)

    def __call__(self, clip: AnyClips, flow: AnyFlows | None = None) -> dict[str, Array]:
        """Answers: "logits" [B,K] and the other outputs of `LiftNet` or `VideoResNet`, with running statistics."""
        return _outputs(self.network, self.params, self.batch_stats, self.inputs(clip, flow))

    def features(self, clip: AnyClips, flow: AnyFlows | None = None) -> Float[Array, "B E"]:
        """The mean of LIFT-Net's fused tokens, or of a video ResNet's last map, float32: what its plain head reads."""
        outputs = self(clip, flow)
        kept = outputs["fused"] if self.name == LIFT_NET else outputs["features"]
        return kept.mean(axis=tuple(range(1, kept.ndim - 1)), dtype=accumulation_dtype(kept))

    def intermediates(self, clip: AnyClips, flow: AnyFlows | None = None) -> dict[str, Array]:
        """Arrays from inside the network by name, "levels/0/fusion/attention" for example (models/intermediates.py)."""
        return _kept(self.network, self.params, self.batch_stats, self.inputs(clip, flow))

    def reset_head(self, num_classes: int, seed: int = 0) -> "CreatedModel":
        """Returns this network with new random classifiers for `num_classes`; all other arrays are shared.

        LIFT-Net's R(2+1)D, its teacher, gets a new classifier as well.
        """
        new = create_model(self.name, num_classes, seed=seed, fields=self._fields())
        return dataclasses.replace(
            new,
            params=_with_classifiers_of(self.params, new.params),
            batch_stats=_with_classifiers_of(self.batch_stats, new.batch_stats),
        )

    def _fields(self) -> dict[str, Any]:
        """Those of the config that say how the network is built; its weights were read already."""
        fields = flat_fields(self.config)
        return fields | {"model.teacher.init_from": "", "model.pvit.init_from": "", "train.init_from": ""}


def _read_config(name: str, seed: int, fields: Mapping[str, Any], trunk_weights: str, vit_weights: str) -> Config:
    if name != LIFT_NET and name not in TRUNKS:
        raise UserError(f"no network is called '{name}': choose {LIFT_NET} or one of {', '.join(TRUNKS)}")
    set_here = {"seed": seed, "model.pvit.unfreeze": "all"}  # which blocks a run freezes is for its own training
    if name != LIFT_NET:
        set_here["model.teacher.name"] = name
    if trunk_weights:
        set_here["model.teacher.init_from"] = trunk_weights
    if vit_weights:
        set_here["model.pvit.init_from"] = vit_weights
    values = unflatten({path.replace(".", "/"): value for path, value in {**fields, **set_here}.items()})
    config = from_dict(values)
    refuse_auto(config)
    return with_settings(config)


def _phase(name: str, config: Config, num_classes: int) -> phases.Phase:
    if name == LIFT_NET:
        return phases.student_phase(config, num_classes, teacher=None)
    return phases.teacher_phase(config, num_classes)


def _with_classifiers_of(old: Tree, new: Tree) -> Tree:
    """The arrays of `old`, the classifiers' from `new`."""
    kept = {path: array for path, array in flatten(old).items() if not _in_classifier(path)}
    return unflatten({**flatten(new), **kept})


def _in_classifier(path: str) -> bool:
    return path.startswith(tuple(f"{place}/" for place in _CLASSIFIERS))


@functools.partial(jax.jit, static_argnums=0)
def _outputs(network: Network, params: Tree, batch_stats: Tree, inputs: tuple[Array, ...]) -> dict[str, Array]:
    return network.apply(params, batch_stats, *inputs, train=False)[0]


@functools.partial(jax.jit, static_argnums=0)
def _kept(network: Network, params: Tree, batch_stats: Tree, inputs: tuple[Array, ...]) -> dict[str, Array]:
    inside = Intermediates()
    network.module(params, batch_stats)(*inputs, train=False, intermediates=inside)
    return inside.arrays
