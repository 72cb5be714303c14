"""Fetches packages from huggingface.co."""

import functools
import re
from pathlib import Path

from lift_flax.errors import UserError
from lift_flax.runs.package.contents import KNOWN

# One slash is left of two where the address went through a Path.
_ADDRESS = re.compile(r"hf:/{1,2}(?P<repository>\w[\w.-]*/\w[\w.-]*?)(?:@(?P<revision>[\w./-]+))?/?")


def parse(address: str) -> tuple[str, str]:
    """("owner/name", revision) of hf://owner/name or hf://owner/name@revision.  Raises UserError for all else."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise UserError(f"{address} is no address of a package: write hf://owner/name, or hf://owner/name@revision")
    return found["repository"], found["revision"] or "main"


@functools.cache
def fetch(repository: str, revision: str) -> Path:
    """The folder with the files of a package; what was fetched before and is the same is not fetched again.

    Raises:
      UserError: huggingface_hub is not installed, or the files cannot be had.
    """
    try:
        from huggingface_hub import snapshot_download  # pyright: ignore[reportMissingImports]  # of an extra
    except ImportError as error:
        raise UserError(
            f"fetching hf://{repository} needs huggingface_hub: pip install -e '.[hub]' in the project's folder, or "
            "fetch its files by other means and give their folder"
        ) from error
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=[*KNOWN]))
    except Exception as error:  # whatever the library and its HTTP client raise
        raise UserError(
            f"cannot fetch huggingface.co/{repository} at {revision} ({type(error).__name__}): see that it is spelt so "
            "and can be reached from here, or bring its files to a folder by other means and give that one"
        ) from error
