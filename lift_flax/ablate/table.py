"""The ablation table for people: the paper's numbers beside ours, with the spread over seeds."""

import numpy as np

from lift_flax import command_line
from lift_flax.command_line import percent

_HEAD = ("", "paper, ARID", "student", "over seeds", "against the first", "teacher")


def cells(row: dict, first: dict) -> tuple[str, ...]:
    """Returns one row as text, in the order of the head; for a row that was not run, the reason."""
    paper = "–" if row["paper"] is None else f"{row['paper']:.2f} %"
    if not row["runs"]:
        return (row["title"], paper, f"not run: {row['why_not']}" if row["why_not"] else "not yet", *[""] * 3)
    top1 = [run["student"] for run in row["runs"]]
    teachers = [run["teacher"] for run in row["runs"] if run["teacher"] is not None]
    pairs = {run["seed"]: run["student"] for run in first["runs"]}
    gaps = [run["student"] - pairs[run["seed"]] for run in row["runs"] if run["seed"] in pairs]
    return (
        row["title"],
        paper,
        percent(float(np.mean(top1))),
        f"{percent(min(top1))} to {percent(max(top1))}" if len(top1) > 1 else "one seed",
        "" if row is first or not gaps else f"{100 * np.mean(gaps):+.1f}",
        percent(float(np.mean(teachers))) if teachers else "none",
    )


def markdown(table: dict) -> str:
    """Returns the table as Markdown."""
    first = table["rows"][0]
    lines = [" | ".join(_HEAD), "|".join(["---"] + ["---:"] * (len(_HEAD) - 1))]
    lines += [" | ".join(cells(row, first)) for row in table["rows"]]
    return "".join(f"| {line} |\n" for line in lines)


def show(table: dict) -> None:
    """Prints the table."""
    printed = command_line.table(
        *_HEAD, title=f"Table VI on {table['dataset']}, {table['seeds']} seeds, top-1 on the test clips"
    )
    for row in table["rows"]:
        printed.add_row(*cells(row, table["rows"][0]))
    command_line.console().print(printed)
