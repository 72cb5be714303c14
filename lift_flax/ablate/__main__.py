"""The paper's ablation table (Table VI) as one command: every row is trained, tested and put beside the paper's number.

    lift-flax ablate --config=arid:tiny --config.dataset=night_figures                    # on the rendered figures
    lift-flax ablate --config=arid --config.data.dir=RECORDS --workdir=DIR \
        --config.model.pvit.init_from=VIT --config.model.teacher.init_from=IG65M --r3d-weights=R3D --seeds=3

The same command continues where it was stopped.  Rows are runs of `lift-flax train` in DIR/rows/NAME/seedN; rows that
do not change the teacher share the one of the first row.  Where that starts from pretrained weights, the row with an
R3D needs some too (--r3d-weights).  Rows that freeze ViT blocks need pretrained ones: those of
--config.model.pvit.init_from, or they are pretrained first on --vit-records.  Figures that are missing are
rendered: in the dark, with optical flow, for the rows, and by day, in other scenes, for the ViT.
"""

import hashlib
import json
import re
from pathlib import Path

from absl import flags
from flax.traverse_util import flatten_dict, unflatten_dict

from lift_flax import config_flags, errors, fields
from lift_flax.ablate.processes import ended_by_sigterm
from lift_flax.ablate.rows import AblationRow, Fields, reference, rows
from lift_flax.ablate.runs import Ablation, pretrained_vit, render_figures, run_rows
from lift_flax.config import Config
from lift_flax.config_checks import from_dict
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.files import only_writer, write_text
from lift_flax.runs.config_file import deciding_fields
from lift_flax.weights.converted import load_facts
from lift_flax.weights.pretrained import Pretrained


def main(argv: list[str] | None = None) -> None:
    """The command line.

    Args:
      argv: flags without the program's name; None takes those of the process.

    Raises:
      UserError: the flags or the config are wrong, or a row failed (the others are run all the same).
    """
    arguments = config_flags.arguments_of(argv)
    values = _flags(arguments)
    if {"--help", "-h"} & set(arguments):
        print(config_flags.help_text(__doc__, values))
        return
    nested = config_flags.parse(values, arguments)
    given = _for_rows(arguments[1:])
    nested["model"]["pvit"]["unfreeze"] = "all"  # the rows decide what is frozen
    table = rows(from_dict(nested), values.r3d_weights)
    _check_r3d(table, nested, values.r3d_weights)
    chosen = _chosen(table, values.rows)
    for row in chosen:
        if row.needs != "r3d" or row.changes["model.teacher.name"]:
            from_dict(_changed(nested, {**reference("any weights"), **row.changes}))
    workdir = Path(values.workdir).absolute()
    with ended_by_sigterm(), only_writer(workdir, "--workdir"):
        nested["data"]["dir"] = str(_records(nested, workdir))
        config = from_dict(nested)
        vit = pretrained_vit(config, given, workdir, values.vit_records)
        if not vit:
            print("no pretrained ViT: all ViT blocks are trained, from random initialisation, in every row", flush=True)
        _claim(workdir, config, {"vit": vit, "teacher": config.model.teacher.init_from, "r3d": values.r3d_weights})
        run_rows(Ablation(config, given, workdir, vit), chosen, values.seeds)


def _flags(arguments: list[str]) -> flags.FlagValues:
    values = flags.FlagValues()
    config_flags.define_config(values, arguments)
    flags.DEFINE_string("workdir", "runs/ablation", "folder of all runs and of the table", flag_values=values)
    flags.DEFINE_integer("seeds", 2, "runs of each row, for their spread", lower_bound=1, flag_values=values)
    flags.DEFINE_string("vit_records", "", "records that a ViT is pretrained on first", flag_values=values)
    r3d = "folder of converted weights for the row with an R3D, where the R(2+1)D has some"
    flags.DEFINE_string("r3d_weights", "", r3d, flag_values=values)
    flags.DEFINE_list("rows", [], "only these rows, by name, and the first", flag_values=values)
    return values


