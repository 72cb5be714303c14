"""Whether the student is better than its teacher where there is room for it, and what each part of `any:tiny` brings.

    python -m benchmarks.headroom --out=runs/headroom [--seeds=0,1,2] [--rows=any,levels] [--judge=validation]

The clips: 20 for training in each class, from three lights, and 1,518 of other scenes to test on, filmed in the dark.
Every test clip is photographed with two to six stops less light, by its own draw: with all its light a teacher that
sees motion leaves nothing to gain.  `--judge=validation` scores 462 clips of yet other scenes instead: by them the
stops, the epochs and the settings of `any:tiny` were chosen.

The teacher of a row is trained for as many epochs as help on the validation clips.  A student has to beat the better of
it and the same teacher trained for the student's epochs more; rows whose teacher differs have the first of the two
alone.  Differences are of the same clips, means over seeds, with a 95 % interval by a bootstrap over scenes.

The last line says what two teachers of neighbouring seeds are worth, their probabilities summed: a bound of what a
second trunk as good as the first one could bring.

Nothing is trained or scored twice: all of it lies in --out.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import zlib
from pathlib import Path

import jax
import numpy as np
from scipy.special import softmax

from lift_flax import command_line, compiling, presets
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.data.records import open_records
from lift_flax.distributed.mesh import make_mesh
from lift_flax.distributed.processes import StopSignal
from lift_flax.evaluate import metrics, scoring
from lift_flax.files import replacing
from lift_flax.models.functional import answering
from lift_flax.runs import config_file
from lift_flax.runs.metrics_log import MetricsWriter
from lift_flax.train import phases
from lift_flax.train.loop import train_phase
from lift_flax.video.camera import Camera, Relight

Fields = dict[str, str | int | float | bool]
Logits = dict[str, np.ndarray]  # [N, K] of the clips as "recorded", and "darker"

STOPS = (2.0, 6.0)  # less light than the clips were filmed in, drawn evenly between
CLIPS = {  # folder: (light, seed, clips of each class to train on, to test on)
    "dark": ("dark", 11, 7, 46), "dark2": ("dark", 14, 1, 46), "dark3": ("dark", 15, 1, 46),
    "day": ("day", 12, 7, 1), "infrared": ("infrared", 13, 6, 1),
    "validation": ("dark", 111, 1, 14), "validation2": ("dark", 114, 1, 14), "validation3": ("dark", 115, 1, 14),
}  # fmt: skip
TRAIN, JUDGES = ("dark", "day", "infrared"), {
    "test": ("dark", "dark2", "dark3"), "validation": ("validation", "validation2", "validation3")
}  # fmt: skip
EPOCHS, MORE = 80, 20  # of every teacher; of every student, and of the teacher that goes on without one
_CAMERA = Camera(full_well=8000.0, read_noise=3.0)


@dataclasses.dataclass(frozen=True)
class Row:
    """A student.

    Attributes:
      about: what differs from `any:tiny`.
      student, teacher: fields that differ; those of the teacher hold for its student too.
    """

    about: str
    student: Fields = dataclasses.field(default_factory=dict)
    teacher: Fields = dataclasses.field(default_factory=dict)


ROWS = {
    "any": Row("`any:tiny`"),
    "late": Row("no levels: both heads alone", {"model.output": "late"}),
    "levels": Row("levels alone, as Eq. 2", {"model.output": "levels"}),
    "gate": Row("levels alone, with a gate", {"model.output": "levels", "model.fusion_residual": "gate"}),
    "not_distilled": Row("no term of distillation", {"train.distill_weight": 0.0}),
    "l1": Row("distilled by Eq. 6, mean", {"train.distill_term": "l1_mean"}),
    "frames_main": Row("frames in the main stream", {"model.main_input": "frames"}),
    "no_main_loss": Row("no loss of the main stream's own", {"train.main_weight": 0.0}),
    "smoothed": Row("labels smoothed by 0.1", {"train.label_smoothing": 0.1}),
    "finetune": Row("the R(2+1)D goes on learning", {"train.trunk": "finetune"}),
    "frames": Row("lit frames in the luminous stream", teacher={"model.luminous.input": "gamma"}),
    "no_exposure": Row("no exposures", teacher={"augment.exposure": 0.0}),
    "own_gamma": Row("a gamma of each clip's own", teacher={"model.luminous.gamma_target": 58.0}),
    "both_smoothed": Row("labels smoothed by 0.1 in both phases", teacher={"train.label_smoothing": 0.1}),
    "averaged": Row("weights averaged, decay 0.99", teacher={"train.ema": 0.99}),
    "clipped": Row("warm-up, gradients clipped to 1", teacher={"train.warmup": 0.05, "train.clip_norm": 1.0}),
}


def darker(frames: np.ndarray, clip_id: str) -> np.ndarray:
    """The frames of a clip, photographed with less light: how much is the clip's own draw."""
    share = np.random.default_rng([7, zlib.crc32(clip_id.encode())]).random()
    stops = STOPS[0] + share * (STOPS[1] - STOPS[0])
    return Relight(dataclasses.replace(_CAMERA, exposure=2.0**-stops))(frames, clip_id)


