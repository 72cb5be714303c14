"""A finished run as one web page: what was measured, how training went, and clips to look at.

The page needs no network and no other file, so it can be mailed, archived or opened on a phone.  Everything in it comes
from the workdir, except the pictures, which are decoded from the records.
"""

import io
import json
import re
from collections import Counter
from importlib import resources
from pathlib import Path

import jinja2
import matplotlib
import numpy as np
from jaxtyping import Bool, Float, Int
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lift_flax import config as config_lib
from lift_flax import config_file, curves, metrics
from lift_flax.config import Config
from lift_flax.data.records import open_records, read_eval_examples
from lift_flax.errors import UserError
from lift_flax.files import write_text
from lift_flax.film import film_strip

_CLIPS = 12  # test clips shown
_TABLE_CLASSES = 12  # up to this many, a confusion matrix is a table of numbers; above, a picture
_CONFUSIONS = 8  # most frequent mistakes listed

# Colours in matplotlib's output, and what stands for them on the page: they follow its light or dark mode.
_INK, _COLOURS = "#101112", {"teacher": "#b06a12", "student": "#1f6f9f"}
_ON_PAGE = {_INK: "currentColor"} | {colour: f"var(--{name})" for name, colour in _COLOURS.items()}
_STYLE = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.linewidth": 0.6,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.8,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"), _INK
    ),
}


def write(workdir: Path) -> None:
    """Writes report.html into the workdir of a finished run, whole or not at all.

    Raises:
      UserError: the workdir is not that of a finished run, or its records are gone.
    """
    config = config_file.load(workdir / "config.json")
    for name in ("run.json", "metrics.jsonl", "results.json", "test_predictions.npz"):
        if not (workdir / name).is_file():
            raise UserError(f"{workdir} holds no {name}: give the command of this run again, it goes on to its end")
    results = json.loads((workdir / "results.json").read_text())
    with np.load(workdir / "test_predictions.npz") as archive:
        predictions = dict(archive)
    networks = [name for name in ("student", "teacher") if results[name]]
    lines = curves.read_metrics(workdir)
    with matplotlib.rc_context(_STYLE):
        page = _template().render(
            config=config_lib.flatten(config),
            run=(run := json.loads((workdir / "run.json").read_text())),
            devices=Counter(run["devices"]),
            results=results,
            protocol="{} clip × {} crop".format(*results["views"].split("x")),
            networks=networks,
            phases=[(phase, _curves(lines, phase)) for phase in ("teacher", "student")],
            validated=any(line["split"] == "validation" for line in lines),
            missing=sum(line[name] is None for line in lines for name in ("loss", "top1")),
            per_class=_per_class(results, networks),
            confusions=[
                _confusion(name, np.array(results[name]["confusion"]), results["classes"]) for name in networks
            ],
            cards=_cards(config, results["classes"], networks, predictions),
        )
    write_text(workdir / "report.html", page)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = lambda share: "–" if share is None else f"{100 * share:.1f} %"
    environment.filters["duration"] = _duration
    return environment.from_string(resources.files("lift_flax").joinpath("report.html").read_text(encoding="utf-8"))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _curves(lines: list[dict], phase: str) -> list[dict[str, str]]:
    """Panels {"title", "svg"} of one phase; a quantity that was never logged has none."""
    quantities = (
        ("Cross-entropy", lambda line: line.get("cross_entropy", line["loss"])),
        ("Distance to the teacher’s logits", lambda line: line.get("distillation")),
        ("Top-1 accuracy", lambda line: line["top1"]),
    )
    panels = []
    for title, read in quantities:
        series = {}
        for split in ("train", "validation"):
            of_split = [line for line in lines if (line["phase"], line["split"]) == (phase, split)]
            series[split] = [(line["epoch"], read(line)) for line in of_split if read(line) is not None]
        if any(series.values()):
            panels.append({"title": title, "svg": _panel(phase, title, series)})
    return panels


def _panel(phase: str, title: str, series: dict[str, list[tuple[float, float]]]) -> Markup:
    """One axes: values over epochs, training faint and validation strong."""
    figure = Figure(figsize=(4.4, 2.8), layout="constrained")
    axes = figure.subplots()
    styles = {"train": {"alpha": 0.55, "linewidth": 1.2}, "validation": {"linewidth": 1.8, "markersize": 3.5}}
    for split, points in series.items():
        if points:
            marker = "o" if split == "validation" or len(points) < 3 else ""
            axes.plot(*zip(*points, strict=True), color=_COLOURS[phase], marker=marker, label=split, **styles[split])
    if "accuracy" in title:
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    else:
        axes.set_ylim(0, 1.08 * max(value for points in series.values() for _, value in points) or 1)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("epoch")
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return _inline_svg(figure, f"{phase} {title}")


