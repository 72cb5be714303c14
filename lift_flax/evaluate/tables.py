"""The tables that `lift-flax evaluate` prints: the protocol, the scores, the confusion, the curve."""

import numpy as np
from rich.console import Console

from lift_flax import command_line
from lift_flax.command_line import percent
from lift_flax.evaluate.scoring import NETWORKS


def _protocol(result: dict, folds: str) -> str:
    left_out = f", {result['left_out']} clips of unknown classes left out" if result["left_out"] else ""
    learnt = f", {result['trained_on']} OF THEM SEEN IN TRAINING" if result["trained_on"] else ""
    return (
        f"{result['dataset']}, {folds}, {result['split']}: {result['num_examples']} clips{learnt}{left_out}, "
        f"{result['frames']} frames of {result['size']} px, views {result['views']} ({result['average']} averaged)"
    )


def show(result: dict) -> None:
    """Prints the protocol and the scores of a run, as `Evaluation.run` gives them."""
    print(f"{result['workdir']}, step {result['step']}")
    print(_protocol(result, f"fold {result['fold']}"))
    _show_scores(result)
    show_curve(result)


def show_curve(result: dict) -> None:
    """Prints the curve over brightness of a run, where it was measured."""
    if "illumination" in result:
        _show_curve(result["illumination"])


def show_pooled(result: dict) -> None:
    """Prints the scores of several runs as one, as `pooling.pooled` gives them."""
    print(_protocol(result, f"folds {', '.join(map(str, result['folds']))} pooled"))
    drawn = "single clips, because these records name no groups"
    if result["num_groups"]:
        drawn = f"whole groups, {result['num_groups']} in all"
    print(f"each clip is answered once, by the network of its own fold; the interval draws {drawn}")
    if result["missing"]:
        print(f"in none of these numbers: fold {', '.join(map(str, result['missing']))}")
    _show_scores(result)


def _show_scores(result: dict) -> None:
    networks = [result[name] for name in NETWORKS]
    table = command_line.table("", *NETWORKS)
    for column in table.columns[1:]:
        column.justify = "right"
    for title, cell in (
        ("top-1", lambda n: percent(n["top1"])),
        ("  95 % interval", lambda n: " to ".join(percent(bound) for bound in n["interval"])),
        ("top-5", lambda n: percent(n["top5"])),
        ("mean of classes", lambda n: percent(n["mean_class"])),
        ("calibration error", lambda n: percent(n["ece"])),
    ):
        table.add_row(title, *[cell(n) if n else "-" for n in networks])
    table.add_section()
    for name in result["classes"]:
        table.add_row(name, *[percent(n["per_class"][name]) if n else "-" for n in networks])
    command_line.console().print(table)
    for line in agreed(result):
        print(line)
    if result.get("parts"):
        show_parts(result["parts"])
    for name, scores in zip(NETWORKS, networks, strict=True):
        if scores:
            _show_confusion(name, scores["confusion"], result["classes"])


def show_parts(parts: dict[str, dict], console: Console | None = None) -> None:
    """Prints the accuracy of each folder of records, where several were mixed."""
    table = command_line.table("folder", "clips", *NETWORKS)
    for name, part in parts.items():
        shares = [percent(part[network] and part[network]["top1"]) for network in NETWORKS]
        table.add_row(name, f"{part['num_examples']}", *shares)
    (console or command_line.console()).print(table)


def agreed(result: dict) -> list[str]:
    """How often both networks answer alike, and which of them is ahead; nothing where that is unknown."""
    share, gain = result.get("agreement"), result.get("over_teacher")
    lines = [] if share is None else [f"student and teacher name the same class for {percent(share)} of the clips"]
    return [*lines, *([gained(gain)] if gain else [])]


def gained(gain: dict | None) -> str:
    """How far the student is ahead of its teacher, as `metrics.gain` gives it; "" without a teacher."""
    if not gain:
        return ""
    between = " (too few scenes or actors for an interval)"
    if gain["interval"]:
        between = " ({:+.1f} to {:+.1f})".format(*(100 * bound for bound in gain["interval"]))
    return f"student over teacher, on the same clips: {100 * gain['top1']:+.1f} points{between}"


def _show_confusion(network: str, counts: list[list[int]], classes: list[str]) -> None:
    """Prints a matrix if it fits the screen, otherwise the most frequent mistakes."""
    if len(classes) <= 12:
        table = command_line.table(f"{network}: true \\ predicted", *[str(i) for i in range(len(classes))])
        for i, (name, row) in enumerate(zip(classes, counts, strict=True)):
            table.add_row(f"{i} {name}", *[str(n) if n else "·" for n in row])
        command_line.console().print(table)
        return
    mistakes = np.array(counts) * (1 - np.eye(len(classes), dtype=int))
    for place in np.argsort(-mistakes, axis=None, kind="stable")[:10]:
        true, predicted = divmod(int(place), len(classes))
        if mistakes[true, predicted]:
            print(f"{network}: {classes[true]} taken for {classes[predicted]} {mistakes[true, predicted]} times")


def _show_curve(curve: dict) -> None:
    """Prints the curve over brightness: the clips as recorded, other folders and twins, each exposure, the area."""
    table = command_line.table("exposure", "mean luma", *NETWORKS)
    recorded = {**curve["recorded"], "name": f"as recorded: {curve['recorded']['name']}"}
    for point in (recorded, *curve["twins"], *curve["points"]):
        title = f"{point['exposure']:g}" if "exposure" in point else point["name"]
        if point.get("left_out"):
            title += f" ({point['left_out']} clips of unknown classes left out)"
        shares = [percent(point[name]["top1"]) if point[name] else "-" for name in NETWORKS]
        table.add_row(title, f"{point['luma']:.1f}", *shares)
    table.add_section()
    table.add_row("area", "", *[percent(curve["area"][name]) for name in NETWORKS])
    command_line.console().print(table)
    if "picture" in curve:
        print(f"curve: {curve['picture']} and .json")


def show_mean(mean: dict, runs: int) -> None:
    """Prints the mean of several runs, as `pooling.mean_over_runs` gives it."""
    for network, scores in mean.items():
        if scores:
            shares = ", ".join(
                f"{title} {percent(scores[name][0])} ± {100 * scores[name][1]:.1f}"
                for name, title in (("top1", "top-1"), ("mean_class", "mean of classes"))
            )
            print(f"{network}, mean and standard deviation of {runs} runs: {shares}")