def _for_rows(words: list[str]) -> list[str]:
    """The flags of the config, which are passed on to the runs of the rows."""
    given = [word for word in words if re.match(r"-{1,2}(no)?config", word)]
    ours = ("seed", *reference(""))  # and what else rows differ in, but that is theirs alone
    for word in given:
        name = re.fullmatch(r"--config(?:\.([\w.]+))?=.*", word, re.DOTALL)
        if not name:
            raise UserError(f"{word}: write flags of the config as --config=NAME and --config.FIELD=VALUE")
        if name[1] in ours and name[1] != "model.pvit.init_from":
            raise UserError(f"{word}: the rows set config.{name[1]} themselves")
    return given


def _changed(nested: dict, changes: Fields) -> dict:
    """A config's nested values with other fields, by dotted name."""
    flat = flatten_dict(nested, sep=".")
    return unflatten_dict({**flat, **changes}, sep=".")


def _check_r3d(table: list[AblationRow], nested: dict, folder: str) -> None:
    """Raises UserError where --r3d-weights are none for the row with an R3D, or that row is to start from nothing."""
    if not folder:
        return
    teacher, facts = nested["model"]["teacher"], load_facts(Path(folder))
    if not teacher["init_from"]:
        raise UserError(
            f"--r3d-weights={folder}: the R(2+1)D of the other rows starts from nothing; give it weights as well with "
            "--config.model.teacher.init_from, or leave --r3d-weights out"
        )
    expected = next(row.changes["model.teacher.name"] for row in table if row.needs == "r3d")
    if (held := facts.get("name", "a ViT")) != expected:
        raise UserError(f"--r3d-weights={folder} holds {held}: beside {teacher['name']} stands {expected or 'none'}")


def _claim(workdir: Path, config: Config, weights: dict[str, str]) -> None:
    """Makes the folder this table's, or checks that it is: rows of another config, clips or weights are no part of it.

    Args:
      weights: {part: folder of converted weights; "" for none}.
    """
    path = workdir / "table.json"
    clips = hashlib.sha256((Path(config.data.dir) / "folds.json").read_bytes()).hexdigest()
    digests = {name: Pretrained(Path(folder), name).sha256 if folder else "" for name, folder in weights.items()}
    facts = {**deciding_fields(config), "clips": clips, **digests}
    if path.exists():
        before = _stored_facts(path)
        facts["r3d"] = facts["r3d"] or before["r3d"]  # without such weights its row is left as it is
        before["r3d"] = before["r3d"] or facts["r3d"]  # its row was not run without them
        if differ := sorted(name for name in facts if facts[name] != before[name]):
            raise UserError(
                f"{workdir} holds a table of another kind ({', '.join(differ[:5])} differ): choose another --workdir"
            )
    write_text(path, json.dumps(facts, indent=2) + "\n")


def _stored_facts(path: Path) -> dict:
    """What table.json holds; fields that it lacks take what their absence meant.  Raises UserError where it is damaged.

    Those that a run may change are not in it.
    """
    try:
        stored = json.loads(path.read_text())
        other = {name: stored.pop(name) for name in ("clips", "vit")}
        runs = sorted(path.parent.glob("rows/large/seed*/run.json"))  # which know what an earlier version left out
        teacher = json.loads(runs[0].read_text())["weights"].get("teacher", "") if runs else ""
        other |= {"teacher": stored.pop("teacher", teacher), "r3d": stored.pop("r3d", "")}
        config = fields.read(Config, unflatten_dict(stored, sep="."), stored=True)
    except (AttributeError, KeyError, OSError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{path} is damaged or of another version ({error}): choose another --workdir") from error
    return {**deciding_fields(config), **other}


def _chosen(table: list[AblationRow], names: list[str]) -> list[AblationRow]:
    known = [row.name for row in table]
    if unknown := sorted(set(names) - set(known)):
        raise UserError(f"--rows={unknown[0]} is no row: the rows are {', '.join(known)}")
    return [row for row in table if not names or row.name in names or row is table[0]]


def _records(nested: dict, workdir: Path) -> Path:
    """The records of the rows; figures are rendered where none are given."""
    if nested["data"]["dir"] or nested["dataset"] != "night_figures":
        records = open_records(nested["data"]["dir"])
        if records.is_mixed:
            raise UserError(f"config.data.dir={records.place} mixes folders: an ablation takes one")
        return records.dir
    return render_figures(workdir / "records", "--flow")


if __name__ == "__main__":
    errors.run_cli(main)
