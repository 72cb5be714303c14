"""Whether records fit a config: the data set, the folders, the sides of a fold, and optical flow."""

from lift_flax import data_sets
from lift_flax.config import Config
from lift_flax.data.records import Records
from lift_flax.data.windows import check_windows
from lift_flax.errors import UserError
from lift_flax.video import optical_flow


def folder_weights(config: Config, records: Records) -> dict[str, float]:
    """How often clips of each folder are to be drawn, by its name; empty where `data.weights` says nothing.

    Raises:
      UserError: `data.weights` are no numbers above 0, or not one for each folder.
    """
    if not config.data.weights:
        return {}
    try:
        weights = [float(text) for text in config.data.weights.split(",")]
    except ValueError:
        weights = []
    if len(weights) != len(records.parts) or not all(0 < weight <= 1e6 for weight in weights):
        raise UserError(
            f"config.data.weights='{config.data.weights}': write a number above 0 for each of the "
            f"{len(records.parts)} folders of config.data.dir, at most 1e6, with commas"
        )
    return {part.name: weight for part, weight in zip(records.parts, weights, strict=True)}


def check_fits(records: Records, config: Config) -> None:
    """Raises UserError if `config` is for another data set, or takes optical flow and the records have none."""
    if data_sets.different(config.dataset, records.source):
        raise UserError(
            f"{records.dir} holds {records.source}, the config is for {config.dataset}: use the config of "
            f"{records.source}, or name the run with --config.dataset={records.source}"
        )
    folder_weights(config, records)
    check_windows(records, config, "set config.data.sampling=segments")
    _check_sides(records, config.data.fold)
    check_flow(records, config, "set config.model.luminous.input=gamma (or motion), which takes frames alone")


def _check_sides(records: Records, fold: int) -> None:
    """Raises UserError if a clip of one folder is tested on, and trained on in another: its pictures are the same."""
    if not records.is_mixed or not records.classes:
        return
    sides = (records.split(fold, "train") + records.given_validation(fold), records.split(fold, "test"))
    learnt, tested = ({records.index[i].content: i for i in ids if records.index[i].content} for ids in sides)
    if both := [i for content, i in tested.items() if content in learnt]:
        other = learnt[records.index[both[0]].content]
        raise UserError(
            f"{len(both)} test clips are training clips of another folder ({both[0]} is {other}): leave one of the two "
            "folders out of config.data.dir, or build them with the same split"
        )


def groups_on_both_sides(records: Records, fold: int) -> list[str]:
    """A line where groups of the user's own clips are trained on in one folder and tested in another.

    They may be the same people or places in other light: then the test is of people that the network has seen.
    """
    own = {one.dir.name for one in records.folders if one.source == "folder"}

    def folders_of_groups(side: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for entry in (records.index[i] for i in records.split(fold, side)):
            if entry.group and entry.part in own:
                found.setdefault(entry.group, set()).add(entry.part)
        return found

    if len(own) < 2:
        return []
    learnt = folders_of_groups("train")
    crossing = [group for group, tested in folders_of_groups("test").items() if learnt.get(group, set()) - tested]
    if not crossing:
        return []
    return [
        f"note: groups tested in one folder and trained on in another: {len(crossing)}, such as {min(crossing)}.  If "
        "they are the same people or places, the test flatters: build both folders with the same folds"
    ]


def check_flow(records: Records, config: Config, otherwise: str) -> None:
    """Raises UserError if the network of `config` takes optical flow and the records have none.

    Args:
      otherwise: what to do instead of building them again.
    """
    if not config.model.luminous.takes_flow or records.has_flow:
        return
    if lacking := [one.dir for one in records.folders or (records,) if not one.has_flow]:
        raise UserError(f"{lacking[0]} holds no optical flow: build it again with --flow --overwrite, or {otherwise}")
    raise UserError(
        f"{records.place} hold optical flow of different methods or sizes: build them again with one --size and one "
        f"--flow, or {otherwise}"
    )


def check_relit(records: Records, config: Config) -> None:
    """Raises UserError if the network of `config` takes optical flow that cannot be computed anew in another light."""
    if not config.model.luminous.takes_flow:
        return
    if not records.all_frames:
        raise UserError(
            f"{records.place} lacks frames of its videos, and flow in another light is computed from one to the next: "
            "build the records again with --max-frames=all --overwrite, or leave the curve over brightness out"
        )
    optical_flow.flow_function(records.prepared["flow"])  # raises where OpenCV is not installed