def build(out: Path) -> None:
    """Renders the clips that are missing."""
    for name, (light, seed, train, test) in CLIPS.items():
        folder = out / "records" / name
        if not (folder / "prep_report.json").exists():  # written last
            flags = {"light": light, "seed": seed, "train-per-class": train, "test-per-class": test, "out": folder}
            flags["codec"] = "original"
            command = [sys.executable, "-m", "data_prep.build", "night_figures"]
            subprocess.run([*command, *[f"--{flag}={value}" for flag, value in flags.items()]], check=True)


def config_of(out: Path, seed: int, fields: Fields) -> Config:
    """`any:tiny` on the training clips, with other fields."""
    values = presets.get_config("tiny", **presets.ANY_LIGHT).unlock()
    folders = ",".join(str(out / "records" / name) for name in TRAIN)
    epochs = {"train.teacher_epochs": EPOCHS, "train.student_epochs": MORE}
    values.update_from_flattened_dict({"data.dir": folders, "seed": seed, "log.progress": False, **epochs, **fields})
    return from_dict(values.to_dict())


class Study:
    """Trains and scores networks in a folder, each once.

    Args:
      out: the folder.
      judge: a key of `JUDGES`.
    """

    def __init__(self, out: Path, judge: str):
        self.out, self.judge = out, judge
        self.records = open_records(",".join(str(out / "records" / name) for name in JUDGES[judge]))
        self.ids = self.records.split(1, "test")
        self.labels = np.array([self.records.index[i].label for i in self.ids])
        entries = [self.records.index[i] for i in self.ids]
        self.groups = np.array([f"{entry.part} {entry.group}" for entry in entries])  # scenes have numbers by folder

    def teacher(self, seed: int, fields: Fields, epochs: int = EPOCHS) -> tuple[dict, Logits]:
        """(weights of a trained teacher, its logits)."""
        config = config_of(self.out, seed, {**fields, "train.teacher_epochs": epochs})
        place = self._place("teacher", seed, {**fields, "epochs": epochs})
        return self._trained(config, place, phases.teacher_phase(config, self._classes(config)))

    def student(self, seed: int, row: Row, teacher: dict) -> Logits:
        """The logits of a row's student."""
        config = config_of(self.out, seed, {**row.teacher, **row.student})
        place = self._place("student", seed, {**row.teacher, **row.student})
        return self._trained(config, place, phases.student_phase(config, self._classes(config), teacher))[1]

    def _classes(self, config: Config) -> int:
        return len(open_records(config.data.dir).classes)

    def _place(self, kind: str, seed: int, fields: Fields) -> Path:
        name = "_".join(f"{path.rsplit('.', 1)[-1]}={value}" for path, value in sorted(fields.items())) or "any"
        return self.out / "runs" / f"{kind}_{name}" / f"seed{seed}"

    def _trained(self, config: Config, place: Path, phase: phases.Phase) -> tuple[dict, Logits]:
        """Trains a phase, or goes on with it, and scores it; nothing of it is done twice."""
        place.mkdir(parents=True, exist_ok=True)
        if not (place / "config.json").exists():
            config_file.save(config, place / "config.json")
        config_file.check_same_run(config_file.load(place / "config.json"), config, place)
        records, mesh = open_records(config.data.dir), make_mesh(config)
        with contextlib.closing(MetricsWriter(place)) as writer, jax.set_mesh(mesh):
            ids = records.split(config.data.fold, "train")
            context = phases.RunContext(config, place, records, mesh, writer, StopSignal(), ids, [])
            with contextlib.redirect_stdout(sys.stderr):
                _, state = train_phase(context, phase)
            params, stats = answering(state)
            file = place / f"{self.judge}_{STOPS[0]:g}_{STOPS[1]:g}.npz"
            if not file.exists():
                uncached = dataclasses.replace(config, data=dataclasses.replace(config.data, cache="none"))
                score = scoring.ScoreClips(phase.outputs, uncached, self.records, mesh)
                logits = {"recorded": score(params, stats, self.ids)["logits"]}
                logits["darker"] = score(params, stats, self.ids, light=darker)["logits"]
                with replacing(file) as part, part.open("wb") as opened:
                    np.savez_compressed(opened, **logits)  # pyright: ignore[reportArgumentType]  # none is allow_pickle
        with np.load(file) as stored:
            return {"params": params, "batch_stats": stats}, dict(stored)