def _inline_svg(figure: Figure, name: str) -> Markup:
    """A figure as an <svg> element that takes the width and the colours of the page; `name` keeps its ids apart."""
    buffer = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", rf'<svg \1 role="img" aria-label="{name}">', svg, count=1)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    for colour, on_page in _ON_PAGE.items():
        svg = svg.replace(colour, on_page)
    return Markup(svg)


def _per_class(results: dict, networks: list[str]) -> list[dict]:
    """Rows {"name", "count", "shares": {network: top-1 or None}} in the order of the labels."""
    counts = np.array(results["student"]["confusion"]).sum(axis=1)
    return [
        {"name": c, "count": int(n), "shares": {network: results[network]["per_class"][c] for network in networks}}
        for c, n in zip(results["classes"], counts, strict=True)
    ]


def _confusion(network: str, counts: Int[np.ndarray, "K K"], classes: list[str]) -> dict:
    """{"network", "mistakes": [(true, predicted, count)], and "rows" of (count, share of the true class) or "svg"}."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    mistakes = np.where(np.eye(len(classes), dtype=bool), 0, counts)
    worst = [divmod(int(i), len(classes)) for i in np.argsort(-mistakes, axis=None, kind="stable")[:_CONFUSIONS]]
    listed = [(classes[t], classes[p], int(mistakes[t, p])) for t, p in worst if mistakes[t, p]]
    if len(classes) > _TABLE_CLASSES:
        return {"network": network, "mistakes": listed, "svg": _confusion_picture(network, shares)}
    rows = [list(zip(c, s, strict=True)) for c, s in zip(counts.tolist(), shares.tolist(), strict=True)]
    return {"network": network, "mistakes": listed, "rows": rows}


def _confusion_picture(network: str, shares: Float[np.ndarray, "K K"]) -> Markup:
    colour = matplotlib.colors.to_rgb(_COLOURS[network])
    pixels = np.empty((*shares.shape, 4), np.float32)  # [K, K, RGBA]: the share is the opacity, on either background
    pixels[..., :3] = colour
    pixels[..., 3] = np.where(shares > 0, 0.15 + 0.85 * shares, 0)
    figure = Figure(figsize=(4.4, 4.3), layout="constrained")
    axes = figure.subplots()
    axes.imshow(pixels, interpolation="none")
    axes.set(xlabel="predicted class, by number", ylabel="true class, by number")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))
    return _inline_svg(figure, f"{network} confusion matrix")


def _cards(config: Config, classes: list[str], networks: list[str], predictions: dict[str, np.ndarray]) -> list[dict]:
    """Test clips to look at: {"id", "label", "image" data URI, "guesses": [{"network", "name", "share", "right"}]}."""
    keys = {"student": "logits", "teacher": "teacher_logits"}
    guessed = {name: metrics.softmax(predictions[keys[name]]) for name in networks if keys[name] in predictions}
    labels = predictions["labels"]
    chosen = choose_clips(labels, guessed["student"].argmax(axis=1) == labels, _CLIPS)
    ids = [str(i) for i in predictions["ids"][chosen]]
    cards = []
    examples = read_eval_examples(open_records(config.data.dir), config, ids)
    for i, example in zip(chosen, examples, strict=True):
        guesses = []
        for network, shares in guessed.items():
            best = int(shares[i].argmax())
            guess = {"name": classes[best], "share": float(shares[i, best]), "right": best == labels[i]}
            guesses.append({"network": network, **guess})
        image = film_strip(example, config.model.luminous)
        cards.append({"id": example["id"], "label": classes[labels[i]], "image": image, "guesses": guesses})
    return cards


def choose_clips(labels: Int[np.ndarray, "N"], right: Bool[np.ndarray, "N"], count: int) -> list[int]:
    """Positions of up to `count` examples, the same for the same input: half of them mistakes, spread over the classes.

    Where there are too few of either kind, the other fills up.  Classes come in turn, first those that have no example
    of the other kind.  The positions returned are in order of their labels.
    """
    rank = np.random.default_rng(0).permutation(len(labels))
    pools = {kind: set(np.flatnonzero(right == kind).tolist()) for kind in (True, False)}
    taken: Counter[int] = Counter()
    chosen: list[int] = []
    for turn in range(min(count, len(labels))):
        kind = turn % 2 == 0
        if not pools[kind]:
            kind = not kind
        elsewhere = {int(labels[i]) for i in pools[not kind]}
        best = min(pools[kind], key=lambda i: (taken[int(labels[i])], int(labels[i]) in elsewhere, rank[i]))
        pools[kind].remove(best)
        taken[int(labels[best])] += 1
        chosen.append(best)
    return sorted(chosen, key=lambda i: (labels[i], i))
