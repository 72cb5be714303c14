"""What the code's import statements say about its rooms, and the picture of it:  docs/figures/rooms.png

A room is a folder of lift_flax/, or one of its files that lie in no folder; data_prep and configs count as one each.
Nothing is imported: the files are parsed.
"""

import ast
import configparser
import dataclasses
import re
from pathlib import Path

from board import FAINT, FROZEN, TEXT, TRAINED, Board
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("lift_flax", "data_prep", "configs")


@dataclasses.dataclass
class Room:
    """Files and lines of a room, the rooms it imports, and whether JAX is imported in it."""

    files: int = 0
    lines: int = 0
    uses: set[str] = dataclasses.field(default_factory=set)
    jax: bool = False


def room_of(module: str) -> str | None:
    """The room of a dotted name, also of a name within a module; None where it is not of this project."""
    package, *parts = module.split(".")
    if package not in PACKAGES:
        return None
    if package != "lift_flax":
        return package
    if not parts or parts[0] == "__init__":
        return "lift_flax"
    inside = ROOT / package / parts[0]
    return parts[0] if inside.is_dir() or inside.with_suffix(".py").is_file() else "lift_flax"


def imports_of(path: Path) -> set[str]:
    """Dotted names that a file imports, `from a import b` as a.b, also within functions."""
    names, package = set(), path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{start}.{alias.name}" for alias in node.names}
    return names


def read_rooms() -> dict[str, Room]:
    """Every room by name."""
    rooms: dict[str, Room] = {}
    for path in sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        name = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        room = rooms.setdefault(name, Room())
        room.files += path.name != "__init__.py"
        room.lines += len(path.read_text().splitlines())
        for module in imports_of(path):
            room.jax |= module.split(".")[0] in ("jax", "flax", "optax")
            room.uses |= {room_of(module)} - {None, name}
    rooms.pop("lift_flax")  # the package's own __init__.py: what it offers, not a room
    for room in rooms.values():
        room.uses.discard("lift_flax")
    return rooms


def floors(rooms: dict[str, Room]) -> list[list[str]]:
    """Rooms from the lowest floor to the highest: the layers of the contract that `make lint` holds the imports to.

    What lies outside of lift_flax stands one floor above the highest room that it imports.

    Raises:
      ValueError: a room of lift_flax is on no floor of the contract.
    """
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    layers = contracts["importlinter:contract:order"]["layers"].split("\n")
    named = [[name for name in re.findall(r"\w+", layer) if name in rooms] for layer in layers]
    found = [row for row in reversed(named) if row]
    floor_of = {name: floor for floor, row in enumerate(found) for name in row}
    if unplaced := set(rooms) - set(floor_of) - set(PACKAGES):
        raise ValueError(f".importlinter has no floor for {', '.join(sorted(unplaced))}")
    for name in [name for name in PACKAGES if name in rooms]:
        found[1 + max((floor_of[used] for used in rooms[name].uses if used in floor_of), default=-1)].append(name)
    return _with_few_crossings(found, rooms)


def _with_few_crossings(rows: list[list[str]], rooms: dict[str, Room]) -> list[list[str]]:
    """The same floors, each in the order of the mean place of what its rooms import, and of what imports them."""
    users = {name: {other for other, room in rooms.items() if name in room.uses} for name in rooms}
    place = {name: (i + 0.5) / len(row) for row in rows for i, name in enumerate(row)}
    for sweep in range(8):
        neighbours = users if sweep % 2 else {name: room.uses for name, room in rooms.items()}
        for row in reversed(rows) if sweep % 2 else rows:
            near = {name: [place[other] for other in neighbours[name]] or [place[name]] for name in row}
            row.sort(key=lambda name: (sum(near[name]) / len(near[name]), name))
            place.update({name: (i + 0.5) / len(row) for i, name in enumerate(row)})
    return rows


def direct_uses(rooms: dict[str, Room]) -> dict[str, set[str]]:
    """Imports of rooms that are folders, but for those implied by others: what is also reached through another room."""

    def folders(name: str) -> set[str]:
        return {used for used in rooms[name].uses if rooms[used].files > 1}

    def below(name: str) -> set[str]:
        return folders(name).union(*(below(used) for used in folders(name)))

    return {name: folders(name).difference(*(below(used) for used in folders(name))) for name in rooms}


def draw_rooms() -> Figure:
    """The rooms in floors, arrows from each room to those it imports."""
    rooms = read_rooms()
    rows = floors(rooms)
    single = next(i for i, row in enumerate(rows) if any(rooms[name].files > 1 for name in row))
    rows = [sorted(name for row in rows[:single] for name in row), *rows[single:]]  # floors of single files as one
    width, box_height, step = 124, 5.6, 10.2
    board = Board(width, len(rows) * step + 9)
    board.text(2, board.size[1] - 3.2, "Rooms of lift_flax, and what they import", 18, ha="left", weight="bold")
    arrows = "Arrows lead to what a room imports. Left out: those that follow from other arrows, or lead to a file."
    board.text(2, board.size[1] - 6.6, arrows, 11, FAINT, ha="left")
    for i, (word, colours) in enumerate((("imports JAX", TRAINED), ("without JAX", FROZEN))):
        board.box(79 + 23 * i, board.size[1] - 4.3, 82 + 23 * i, board.size[1] - 2.1, colours)
        board.text(83 + 23 * i, board.size[1] - 3.2, word, 11.5, colours[0], ha="left")
    places, sizes = {}, {}  # a box's width, and its name's size
    for floor, row in enumerate(rows):
        gap = width / len(row)
        for i, name in enumerate(row):
            places[name] = (gap * (i + 0.5) + (2.5 if floor % 2 else -2.5) * (len(row) < 6), 4.5 + floor * step)
            sizes[name] = (17.5, 13) if gap > 19 else (gap - 0.9, 10 if gap > 13 else 8.5)
    for name, (x, y) in places.items():
        room = rooms[name]
        colours = TRAINED if room.jax else FROZEN
        facts = f"{room.files} files, {room.lines:,} lines" if room.files > 1 else f"{room.lines:,} lines"
        box_width, size = sizes[name]
        left, right = x - box_width / 2, x + box_width / 2
        board.box(left, y - box_height / 2, right, y + box_height / 2, colours, z=3)
        board.text(x, y + 0.9, name, size, TEXT, weight="bold", zorder=4)
        board.text(x, y - 1.4, facts, 9.5, FAINT, zorder=4)
    for name, used in direct_uses(rooms).items():
        for other in used:
            _arrow(board, places[name], places[other], box_height, TRAINED[0] if rooms[other].jax else FROZEN[0])
    return board.figure


def _arrow(board: Board, start, end, box_height: float, colour: str) -> None:
    shift, level = (end[0] - start[0]) / 12, start[1] == end[1]
    top = -box_height / 2 if level else box_height / 2  # along a floor: from below to below
    ends = (start[0] + shift, start[1] - box_height / 2), (end[0] - shift, end[1] + top)
    bend = 0 if 0 < start[1] - end[1] < 12 else 0.12
    style = {"arrowstyle": "-|>", "mutation_scale": 11, "shrinkA": 0, "shrinkB": 0, "lw": 1.3, "alpha": 0.8}
    curve = f"arc3,rad={bend if (end[0] < start[0]) != level else -bend}"
    board.axes.add_patch(FancyArrowPatch(*ends, color=colour, connectionstyle=curve, zorder=2, **style))
