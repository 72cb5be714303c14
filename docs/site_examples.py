"""Shows the examples of docstrings (`>>> ...`) as code on the site; mkdocs.yml gives this file to mkdocstrings."""

import re

import griffe

_EXAMPLE = re.compile(r"^(?P<indent> *)>>> .*(?:\n(?! *$).*)*", re.MULTILINE)  # up to an empty line


def fenced(docstring: str) -> str:
    """The text with a fence of code around each example."""

    def fence(match: re.Match[str]) -> str:
        return f"{match['indent']}```pycon\n{match[0]}\n{match['indent']}```"

    return _EXAMPLE.sub(fence, docstring)


class Examples(griffe.Extension):
    """Rewrites every docstring that is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
        """Called for each module, class and function."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
