"""What `lift_flax.evaluate` says to people: the protocol, the scores, the confusion, the curve."""

import numpy as np
from rich.console import Console
from rich.table import Table

from lift_flax.evaluate.scoring import NETWORKS


def _protocol(result: dict) -> str:
    left_out = f", {result['left_out']} of classes that the run does not know left out" if result["left_out"] else ""
    learnt = f", {result['trained_on']} OF THEM LEARNT FROM IN TRAINING" if result["trained_on"] else ""
    return (
        f"{result['workdir']}, step {result['step']}\n"
        f"{result['dataset']}, fold {result['fold']}, {result['split']}: "
        f"{result['num_examples']} clips{learnt}{left_out}, "
        f"{result['frames']} frames of {result['size']} px, views {result['views']} ({result['average']} averaged)"
    )


def show(result: dict) -> None:
    """Prints the protocol, and what stands beside it."""
    print(_protocol(result))
    networks = [result[name] for name in NETWORKS]
    table = Table("", *NETWORKS)
    for column in table.columns[1:]:
        column.justify = "right"
    for title, cell in (
        ("top-1", lambda n: _percent(n["top1"])),
        ("  95 % interval", lambda n: " to ".join(_percent(bound) for bound in n["interval"])),
        ("top-5", lambda n: _percent(n["top5"])),
        ("mean of classes", lambda n: _percent(n["mean_class"])),
        ("calibration error", lambda n: _percent(n["ece"])),
    ):
        table.add_row(title, *[cell(n) if n else "-" for n in networks])
    table.add_section()
    for name in result["classes"]:
        table.add_row(name, *[_percent(n["per_class"][name]) if n else "-" for n in networks])
    Console().print(table)
    for name, scores in zip(NETWORKS, networks, strict=True):
        if scores:
            _show_confusion(name, scores["confusion"], result["classes"])
    if "illumination" in result:
        _show_curve(result["illumination"])


def _show_confusion(network: str, counts: list[list[int]], classes: list[str]) -> None:
    """As a matrix where it fits a screen, else the most frequent mistakes."""
    if len(classes) <= 12:
        table = Table(f"{network}: true \\ predicted", *[str(i) for i in range(len(classes))])
        for i, (name, row) in enumerate(zip(classes, counts, strict=True)):
            table.add_row(f"{i} {name}", *[str(n) if n else "·" for n in row])
        Console().print(table)
        return
    mistakes = np.array(counts) * (1 - np.eye(len(classes), dtype=int))
    for place in np.argsort(-mistakes, axis=None, kind="stable")[:10]:
        true, predicted = divmod(int(place), len(classes))
        if mistakes[true, predicted]:
            print(f"{network}: {classes[true]} taken for {classes[predicted]} {mistakes[true, predicted]} times")


def _show_curve(found: dict) -> None:
    table = Table("exposure", "mean luma", *NETWORKS)
    for point in ({"name": "as recorded", **found["recorded"]}, *found["points"], *found["twins"]):
        title = f"{point['exposure']:g}" if "exposure" in point else point["name"]
        if point.get("left_out"):
            title += f" ({point['left_out']} clips of other classes left out)"
        shares = [_percent(point[name]["top1"]) if point[name] else "-" for name in NETWORKS]
        table.add_row(title, f"{point['luma']:.1f}", *shares)
    table.add_section()
    table.add_row("area", "", *[_percent(found["area"][name]) for name in NETWORKS])
    Console().print(table)
    if "picture" in found:
        print(f"curve: {found['picture']} and .json")


def show_mean(mean: dict, runs: int) -> None:
    """Prints what `evaluate.mean_over_runs` gives."""
    for network, scores in mean.items():
        if scores:
            told = ", ".join(
                f"{title} {_percent(scores[name][0])} ± {100 * scores[name][1]:.1f}"
                for name, title in (("top1", "top-1"), ("mean_class", "mean of classes"))
            )
            print(f"{network}, mean and standard deviation of {runs} runs: {told}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
