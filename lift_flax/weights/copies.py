"""Finds a network among the tensors of a file: what stands before its names, and which of several copies is meant.

Trainers save a network below wrappers (`state_dict`, `model_state_dict`) and prefixes (`module.` of DataParallel,
`_orig_mod.` of torch.compile, `model.` of Lightning), often twice: as it was trained, and as a moving average (EMA).
No list of such words could be whole, so a network is found by its own names, whatever stands before them.
"""

import dataclasses
import re

import numpy as np

from lift_flax.errors import UserError
from lift_flax.weights.read_tensors import Tensors

BESIDE = "beside the network in the file"
_MARKS = {
    "r2plus1d": re.compile(r"(?:^|(?<=\.))(?:layer|features\.)[1-4]\.\d+\."),
    "vit": re.compile(r"(?:^|(?<=\.))(?:patch_embed|embeddings\.patch_embeddings?)\."),
}
# Words that torch.compile, FSDP and activation checkpointing put into names, at any place.
_WRAPPED = re.compile(r"(?:^|(?<=\.))(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_AVERAGED = re.compile(r"(?:^|[._])(ema|swa|avg|averaged|average|shadow|momentum)(?=[._]|$)")
_OPTIMIZER = re.compile(r"(optim\w*|(lr_)?sched\w*|scaler|grad\w*)\.")
_OF_TRAINING = re.compile(rf"{_OPTIMIZER.pattern}|(ema\w*|shadow\w*)\.")
_COUNTERS = re.compile(r"(num_batches_tracked|[._]index|[._]ids|mask)$")


@dataclasses.dataclass(frozen=True)
class Copy:
    """A network's tensors, among those of a file.

    Attributes:
      tensors: under the network's own names.
      before: what stood before each name, "state_dict.module." for example; "" for nothing.
      taken_off: words of wrappers that stood within names.
      others: what stands before the names of the other copies.
      beside: every other tensor of the file, and why it is not used.
    """

    tensors: Tensors
    before: str
    taken_off: tuple[str, ...]
    others: tuple[str, ...]
    beside: dict[str, str]

    @property
    def where(self) -> str:
        """A line for people: where the network was found; empty where its names stand alone."""
        notes = []
        if self.others:
            notes = [
                f"copies of the network lie below {', '.join(map(_shown, (self.before, *self.others)))}: "
                f"{_shown(self.before)} is taken; --copy=NAME takes another"
            ]
        elif self.before:
            notes = [f"the network's names begin with '{self.before}' in the file"]
        notes += [f"'{word}.' is left out of the network's names" for word in self.taken_off]
        return "; ".join(notes)


def find_copy(tensors: Tensors, kind: str, wanted: str | None = None) -> Copy:
    """Finds the network of `kind` ("r2plus1d" or "vit") among `tensors`.

    A moving average is left where the network as it was trained is there too.

    Args:
      wanted: the copy to take, by the beginning of its names; "." for the one whose names stand alone.

    Raises:
      UserError: several copies and none named, or none of that name; a name that occurs twice; integers for weights.
    """
    names: dict[str, str] = {}  # without wrappers' words -> in the file
    for name in tensors:
        plain = _WRAPPED.sub("", name)
        if plain in names:
            word = next(_WRAPPED.finditer(max(name, names[plain], key=len)))[1]
            raise UserError(f"the file names some tensors twice, with and without '{word}.' ({plain})")
        names[plain] = name
    marks = {name: mark.start() for name in names if (mark := _MARKS[kind].search(name))}
    befores = list(dict.fromkeys(name[:at] for name, at in marks.items() if not _OPTIMIZER.match(name)))
    before = _chosen(befores, wanted)
    others = tuple(other for other in befores if other != before)
    found, beside = {}, {}
    for plain, name in names.items():
        nearest = max((b for b in befores if plain.startswith(b)), key=len, default=None)
        if nearest is None and befores or not nearest and _is_of_training(plain, tensors[name]):
            beside[name] = BESIDE
        elif nearest in (before, None):
            found[plain.removeprefix(before)] = tensors[name]
        else:
            beside[name] = f"of another copy, below {_shown(nearest)}"
    _refuse_integers(found)
    taken_off = dict.fromkeys(word for name in names.values() if name not in beside for word in _WRAPPED.findall(name))
    return Copy(found, before, tuple(taken_off), others, beside)


def _chosen(befores: list[str], wanted: str | None) -> str:
    """What stands before the names of the copy to take."""
    shown = ", ".join(_shown(before) for before in befores)
    if wanted is not None and not befores:
        raise UserError(f"--copy={wanted}: the names in the file show no copies of a network; leave --copy out")
    if wanted is not None:
        beginning = "" if wanted == "." else wanted.rstrip(".") + "."
        fits = [b for b in befores if b == beginning] or [b for b in befores if b.startswith(beginning) and beginning]
        if len(fits) != 1:
            raise UserError(f"--copy={wanted}: {len(fits)} copies of the network are named so; choose one of {shown}")
        return fits[0]
    trained = [before for before in befores if not _AVERAGED.search(before)]
    if len(befores) > 1 and len(trained) != 1:
        raise UserError(f"the file holds {len(befores)} networks, below {shown}: choose one with --copy=NAME")
    return (trained if len(befores) > 1 else befores or [""])[0]


def _is_of_training(name: str, array: np.ndarray) -> bool:
    """Whether a tensor without a prefix belongs to an optimizer or a counter, not to the network."""
    counter = not array.ndim and array.dtype.kind in "iub" and not _COUNTERS.search(name)
    return bool(_OF_TRAINING.match(name)) or counter


def _shown(before: str) -> str:
    return before.removesuffix(".") or "."


def _refuse_integers(tensors: Tensors) -> None:
    for name, array in tensors.items():
        if array.ndim and not np.issubdtype(array.dtype, np.floating) and not _COUNTERS.search(name):
            raise UserError(
                f"{name} holds {array.dtype}, not floating-point numbers: the file is quantised, and its integers are "
                "no weights without their scales; convert the file that it was made from"
            )
