"""What a frozen ViT makes of clips, kept beside the records (`data.features=cache`): a file for each view of a clip."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from lift_flax.errors import UserError
from lift_flax.files import replacing, write_text
from lift_flax.video.sampling import View

Features = Float32[np.ndarray, "T D"]
_ABOUT = "about.json"


@dataclasses.dataclass(frozen=True)
class KeptFeatures:
    """The files of one ViT and one way to prepare clips.

    Attributes:
      drawn, tested: the folders of training views and of test views, for each folder of records.
      about: what those folders are of, for their about.json.
      shape: [T, D] of a view.
    """

    drawn: tuple[Path, ...]
    tested: tuple[Path, ...]
    about: tuple[dict[str, Any], ...]
    shape: tuple[int, int]

    def path(self, folder: int, position: int, view: View | int) -> Path:
        """The file of a view of the clip at `position` in its folder, the one of that number."""
        if isinstance(view, View):
            return self.tested[folder] / f"{position}.{view.phase!r}-{view.share!r}.npy"
        return self.drawn[folder] / f"{position}.{view}.npy"

    def read(self, folder: int, position: int, view: View | int) -> Features:
        """The features of a view.

        Raises:
          UserError: the file is missing or damaged.
        """
        path = self.path(folder, position, view)
        try:
            with path.open("rb") as file:
                features = np.lib.format.read_array(file)
            if features.shape != self.shape or features.dtype != np.float32:
                raise ValueError(f"{features.dtype} {features.shape}")
        except Exception as error:  # a damaged header is read as Python
            raise UserError(
                f"{path} is missing or damaged ({error}): delete it and give the same command again"
            ) from error
        return features

    def write(self, folder: int, position: int, view: View | int, features: Features) -> None:
        """Keeps the features of a view; the file is whole or missing."""
        with replacing(self.path(folder, position, view)) as part:
            buffer = io.BytesIO()  # NumPy itself does not say that a disk is full
            np.save(buffer, features)
            part.write_bytes(buffer.getvalue())

    def make_folders(self) -> None:
        """Makes the folders, each with a note of what it is of.

        Raises:
          UserError: they cannot be made.
        """
        for folder, about in zip(self.drawn + self.tested, self.about, strict=True):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                if not (folder / _ABOUT).exists():
                    write_text(folder / _ABOUT, json.dumps(about, indent=1) + "\n")
            except OSError as error:
                raise UserError(
                    f"cannot keep features in {folder} ({error.strerror}): set config.data.features=compute, which "
                    "keeps none"
                ) from error
