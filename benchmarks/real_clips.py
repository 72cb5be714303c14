"""LIFT-Net on few real clips, leave one person out: the tables of docs/results.md, in one command that can be repeated.

    python benchmarks/real_clips.py --videos=WEIZMANN --out=runs/real_clips --vit=weights/dinov2_s14
    python benchmarks/real_clips.py --videos=WEIZMANN --out=runs/real_clips --rows=tiny --seeds=0      # a part of it

WEIZMANN holds a folder for each action, with files called PERSON_ACTION.  The clips become records by day and, filmed
again in the dark, by night; every row is then trained on all folds with each seed, and scored in both lights.  What is
done is kept: the same command goes on, and prints the tables of all rows that are finished.
"""

import argparse
import dataclasses
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np

from lift_flax.evaluate.metrics import interval
from lift_flax.files import write_text

CHOSEN_ON = ("daria", "denis", "eli")  # people by whom settings were chosen
DARK_LUMA = 17  # mean luma of ARID
LIGHTS = ("day", "dark")


@dataclasses.dataclass(frozen=True)
class Row:
    """A training set-up.

    Attributes:
      config: as `lift-flax train --config` takes it.
      light: of the clips to train on: day, dark, or any, which is both.
      fields: further ones.
      vit: whether it starts from the pretrained ViT.
      start: name of the run it starts from (`--start`), if any.
      folds: "all", or those of a quick comparison, of one seed.
    """

    config: str
    light: str = "day"
    fields: tuple[str, ...] = ()
    vit: bool = False
    start: str = ""
    folds: str = "all"


_QUICK = "1,2,3"  # the people whom settings were chosen on
ROWS = {
    "tiny": Row("own:tiny"),
    "tiny-dark": Row("own:tiny", "dark"),
    "tiny-any": Row("own:tiny", "any"),
    "tiny-street": Row("own:tiny", start="street"),
    "tiny-pretrained": Row("own:tiny", start="pretrain"),
    "vits": Row("own:vits", vit=True),
    "vits-dark": Row("own:vits", "dark", vit=True),
    "vits-any": Row("own:vits", "any", vit=True),
    "vits-street": Row("own:vits", vit=True, start="street"),
    "quick-both": Row("own:vits", vit=True, folds=_QUICK),
    "quick-main": Row("own:vits,streams=main", vit=True, folds=_QUICK),
    "quick-luminous": Row("own:vits,streams=luminous", folds=_QUICK),
    "quick-late": Row("own:vits", fields=("model.output=late",), vit=True, folds=_QUICK),
    # The ViT alone, in so many fixed views of each clip (quick-main has eight), and in new ones at every step.
    "views-1": Row("own:vits,streams=main", fields=("data.feature_views=1",), vit=True, folds=_QUICK),
    "views-2": Row("own:vits,streams=main", fields=("data.feature_views=2",), vit=True, folds=_QUICK),
    "views-4": Row("own:vits,streams=main", fields=("data.feature_views=4",), vit=True, folds=_QUICK),
    "views-new": Row(
        "own:vits,streams=main", fields=("data.feature_views=0", "data.features=compute"), vit=True, folds=_QUICK
    ),
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True, help="folder of a folder for each action")
    parser.add_argument("--out", type=Path, required=True, help="gets records, runs and tables")
    parser.add_argument("--vit", type=Path, help="converted ViT-S; without it the rows that need it are left out")
    parser.add_argument("--start", action="append", default=[], metavar="NAME=RUN", help="a run to start from")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--seeds", default="0,1,2", help="of each row (quick rows take the first)")
    args = parser.parse_args()
    starts = {name: run for name, _, run in (pair.partition("=") for pair in args.start)}
    rows = args.rows.split(",")
    if unknown := [name for name in rows if name not in ROWS] + [
        f"--start={n}" for n, run in starts.items() if not run
    ]:
        parser.error(f"{unknown[0]} is unknown: rows are {', '.join(ROWS)}, and --start is NAME=RUN")
    records = make_records(args.videos, args.out)
    tables = args.out / "tables.json"
    found = json.loads(tables.read_text()) if tables.exists() else []
    for name in rows:
        row = ROWS[name]
        if (row.vit and not args.vit) or (row.start and row.start not in starts):
            print(f"{name}: left out, for want of {'--vit' if row.vit else f'--start={row.start}=RUN'}", flush=True)
            continue
        seeds = args.seeds.split(",")
        runs = [
            train(row, args.out / "runs" / f"{name}-{seed}", records, seed, args.vit, starts.get(row.start))
            for seed in (seeds if row.folds == "all" else seeds[:1])
        ]
        found = [line for line in found if line["row"] != name]
        found += [{"row": name, "seeds": len(runs), **line} for line in lines_of(runs, records)]
        write_text(tables, json.dumps(found, indent=1) + "\n")
    print_table(found)


