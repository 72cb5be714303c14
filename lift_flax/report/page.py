"""The page of a finished run: reads the workdir, fills page.html."""

import shlex
from collections import Counter
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
from jaxtyping import Int
from markupsafe import Markup

from lift_flax.command_line import percent
from lift_flax.config import Config
from lift_flax.data.records import Records, open_records
from lift_flax.errors import UserError, shown
from lift_flax.evaluate import metrics, scoring, tables
from lift_flax.explain.explainer import Explainer
from lift_flax.fields import flat_fields
from lift_flax.files import write_text
from lift_flax.files.json_object import read_object
from lift_flax.models.build import with_bn_eps
from lift_flax.report import clips, figures, training
from lift_flax.runs import config_file, metrics_log
from lift_flax.runs.trained import TrainedRun, open_trained
from lift_flax.runs.workdir import facts, read_predictions, read_results

_TABLE_CLASSES = 12  # up to this many, a confusion matrix is a table of numbers; above, a picture
_IN_CURVE = {"num_examples": int, "views": str, "recorded": dict, "points": [dict], "area": dict, "twins": [dict]}
_CONFUSIONS = 8  # most frequent mistakes listed


def write_page(workdir: Path) -> Path:
    """Writes report.html into the workdir of a finished run, whole or not at all, and returns its path.

    Raises:
      UserError: the workdir is not that of a finished run, a file in it is damaged, or its records are missing.
    """
    config = config_file.load(workdir / "config.json")
    run = facts(workdir, "validation_ids", "versions", "python", "devices")
    results, predictions = read_results(workdir), read_predictions(workdir)
    lines, brightness = metrics_log.read_metrics(workdir), _brightness(workdir)
    records = open_records(config.data.dir)
    results = _completed(results, predictions, records)
    networks = [name for name in ("student", "teacher") if results[name]]
    trained, why_not = _opened(workdir)
    page = _template().render(
        style=Markup(resources.files("lift_flax.report").joinpath("page.css").read_text(encoding="utf-8")),
        config=flat_fields(config),
        defaults=flat_fields(with_bn_eps(Config())),
        run=run,
        devices=Counter(run["devices"]),
        results=results,
        train_clips=len(set(records.split(config.data.fold, "train")).difference(run["validation_ids"])),
        protocol="{} clip × {} crop".format(*results["views"].split("x")),
        networks=networks,
        gained=tables.gained(results["over_teacher"]),
        phases=training.phases(config, results, lines, workdir),
        validated=any(line["split"] == "validation" for line in lines),
        missing=sum(line[name] is None for line in lines for name in ("loss", "top1") if name in line),
        per_class=_per_class(results, networks),
        chance=metrics.chance(predictions["labels"]),
        confusions=[_confusion(name, np.array(results[name]["confusion"]), results["classes"]) for name in networks],
        cards=clips.cards(config, records, results["classes"], predictions, Explainer(trained) if trained else None),
        why_not=why_not,
        brightness=brightness,
        draw_brightness=figures.brightness,
        workdir=shown(shlex.quote(str(workdir))),
    )
    write_text(workdir / "report.html", page)
    return workdir / "report.html"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = lambda share: "–" if share is None else percent(share)
    environment.filters["count"] = lambda number: "–" if number is None else f"{number:,}"
    environment.filters["duration"] = _duration
    environment.filters["value"] = _value
    return environment.from_string(
        resources.files("lift_flax.report").joinpath("page.html").read_text(encoding="utf-8")
    )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _value(value: object) -> str:
    """A field of a config as text."""
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value))
    return "none" if value == "" else shown(str(value))


def _completed(results: dict, predictions: dict[str, np.ndarray], records: Records) -> dict:
    """`results`; what those of an earlier version lack is computed from the run's predictions."""
    ids = [str(i) for i in predictions["ids"]]
    if missing := [i for i in ids if i not in records.index]:
        raise UserError(
            f"{records.dir} holds no clip {missing[0]}, which the run was tested on: build them again as they were"
        )
    groups = scoring.groups_of(records, ids)
    judged = scoring.judge_networks(predictions, groups, tuple(results["classes"]))
    results = {**scoring.compare(predictions, groups), **results}
    return results | {name: {**(judged[name] or {}), **results[name]} for name in judged if results[name]}


def _opened(workdir: Path) -> tuple[TrainedRun | None, str]:
    """(the student, "") or (None, why it cannot be opened)."""
    try:
        return open_trained(workdir), ""
    except UserError as error:
        return None, str(error)


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
        return {"network": network, "mistakes": listed, "svg": figures.confusion(network, shares)}
    rows = [list(zip(c, s, strict=True)) for c, s in zip(counts.tolist(), shares.tolist(), strict=True)]
    return {"network": network, "mistakes": listed, "rows": rows}


def _brightness(workdir: Path) -> dict | None:
    """What the run, or `lift-flax evaluate --illumination`, has measured; None where neither has."""
    path = workdir / "illumination.json"
    remedy = (
        f"measure it again with `lift-flax evaluate --workdir={shlex.quote(str(workdir))} --illumination`, or remove it"
    )
    return read_object(path, _IN_CURVE, remedy) if path.exists() else None
