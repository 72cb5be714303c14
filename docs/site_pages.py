"""Pages of the site that are made from other files, so that nothing is written twice.  mkdocs.yml names this file.

index.md, contributing.md and changelog.md are README.md, CONTRIBUTING.md and CHANGELOG.md of the project, with their
links turned to the site's pages.  Where a page has the comment <!-- openapi.yaml -->, that file is shown.
api/ROOM.md is made for every folder of lift_flax/: it lists the modules, and mkdocstrings fills in their docstrings.
"""

import ast
import logging
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def to_site(text: str) -> str:
    """Turns links as they stand in the project's files into links of the site, where all pages lie in one folder."""
    text = re.sub(r"(\]\(|src=\")docs/", r"\1", text)
    for name, page in PAGES.items():
        text = re.sub(rf"\]\((\.\./)?{name}", rf"]({page}", text)
    return re.sub(r"\[([^\]]+)\]\((?:CITATION\.cff|LICENSE)\)", r"`\1`", text)  # files that the site does not have


def rooms() -> dict[str, list[str]]:
    """Dotted names of the modules with a docstring of their own, by the folder of lift_flax/ that they lie in."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "lift_flax").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if path.stem == "__init__" or not ast.get_docstring(ast.parse(path.read_text())):
            continue
        room = ".".join(parts[1:-1]) or "lift_flax"
        found.setdefault(room, []).append(".".join(parts))
    return found


def api_page(room: str, modules: list[str]) -> str:
    """Markdown that mkdocstrings fills: a heading for the room, then every module of it."""
    title = "lift_flax" if room == "lift_flax" else f"lift_flax.{room}"
    package = ["::: lift_flax\n    options:\n      filters: public\n"] if room == "lift_flax" else []
    of_lift_flax = (
        "lift_flax.calls.loaded_run",
        "lift_flax.calls.training",
    )  # their names are those of lift_flax itself
    shown = [name for name in modules if name not in of_lift_flax]
    return "\n".join([f"# {title}\n", *package, *(f"::: {name}\n" for name in shown)])


def on_config(config):
    """Adds the pages of the API to the navigation."""
    config["nav"].append({"API": [{room: f"api/{room}.md"} for room in rooms()]})
    return config


def on_files(files, config):
    """Adds the pages that are made."""
    for name, page in PAGES.items():
        if (ROOT / name).is_file():
            files.append(File.generated(config, page, content=to_site((ROOT / name).read_text())))
    for room, modules in rooms().items():
        files.append(File.generated(config, f"api/{room}.md", content=api_page(room, modules)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turns the links of the pages in docs/ that lead to the project's own files, and shows openapi.yaml."""
    described = (ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8")
    return to_site(markdown).replace("<!-- openapi.yaml -->", f"```yaml\n{described}```")


def on_post_page(output, page, config):
    """Warns of what a reader's browser would fetch from elsewhere; a strict build then fails."""
    for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>", output):
        logging.getLogger("mkdocs.site_pages").warning(f"{page.file.src_uri} fetches from elsewhere: {tag}")
    return output
