"""The embeddings of videos as one file, for search and clustering of one's own."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lift_flax.errors import UserError
from lift_flax.files import check_writable, refuse_existing, replacing
from lift_flax.predict.answers import VideoAnswer


def check(path: Path, *, overwrite: bool) -> None:
    """Raises UserError where `path` cannot become such a file: its ending, its folder, or a file that is there."""
    if path.suffix != ".npz":
        raise UserError(f"--embeddings={path}: choose a name that ends in .npz")
    if not path.parent.is_dir():
        raise UserError(f"--embeddings={path}: the folder {path.parent} does not exist: make it, or choose another one")
    refuse_existing(path, overwrite=overwrite)
    check_writable(path)


@contextlib.contextmanager
def written(path: Path) -> Iterator[Callable[[VideoAnswer], None]]:
    """Yields a function that adds an answer to a file, which is there whole when the block ends.

    Videos that failed are left out.  It holds "videos" [N], their names, "embeddings" float32 [N,E] and "labels" [N],
    the likeliest class of each; names are texts, so `np.load` needs no pickle.

    Raises:
      UserError: no video was answered; nothing is written.
    """
    answered: list[VideoAnswer] = []
    yield lambda answer: None if answer.error else answered.append(answer)
    if not answered:
        raise UserError(f"no video was answered, so {path} is not written: see the reason beside each")
    arrays = {
        "videos": np.array([answer.video for answer in answered]),
        "embeddings": np.stack([answer.embedding for answer in answered]),
        "labels": np.array([answer.label for answer in answered]),
    }
    with replacing(path) as part:
        np.savez(part, **arrays)  # pyright: ignore[reportArgumentType]  # none is called allow_pickle