def compared(ours: np.ndarray, others: np.ndarray, groups: np.ndarray) -> dict:
    """The difference of two networks' hits [seeds, N] in points, with its interval."""
    differences = (ours.astype(float) - others).mean(axis=0)
    low, high = metrics.bootstrap(differences, groups.tolist())
    return {"points": 100 * differences.mean(), "interval": [100 * low, 100 * high]}


def answers(networks: list[Logits], light: str = "darker") -> np.ndarray:
    """The class that each network names for each clip, [seeds, N]."""
    return np.stack([logits[light].argmax(axis=1) for logits in networks])


def two_together(networks: list[Logits]) -> np.ndarray:
    """The same of each network and the next one, by the sum of their probabilities."""
    shares = [softmax(logits["darker"], axis=1) for logits in networks]
    return np.stack([(one + other).argmax(axis=1) for one, other in zip(shares, shares[1:] + shares[:1], strict=True)])


def judged(study: Study, seeds: list[int], row: Row, longer: list[Logits]) -> tuple[dict, np.ndarray]:
    """(what is reported of a row, the hits [seeds, N] of its students)."""
    teachers = [study.teacher(seed, row.teacher) for seed in seeds]
    students = [study.student(seed, row, weights) for seed, (weights, _) in zip(seeds, teachers, strict=True)]
    networks = {"student": students, "teacher": [logits for _, logits in teachers]}
    networks |= {} if row.teacher else {"longer teacher": longer}
    hits = {name: answers(found) == study.labels for name, found in networks.items()}
    better = max((shares for name, shares in hits.items() if name != "student"), key=np.mean)
    shares = {
        name: [100 * float((answers(found, light) == study.labels).mean()) for light in ("darker", "recorded")]
        for name, found in networks.items()
    }
    return {
        "about": row.about,
        **shares,
        "over the better teacher": compared(hits["student"], better, study.groups),
        "agreement": 100 * float((answers(students) == answers(networks["teacher"])).mean()),
    }, hits["student"]


def main() -> None:
    """The command line."""
    parser = command_line.parser(__doc__, "python -m benchmarks.headroom")
    parser.add_argument("--out", type=Path, default=Path("runs/headroom"), help="folder of clips, runs and results")
    parser.add_argument("--seeds", default="0,1,2", help="one run of each row for each, with commas")
    parser.add_argument("--rows", default=",".join(ROWS), help="which rows, with commas")
    parser.add_argument("--judge", choices=JUDGES, default="test", help="clips that are scored")
    args = parser.parse_args()
    compiling.keep_compiled_programs()
    build(args.out)
    study, seeds, names = Study(args.out, args.judge), [*map(int, args.seeds.split(","))], args.rows.split(",")
    found = {"judge": args.judge, "clips": len(study.ids), "stops": STOPS, "seeds": seeds, "rows": {}}
    longer = [study.teacher(seed, {}, EPOCHS + MORE)[1] for seed in seeds]
    base: np.ndarray | None = None
    for name in names:
        row, hits = judged(study, seeds, ROWS[name], longer)
        base = hits if base is None else base
        found["rows"][name] = {**row, "over the first row": compared(hits, base, study.groups)}
        (args.out / f"{args.judge}.json").write_text(json.dumps(found, indent=2) + "\n")
        print(json.dumps({name: found["rows"][name]}), flush=True)
    if len(seeds) > 1:
        one, two = answers(longer) == study.labels, two_together(longer) == study.labels
        found["two teachers"] = {"share": 100 * float(two.mean()), "over one": compared(two, one, study.groups)}
        (args.out / f"{args.judge}.json").write_text(json.dumps(found, indent=2) + "\n")
    _show(found)


def _show(found: dict) -> None:
    """Prints the table as Markdown."""
    print("| | student | teacher | teacher, longer | over the better teacher | over the first row | agree |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in found["rows"].values():
        shares = " | ".join(
            f"{row[name][0]:.1f}" if name in row else "–" for name in ("student", "teacher", "longer teacher")
        )
        gains = " | ".join(
            "{:+.1f} [{:+.1f}, {:+.1f}]".format(row[name]["points"], *row[name]["interval"])
            for name in ("over the better teacher", "over the first row")
        )
        print(f"| {row['about']} | {shares} | {gains} | {row['agreement']:.0f} |")
    if two := found.get("two teachers"):
        over = two["over one"]
        print(
            "\ntwo teachers: {:.1f}, {:+.1f} [{:+.1f}, {:+.1f}] over one".format(
                two["share"], over["points"], *over["interval"]
            )
        )


if __name__ == "__main__":
    main()
