"""The model card of a package: README.md, with the fields that model hubs read in front of the text."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from lift_flax.command_line import percent
from lift_flax.config import Config
from lift_flax.errors import shown
from lift_flax.export.rounding import FLOAT16, told
from lift_flax.models.functional import count_parameters
from lift_flax.runs.trained import TrainedRun

_TASK = "video-classification"
_LIT, _FLOW, _MOTION = "frames with gamma correction", "optical flow", "differences of frames in time"
_LUMINOUS = {"gamma": _LIT, "flow": _FLOW, "both": f"{_LIT}, and {_FLOW}", "motion": _MOTION}
_MAIN = {"frames": "frames as they were filmed", "lit": _LIT, "motion": _MOTION}
_STARTS = {"run": "another run", "pvit": "a ViT", "teacher": "an R(2+1)D"}  # by their names in run.json


def card_of(trained: TrainedRun, results: dict[str, Any] | None, name: str, license_id: str, more: str) -> str:
    """The text of the card.

    Args:
      results: what training measured on the test split (`train.results`); None where it was not tested.
      name: of the package's folder or file.
      license_id: of its weights, as hubs name it.
      more: text in Markdown that is added at the end.
    """
    sections = [
        _front_matter(trained, results, name, license_id),
        f"# {shown(Path(name).stem if name.endswith('.zip') else name)}",
        f"A network of lift_flax that names the action in a video, one of {len(trained.classes)} classes.",
        _use(name),
        _training(trained),
        _classes(trained, results),
        _scores(results),
        _limits(trained, results),
        more,
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(trained: TrainedRun, results: dict[str, Any] | None, name: str, license_id: str) -> str:
    """YAML between two lines of hyphens.  Each value is written as JSON, which YAML contains."""
    dataset = trained.config.dataset
    fields: dict[str, Any] = {"license": license_id}
    if license_id == "other":
        fields["license_name"] = "not-stated"
    fields |= {
        "library_name": "lift_flax",
        "pipeline_tag": _TASK,
        "tags": [_TASK, "action-recognition", "low-light", "jax", "flax"],
        "datasets": [_slug(dataset)] if _slug(dataset) else [],
        "metrics": ["accuracy"],
    }
    if results:
        tested = {"name": shown(results["dataset"]), "type": _slug(results["dataset"]) or "videos"}
        tested |= {"split": results["split"], "config": f"fold {results['fold']}"}
        scores = [
            {"type": "accuracy", "name": f"top-1 of the {network}", "value": results[network]["top1"]}
            for network in ("student", "teacher")
            if results[network]
        ]
        result = {"task": {"type": _TASK, "name": "Action recognition"}, "dataset": tested, "metrics": scores}
        fields["model-index"] = [{"name": shown(name), "results": [result]}]
    return "\n".join(["---", *(f"{key}: {_as_yaml(value)}" for key, value in fields.items()), "---"])


def _as_yaml(value: Any) -> str:
    """Words as they are, and all else as JSON."""
    plain = isinstance(value, str) and re.fullmatch(r"[a-z][\w.-]*", value)
    return value if plain else json.dumps(value, ensure_ascii=False)


def _slug(name: str) -> str:
    """A name as hubs write those of data sets."""
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-.")


def _use(name: str) -> str:
    return "\n".join([
        "## Use",
        "",
        "```python",
        "import lift_flax",
        f"run = lift_flax.load({json.dumps(shown(name), ensure_ascii=False)})  # this package: its folder, its .zip, or hf://owner/name",
        'print(run("clip.mp4").label)',
        "```",
        "",
        "```",
        f"lift-flax predict --workdir={shlex.quote(shown(name))} clip.mp4",
        "```",
        "",
        "Nothing in it is code: tensors (`model.safetensors`), settings and facts (JSON), and this text.",
    ])  # fmt: skip


def _training(trained: TrainedRun) -> str:
    config = trained.config
    lines = [
        f"- data: {shown(config.dataset) or 'not stated'}, fold {config.data.fold}; videos kept as "
        f"{trained.prepared['codec']}, shorter side {trained.prepared['short_side']} px",
        f"- a clip: {config.data.num_frames} frames of {config.data.size} px, {_sampled(config)}",
        f"- the network sees {_seen(config)}",
        f"- it holds {count_parameters((trained.params, trained.batch_stats)):,} numbers, of step {trained.step}",
        "- distilled from a teacher, which it holds" if config.train.distill else "- trained without a teacher",
    ]
    if (packed := trained.facts.get("package", {})).get("dtype") == FLOAT16:
        lines.append(
            f"- they are kept as {FLOAT16}; on random clips {told(packed['largest_difference'])} from the run's"
        )
    if trained.clip_seconds:
        lines.append(f"- half of the videos that it learnt from are shorter than {trained.clip_seconds:.1f} s")
    if starts := trained.facts.get("weights"):
        lines.append(
            f"- it started from weights of: {', '.join(_STARTS.get(name, name) for name in sorted(map(str, starts)))}"
        )
    return "\n".join(["## Training", "", *lines])


def _seen(config: Config) -> str:
    """What goes into its streams."""
    main, luminous = _MAIN[config.model.main_input], _LUMINOUS[config.model.luminous.input]
    seen = [main] * (config.model.streams != "luminous") + [luminous] * (config.model.streams != "main")
    return " in one stream, and in the other ".join(seen)


def _sampled(config: Config) -> str:
    if config.data.sampling == "segments":
        return "spread over the video"
    span = f"{config.data.window_seconds:g} s" if config.data.window_seconds else f"{config.data.stride} frame(s) apart"
    return f"in a row, {span}"


def _classes(trained: TrainedRun, results: dict[str, Any] | None) -> str:
    """The classes by label, with what the student scored on each, in a block that shows names as they are."""
    lines, width = [], max(len(shown(name)) for name in trained.classes)
    student = results["student"] if results and results["classes"] == list(trained.classes) else None
    for label, name in enumerate(trained.classes):
        score = ""
        if student:
            count = int(np.sum(student["confusion"][label]))
            score = f"{percent(student['per_class'][name]):>8} of {count}" if count else "  not tested"
        lines.append(f"{label:4}  {shown(name):{width if score else 0}}{score}")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", "".join(lines))), default=0))
    about = "By label, and how many of its test clips the student has right:" if student else "By label:"
    return "\n".join(["## Classes", "", about, "", f"{fence}text", *lines, fence])


def _scores(results: dict[str, Any] | None) -> str:
    if not results:
        return "## Scores\n\nNone: the run was not tested when this package was written."
    rows = ["| network | top-1 | 95 % interval |", "|---|---|---|"]
    for network in ("student", "teacher"):
        if scores := results[network]:
            low, high = scores.get("interval") or (None, None)
            between = "unknown" if low is None else f"{percent(low)} to {percent(high)}"
            rows.append(f"| {network} | {percent(scores['top1'])} | {between} |")
    about = (
        f"On {results['num_examples']} test clips of {shown(results['dataset'])}, fold {results['fold']}, views "
        f"{results['views']}, as training measured at its end. The student is the network that answers. The intervals "
        "hold 95 % of bootstrap draws of whole scenes or actors."
    )
    return "\n".join(["## Scores", "", about, "", *rows])


def _limits(trained: TrainedRun, results: dict[str, Any] | None) -> str:
    lines = [
        f"- It knows {len(trained.classes)} classes, and gives one of them to every video, whatever it shows.",
        "- The scores are of clips like those that it learnt from. Other cameras, people and places: measure first, "
        "with `lift-flax evaluate --data-dir=RECORDS`.",
        "- It must not decide about people by itself.",
    ]
    if results and results["num_examples"] < 200:
        lines.append(f"- Only {results['num_examples']} clips were tested: mind the interval.")
    return "\n".join(["## Limits", "", *lines])
