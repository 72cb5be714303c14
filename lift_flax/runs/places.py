"""Where a trained run is opened from: a workdir, a package, huggingface.co, the network that comes with lift_flax."""

from pathlib import Path
from typing import NamedTuple

from lift_flax.errors import UserError
from lift_flax.runs.package import hub
from lift_flax.runs.package.contents import is_package

SHIPPED = "shipped"  # the name of the network that comes with lift_flax
SHIPPED_FOLDER = Path(__file__).resolve().parents[1] / SHIPPED
WORKDIR = (
    "folder of a trained run; or a package of one: its folder, its .zip, hf://owner/name, or shipped, the network that "
    "comes with lift_flax"
)


class RunPlace(NamedTuple):
    """A trained run on this machine.

    Attributes:
      path: its workdir, or its package.
      packed: whether it is a package.
    """

    path: Path
    packed: bool


def is_name(given: str | Path) -> bool:
    """Whether it names a run by another way than its path on this machine."""
    return str(given) == SHIPPED or str(given).startswith("hf:")


def find(given: str | Path | None) -> RunPlace:
    """Finds what a user names as a trained run: None is the network that comes with lift_flax.

    Raises:
      UserError: there is no such network here, or what lies on huggingface.co cannot be fetched.
    """
    if given is None or str(given) == SHIPPED:
        if given is not None and Path(SHIPPED).exists():
            raise UserError(
                f"{SHIPPED} is the network that comes with lift_flax, and there is a folder of that name here: give "
                "the folder's whole path, or rename it"
            )
        if not SHIPPED_FOLDER.is_dir():
            raise UserError(
                f"no network comes with this lift_flax ({SHIPPED_FOLDER} is missing): name a run, as --workdir=RUN"
            )
        return RunPlace(SHIPPED_FOLDER, packed=True)
    if str(given).startswith("hf:"):
        return RunPlace(hub.fetch(*hub.parse(str(given))), packed=True)
    return RunPlace(Path(given), packed=is_package(Path(given)))