def lift_flax(*words: str | Path) -> None:
    """Runs a command of the project, shown first; ends this script where it fails."""
    print("$ lift-flax", shlex.join(map(str, words)), flush=True)
    code = subprocess.run([sys.executable, "-m", "lift_flax.cli", *map(str, words)]).returncode
    if code:
        sys.exit(f"that command ended with {code}")


def make_records(videos: Path, out: Path) -> dict[str, Path]:
    """Records of the clips in each light; `any` names both folders."""
    lift_flax("darken", "--videos", videos, "--out", out / "dark-videos", f"--luma={DARK_LUMA}")
    for light, source in (("day", videos), ("dark", out / "dark-videos")):
        flags = ["--group-regex", "/([a-z]+)_", "--folds=groups", "--out", out / light]
        lift_flax("build", "folder", "--videos", source, *flags)
    return {light: out / light for light in LIGHTS}


def train(row: Row, workdir: Path, records: dict[str, Path], seed: str, vit: Path | None, start: str | None) -> Path:
    """Trains all folds of a row, and scores them in both lights; what is there already is kept."""
    place = ",".join(str(records[light]) for light in (LIGHTS if row.light == "any" else (row.light,)))
    fields = [f"data.dir={place}", f"seed={seed}", "log.progress=False", *row.fields]
    fields += [f"model.pvit.init_from={vit}"] * row.vit + [f"train.init_from={start or ''}"]
    flags = [f"--config.{field}" for field in fields]
    lift_flax("train", f"--config={row.config}", *flags, f"--folds={row.folds}", "--workdir", workdir)
    for light in LIGHTS:
        if not (out := workdir / f"{light}.json").exists():
            lift_flax("evaluate", "--workdir", workdir, "--data-dir", records[light], "--out", out)
    return workdir


def lines_of(runs: list[Path], records: dict[str, Path]) -> list[dict]:
    """One line of the table for each light, and network, of the runs of all seeds."""
    people = {light: json.loads((place / "folds.json").read_text()) for light, place in records.items()}
    lines = []
    for light in LIGHTS:
        scored = [run for workdir in runs for run in json.loads((workdir / f"{light}.json").read_text())["runs"]]
        group_of = {clip["id"]: clip["group"] for clip in people[light]["clips"]}
        tested = {fold: group_of[ids["test"][0]] for fold, ids in people[light]["folds"].items()}
        for network in ("teacher", "student"):
            if any(run[network] is None for run in scored):
                continue
            hits, groups = [], []
            for run in scored:
                right = round(run[network]["top1"] * run["num_examples"])
                hits += [True] * right + [False] * (run["num_examples"] - right)
                groups += [tested[str(run["fold"])]] * run["num_examples"]
            lines.append({"light": light, "network": network, **accuracies(np.array(hits), groups)})
    seconds = [json.loads(path.read_text())["seconds"] for run in runs for path in run.glob("fold*/results.json")]
    return [{**line, "minutes": sum(seconds) / 60 / len(runs)} for line in lines]


def accuracies(hits: np.ndarray, groups: list[str]) -> dict:
    """Share of right answers with its 95 % interval over people: of all, and of those on whom nothing was chosen."""
    others = np.array([group not in CHOSEN_ON for group in groups])
    found = {}
    for name, chosen in (("all", np.ones_like(others)), ("others", others)):
        if others.any() or name == "all":
            of = [group for group, is_in in zip(groups, chosen, strict=True) if is_in]
            found[name] = {
                "clips": int(chosen.sum()),
                "top1": hits[chosen].mean(),
                "interval": interval(hits[chosen], of),
            }
    return found


def print_table(lines: list[dict]) -> None:
    """The lines in Markdown."""
    print("\n| row | tested by | network | seeds | all people tested | people not chosen on | minutes a seed |")
    print("|---|---|---|---:|---:|---:|---:|")
    for line in lines:
        shown = []
        for name in ("all", "others"):
            if one := line.get(name):
                low, high = one["interval"]
                shown.append(f"{one['top1']:.1%} ({low:.1%} to {high:.1%}) of {one['clips']}")
            else:
                shown.append("")
        print(f"| {line['row']} | {line['light']} | {line['network']} | {line['seeds']} | {shown[0]} | {shown[1]} |"
              f" {line['minutes']:.0f} |")  # fmt: skip


if __name__ == "__main__":
    main()
