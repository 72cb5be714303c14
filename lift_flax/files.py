"""Writing small files whole or not at all."""

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Replaces `path` by `text`; whoever reads meanwhile sees the old file or the new one, never a part."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
