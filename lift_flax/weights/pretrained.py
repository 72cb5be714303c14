"""Starting a part of the network from converted weights (`init_from` in the config), strictly."""

import dataclasses
import math
from pathlib import Path

import numpy as np

from lift_flax import presets
from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.models.build import with_bn_eps
from lift_flax.models.functional import Tree, flatten
from lift_flax.weights import converted
from lift_flax.weights.vits import positions, vit

_KINDS = {"teacher": "r2plus1d", "pvit": "vit"}
_SETTINGS = {"teacher": ("bn_eps", "mean", "std"), "pvit": (*vit.SETTINGS, "mean", "std")}
_MUST_AGREE = {"teacher": ("name",), "pvit": ("patch", "dim", "num_heads", "mlp_dim")}
_EARLIER = {"pre_norm": False, "positions": "linear"}  # what facts of earlier versions mean
_CLASSIFIER = "params/fc/"
_STEMS = {"params/stem/spatial/kernel", "params/stem/conv/kernel"}


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A folder of `lift-flax weights convert` as the start of one part of the network.

    It is no checkpoint: training starts at step 0 with fresh moments.

    Attributes:
      folder: of the converted weights.
      part: "teacher", the R(2+1)D, or "pvit"; the name in `config.model`.
    """

    folder: Path
    part: str

    @property
    def sha256(self) -> str:
        """Names the weights: digest of their source file, and which of its copies.  Raises UserError where none are."""
        source = converted.load_facts(self.folder)["source"]
        return f"{source['sha256']} {source['copy']}" if "copy" in source else source["sha256"]

    def settings(self, config: Config) -> Config:
        """`config` with the settings that the weights need: eps of the norms, GELU, qkv biases, input mean and std.

        Raises:
          UserError: the folder holds no converted weights, or those of another kind or size.
        """
        fields, facts, part = getattr(config.model, self.part), converted.load_facts(self.folder), self.part
        if facts["kind"] != _KINDS[part]:
            raise UserError(
                f"{self.folder} holds a {facts['kind']}: config.model.{part}.init_from takes a {_KINDS[part]}"
            )
        if differ := [name for name in _MUST_AGREE[part] if facts[name] != getattr(fields, name)]:
            flags = " ".join(f"--config.model.{part}.{name}={facts[name]}" for name in differ)
            raise UserError(f"{self.folder} holds weights of another size: use them with {_made_for(facts)}{flags}")
        facts = {**_EARLIER, **facts}
        values = {name: tuple(v) if isinstance(v := facts[name], list) else v for name in _SETTINGS[part]}
        if changed := {name: v for name, v in values.items() if v != getattr(fields, name)}:
            print(f"{part}: {', '.join(f'{n} = {v}' for n, v in changed.items())}, as its weights need", flush=True)
        fields = dataclasses.replace(fields, init_from=str(self.folder), **values)
        return dataclasses.replace(config, model=dataclasses.replace(config.model, **{part: fields}))

    def check(self, shapes: Tree) -> None:
        """Raises UserError where the weights do not fit the part, as `tree` does."""
        self._fit(shapes)

    def tree(self, shapes: Tree) -> dict[str, np.ndarray]:
        """What the part takes from the folder, by path: "params/...", "batch_stats/..."; prints what it does not take.

        A classifier of another size is not taken, nor ViT blocks beyond those of the part; position embeddings are
        resized to its grid.

        Args:
          shapes: {"params", "batch_stats"} of the part.

        Raises:
          UserError: the folder is missing, or a name or shape does not fit; names the first of them.
        """
        arrays, notes = self._fit(shapes)
        print("; ".join([f"{self.part}: {len(arrays)} arrays from {self.folder}", *notes]), flush=True)
        return arrays

    def _fit(self, shapes: Tree) -> tuple[dict[str, np.ndarray], list[str]]:
        ours, part = flatten(shapes), self.part
        way = {**_EARLIER, **converted.load_facts(self.folder)}["positions"]
        theirs, notes = _fitted(converted.load_arrays(self.folder), ours, way)
        expected = {name: leaf for name, leaf in ours.items() if name in theirs or not name.startswith(_CLASSIFIER)}
        for name, leaf in expected.items():
            if name not in theirs and name.startswith("params/norm/"):
                raise UserError(
                    f"{self.folder} lacks the norm after the last block: convert all blocks of the file (--blocks=N), "
                    "or set config.model.pvit.final_norm=False"
                )
            if name not in theirs:
                raise UserError(f"{self.folder} lacks '{name}' of the {part}: is it a file for another network?")
            if theirs[name].shape != leaf.shape:
                raise UserError(
                    f"{self.folder}: '{name}' is {theirs[name].shape}, the {part} of this config takes {leaf.shape}"
                )
        if unknown := sorted(set(theirs) - set(expected)):
            raise UserError(f"{self.folder} holds '{unknown[0]}', which the {part} of this config does not have")
        return {name: np.asarray(theirs[name], leaf.dtype) for name, leaf in expected.items()}, notes


def _made_for(facts: dict) -> str:
    """Names the preset whose ViT is of the size that `facts` tell, if there is one."""
    for name, fields in (("own:vits", presets.VIT_S), ("own:vitb", presets.VIT_B)):
        if all(facts.get(size) == fields[f"model.pvit.{size}"] for size in _MUST_AGREE["pvit"]):
            return f"--config={name}, which is made for such a ViT, or with "
    return ""


def pretrained_parts(config: Config) -> dict[str, Pretrained]:
    """The parts of the network that start from converted weights: those whose `init_from` is set."""
    folders = {part: getattr(config.model, part).init_from for part in _KINDS}
    return {part: Pretrained(Path(folder).absolute(), part) for part, folder in folders.items() if folder}


def with_settings(config: Config) -> Config:
    """`config` with the settings of its video ResNet, and those that its pretrained parts need.

    Raises:
      UserError: a part does not fit the config.
    """
    config = with_bn_eps(config)
    for weights in pretrained_parts(config).values():
        config = weights.settings(config)
    return config


def _fitted(theirs: dict[str, np.ndarray], ours: dict, way: positions.Way) -> tuple[dict[str, np.ndarray], list[str]]:
    """The file's arrays without what this network deliberately does not take, and a note on each such thing."""
    notes = []
    classifier = _CLASSIFIER + "bias"
    if classifier not in ours or classifier not in theirs or theirs[classifier].shape != ours[classifier].shape:
        theirs = {name: a for name, a in theirs.items() if not name.startswith(_CLASSIFIER)}
    if classifier in ours and classifier not in theirs:
        notes.append(f"its classifier starts anew with {ours[classifier].shape[0]} classes")
    for name in _STEMS & set(ours) & set(theirs):
        kernel, inputs = theirs[name], ours[name].shape[-2]
        if kernel.shape[-2] * 5 == inputs * 3:
            theirs = {**theirs, name: _with_flow(kernel)}
            notes.append("its stem starts with zeros for optical flow")
    blocks = {name.split("/")[2] for name in ours if name.startswith("params/blocks/")}
    later = {name for name in theirs if name.startswith("params/blocks/") and name.split("/")[2] not in blocks}
    if later:
        theirs = {name: a for name, a in theirs.items() if name not in later}
        notes.append(f"blocks after the first {len(blocks)} left out")
    name = "params/positions"
    if name in ours and name in theirs and theirs[name].shape[1] != ours[name].shape[1]:
        old, new = (math.isqrt(a[name].shape[1] - 1) for a in (theirs, ours))
        theirs = {**theirs, name: positions.resize(theirs[name], new, way)}
        notes.append(f"position embeddings resized from {old}x{old} to {new}x{new} ({way})")
    if "params/norm/scale" in theirs and "params/norm/scale" not in ours:
        theirs = {name: a for name, a in theirs.items() if not name.startswith("params/norm/")}
        notes.append("its last norm left out (config.model.pvit.final_norm=False)")
    return theirs, notes


def _with_flow(kernel: np.ndarray) -> np.ndarray:
    """A stem's kernel [kh, kw, t*3, O] for frames, as one for frames and optical flow, [kh, kw, t*5, O]."""
    kh, kw, inputs, outputs = kernel.shape
    by_frame = kernel.reshape(kh, kw, inputs // 3, 3, outputs)
    return np.pad(by_frame, [(0, 0)] * 3 + [(0, 2), (0, 0)]).reshape(kh, kw, inputs // 3 * 5, outputs)
