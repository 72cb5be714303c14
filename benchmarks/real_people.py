r"""What a network that was trained on rendered people alone knows of real ones.

    lift-flax build night_figures --scenes=street --clips=1650 --size=120 --codec=original --flow \
        --out STREET
    lift-flax train --config=own:tiny --config.data.dir=STREET --workdir=RUN
    python -m benchmarks.real_people --workdir=RUN --weizmann=DIR --people=daria,denis,eli     # to choose by
    python -m benchmarks.real_people --workdir=RUN --weizmann=DIR --chosen=daria,denis,eli --arid=DIR    # once, at last

--weizmann is a folder of Weizmann's clips, `walk/daria_walk.avi`: six of its actions stand for five classes.  --arid
holds clips of ARID in folders of their classes, beside others such as `validate` whose classes its lists in ARID's
format tell.  The answer is the likeliest of the classes that are named; chance is 20 % and, with six classes of ARID,
17 %.  Intervals hold 95 % of the draws of a bootstrap over people, or over ARID's scenes as far as names tell them.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lift_flax import command_line, compiling
from lift_flax.errors import UserError, run_cli
from lift_flax.evaluate import metrics
from lift_flax.predict.predictor import Predictor
from lift_flax.runs.trained import open_trained

WEIZMANN = {"walk": "Walk", "run": "Run", "wave1": "Wave", "wave2": "Wave", "pjump": "Jump", "bend": "Pick"}


class RealClip(NamedTuple):
    """A clip of real people: `kind` is what its own data set calls the action, `group` its person or scene."""

    path: Path
    kind: str
    class_name: str
    group: str


def weizmann(folder: Path, people: list[str]) -> list[RealClip]:
    """The clips of these people, or of everybody.  Raises UserError if there are none."""
    clips = []
    for kind, class_name in WEIZMANN.items():
        for path in sorted(found for found in (folder / kind).glob("*.*") if found.suffix in (".avi", ".mp4")):
            person = path.stem.partition("_")[0]
            if not people or person in people:
                clips.append(RealClip(path, kind, class_name, person))
    if missing := set(people) - {clip.group for clip in clips}:
        raise UserError(f"{folder} has no clips of {', '.join(sorted(missing))}")
    if not clips:
        raise UserError(f"{folder} has no clips such as walk/daria_walk.avi")
    return clips


def arid(folder: Path) -> list[RealClip]:
    """The clips of the lists of split 1, below `folder` or `folder/clips`.  Raises UserError if there are none."""
    top = folder / "clips" if (folder / "clips").is_dir() else folder
    try:
        rows = [line.split() for line in (folder / "mapping_table.txt").read_text().splitlines()]
        names = {number: name for number, name, *_ in rows}
        lists = [
            line.split() for file in sorted(folder.glob("*_split1_*.txt")) for line in file.read_text().splitlines()
        ]
        clips = [RealClip(top / path, names[label], names[label], _scene(path)) for _, label, path in lists]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder} has no lists of split 1 in ARID's format ({error})") from None
    if not clips:
        raise UserError(f"{folder} has no lists of split 1 in ARID's format")
    return clips


def _scene(path: str) -> str:
    """The scene in `Walk/Walk_10_2.mp4`; a name without one is a scene of its own."""
    parts = Path(path).stem.split("_")
    return f"{parts[0]} {parts[1]}" if len(parts) == 3 else path


def answers(predictor: Predictor, clips: list[RealClip]) -> list[str]:
    """The likeliest class of each clip among the classes of all of them.  Raises UserError if one cannot be used."""
    wanted = sorted({clip.class_name for clip in clips})
    if missing := [name for name in wanted if name not in predictor.trained.classes]:
        raise UserError(f"{predictor.trained.workdir} does not know {', '.join(missing)}")
    return likeliest(probabilities(predictor, clips), predictor.trained.classes, wanted)


def probabilities(predictor: Predictor, clips: list[RealClip]) -> Float[np.ndarray, "N K"]:
    """What the network answers for each clip.  Raises UserError if one cannot be used."""
    found = []
    for answer in predictor.each([str(clip.path) for clip in clips]):
        if answer.error:
            raise UserError(f"{answer.video} cannot be used: {answer.error}")
        found.append(answer.probabilities)
    return np.stack(found)


def likeliest(shares: Float[np.ndarray, "N K"], known: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The likeliest of the classes `wanted` for each row of probabilities of the classes `known`."""
    places = [known.index(name) for name in wanted]
    return [wanted[label] for label in shares[:, places].argmax(axis=1)]


def show(title: str, clips: list[RealClip], found: list[str]) -> None:
    """Prints the accuracy with its interval, and for each kind of clip what it was taken for."""
    hits = np.array([clip.class_name == answer for clip, answer in zip(clips, found, strict=True)])
    low, high = metrics.interval(hits, [clip.group for clip in clips])
    print(f"{title}: {hits.sum()} of {len(hits)}, {100 * hits.mean():.1f} % [{100 * low:.0f}, {100 * high:.0f}]")
    for kind in dict.fromkeys(clip.kind for clip in clips):
        counted = Counter(answer for clip, answer in zip(clips, found, strict=True) if clip.kind == kind)
        print(f"  {kind:8}", ", ".join(f"{name} {count}" for name, count in counted.most_common()))


def main() -> None:
    """The command line."""
    parser = command_line.parser(__doc__, "benchmarks.real_people")
    parser.add_argument("--workdir", type=Path, required=True, help="of the trained run")
    parser.add_argument("--weizmann", type=Path, help="folder of Weizmann's clips")
    parser.add_argument("--arid", type=Path, help="folder of ARID's clips and lists")
    parser.add_argument("--people", default="", help="of Weizmann, with commas (default: all)")
    parser.add_argument("--chosen", default="", help="people whom settings were chosen on: the others are shown apart")
    parser.add_argument("--network", choices=("student", "teacher", "both"), default="both", help="that answers")
    args = parser.parse_args()
    if not args.weizmann and not args.arid:
        raise UserError("give --weizmann=DIR, --arid=DIR or both")
    people, chosen = ([name for name in names.split(",") if name] for names in (args.people, args.chosen))
    sets = {}
    if args.weizmann:
        sets["Weizmann"] = weizmann(args.weizmann, people)
    if args.arid:
        sets["ARID"] = arid(args.arid)
    compiling.keep_compiled_programs()
    trained = open_trained(args.workdir)
    for network in ("teacher", "student") if args.network == "both" else (args.network,):
        predictor = Predictor(trained, network=network)
        for name, clips in sets.items():
            found = answers(predictor, clips)
            show(f"{name}, {network}", clips, found)
            apart = [pair for pair in zip(clips, found, strict=True) if pair[0].group not in chosen]
            if name == "Weizmann" and 0 < len(apart) < len(clips):
                show(f"{name} without {args.chosen}, {network}", *map(list, zip(*apart, strict=True)))


if __name__ == "__main__":
    run_cli(main)
