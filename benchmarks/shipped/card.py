"""The words and tables about the network that comes with lift_flax, made of what was measured (measuring.py).

The model card and docs/results.md hold the same text, and `predict` prints its shortest form.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.shipped.measuring import CHOSEN_ON, CLIPS, LUMA
from lift_flax.files import write_text
from lift_flax.runs.trained import TrainedRun

BEGIN, END = "<!-- written by make shipped-model -->", "<!-- end of what make shipped-model writes -->"
ABOUT = {
    "Weizmann by day": "Weizmann's walk, run, wave1, wave2, pjump and bend, which stand for Walk, Run, Wave, Wave, "
    f"Jump and Pick, of the people whom nothing was chosen on (all but {', '.join(CHOSEN_ON)})",
    "Weizmann in the dark": f"the same clips, filmed again in the dark (`lift-flax darken --luma={LUMA}`)",
    "ARID": "clips of ARID, filmed at night, in six of its classes",
}
_LOOKED_AT = (
    "No real clip was trained on. The rendering was chosen on three people of Weizmann, who are left out here. The "
    "other clips had been looked at with earlier networks of the same rendering, and nothing was chosen by them."
)
_WIDTH = 118


def in_words(measured: dict[str, Any]) -> str:
    """What the network is good for, as part of a line."""
    parts = []
    for name, what in (
        ("Weizmann by day", "of real ones by day"),
        ("Weizmann in the dark", "of the same darkened"),
        ("ARID", "of real ones at night"),
    ):
        if real := measured["real"].get(name):
            parts.append(f"{_percent(real['among_these'])} {what} among {len(real['classes'])} classes")
    rendered = f"{_percent(measured['rendered'])} of rendered clips right"
    return f"trained on rendered people alone; {rendered}{''.join(f', {part}' for part in parts)}"


def body(measured: dict[str, Any], trained: TrainedRun) -> str:
    """The text, in Markdown, without the heading above all of it."""
    sections = [_made(measured, trained), _can(measured), _calibration(trained, measured), _rendered(measured)]
    sections += [_paragraph(_LOOKED_AT)] if measured["real"] else []
    sections += [_real(name, scores) for name, scores in measured["real"].items()]
    return "\n\n".join(sections)


def write_page(page: Path, text: str) -> None:
    """Puts a text between the two marks of a page.  Raises ValueError where they are missing."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{page} has no marks")
    write_text(page, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def between(page: Path) -> str:
    """The text between the two marks of a page."""
    return page.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def _made(measured: dict[str, Any], trained: TrainedRun) -> str:
    rounding, made = measured["rounding"], measured["made"]
    runs = {1: "one training", 2: "two trainings, the second from the first,"}[made["trainings"]]
    command = f"lift-flax build night_figures --scenes=street --clips={made['clips']}"
    return _paragraph(
        f"Made by `make shipped-model`: {runs} on {made['clips']} rendered clips of {len(trained.classes)} actions in "
        f"any light (`{command}`, seed {made['seed']}). It has seen no real person. Its weights are those of SHA-256 "
        f"`{measured['weights']}`. That they are float16 changes the probabilities of the {CLIPS} rendered clips below "
        f"by {rounding['largest_difference']:.2g} at most, and the labels of {rounding['other_labels']} of them."
    )


def _can(measured: dict[str, Any]) -> str:
    lines = [f"- rendered people of unseen places: {_percent(measured['rendered'])} among all classes"]
    for name, found in measured["real"].items():
        these, among_all = _percent(found["among_these"]), _percent(found["among_all"])
        lines.append(f"- {name}, real people: {these} among {len(found['classes'])} classes, {among_all} among all")
    said = (
        "Not measured, so do not expect it: several people at once, a camera that moves along, people who are cut off "
        "by the border, actions that it does not know (it gives one of its own names to each). It is there to try "
        "things out, and as a start for clips of your own (`train.init_from=shipped`)."
    )
    about = "It names what one person does who is seen whole. Right answers:"
    return "\n\n".join(["### What it can and cannot do", about, "\n".join(map(_item, lines)), _paragraph(said)])


def _calibration(trained: TrainedRun, measured: dict[str, Any]) -> str:
    if not trained.calibration:
        return "### How sure it is\n\nIt is not calibrated: its training had no validation clips."
    head = ["network", "temperature", "unsure below", "calibration error before", "after", "validation clips"]
    rows = [
        [
            name,
            f"{one.temperature:.2f}",
            f"{100 * one.threshold:.0f} %",
            f"{100 * one.ece_before:.1f} %",
            f"{100 * one.ece_after:.1f} %",
            str(one.clips),
        ]
        for name, one in trained.calibrated.items()
    ]
    sets = {"rendered people of unseen places": measured["rendered"], **measured["real"]}
    sure = [
        [name, str(found.get("clips") or found["among_all"]["clips"]), str(found["sure"]), str(found["sure_right"])]
        for name, found in sets.items()
    ]
    said = "By rendered validation clips. How many answers among all classes then are sure, and right:"
    return "\n\n".join([
        "### How sure it is",
        "\n".join([_row(head), "|---|---:|---:|---:|---:|---:|", *map(_row, rows)]),
        said,
        "\n".join([_row(["clips", "of them", "sure", "sure and right"]), "|---|---:|---:|---:|", *map(_row, sure)]),
    ])  # fmt: skip


def _rendered(measured: dict[str, Any]) -> str:
    scores = measured["rendered"]
    command = f"lift-flax build night_figures --scenes=street --seed={scores['seed']} --clips={scores['clips']}"
    said = (
        f"All {scores['clips']} clips of `{command} --size=120 --codec=original --flow`, both splits together: "
        f"{_share(scores)}, drawn over {scores['groups']} places."
    )
    return f"### Rendered people of unseen places\n\n{_paragraph(said)}\n\n{_table(scores)}"


def _real(name: str, found: dict[str, Any]) -> str:
    these, among_all = found["among_these"], found["among_all"]
    groups = {"ARID": "scenes, as far as names tell them"}.get(name, "people")
    about = f"{these['clips']} clips: {ABOUT[name]}. Intervals are drawn over {found['groups']} {groups}."
    return "\n\n".join([
        f"### Real people: {name}",
        _paragraph(about),
        f"The likeliest of these {len(found['classes'])} classes: {_share(these)}",
        _table(these),
        f"The likeliest of all classes: {_share(among_all)}",
        _table(among_all),
    ])  # fmt: skip


def _paragraph(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _item(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _table(scores: dict[str, Any]) -> str:
    """What the clips of each kind were taken for."""
    taken = scores["taken_for"]
    columns = sorted({name for counts in taken.values() for name in counts})
    rows = [_row(["filmed", *columns]), "|---|" + "---:|" * len(columns)]
    rows += [_row([kind, *(str(counts.get(name, "")) for name in columns)]) for kind, counts in taken.items()]
    return "\n".join(rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _share(scores: dict[str, Any]) -> str:
    low, high = scores["interval"]
    return f"{scores['right']} right, {_percent(scores)} ({100 * low:.0f} to {100 * high:.0f})"


def _percent(scores: dict[str, Any]) -> str:
    return f"{100 * scores['right'] / scores['clips']:.1f} %"
