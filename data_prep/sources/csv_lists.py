"""Reads a list of videos as spreadsheets save it: `path,label[,split|fold][,group]`.

The text may be UTF-8 or UTF-16, its delimiter a comma, a semicolon or a tab, its paths written with backslashes.
"""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lift_flax.errors import UserError, shown

from . import layout, video_list

COLUMNS = ("path", "label", "split", "fold", "group")
HEAD = "path,label[,split|fold][,group]"
_DELIMITERS = (",", ";", "\t")
_MARKS = (  # the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class ListedVideo(NamedTuple):
    """A video with what its folders or its line of a list say of it.

    `label` is the name of its class; `split` and `fold` are None where they are not given, `group` is then empty.
    """

    path: Path
    label: str
    split: str | None = None
    fold: str | None = None
    group: str = ""


def read_csv(csv_file: Path, videos: Path, *, ignore_columns: bool = False) -> list[ListedVideo]:
    """Reads every line of a list.

    Args:
      csv_file: its first line names the columns, in any order, case and with blanks around them.
      videos: folder below which the paths are.
      ignore_columns: leaves out columns that have no meaning here, which are an error otherwise.

    Raises:
      UserError: the file is no such list (with the line and the remedy), or a video is missing.
    """
    if not csv_file.exists() or csv_file.is_dir():  # a pipe, as of <(...), is read like a file
        raise UserError(f"no file {csv_file}; give a CSV with the columns {HEAD}")
    if not videos.is_dir():
        raise UserError(f"no folder {videos}; give the folder below which the paths of {csv_file.name} are")
    lines = _cells(csv_file, _text(csv_file))
    first = next(lines, None)
    head = first[1] if first else []
    place = _columns(csv_file, head, ignore_columns)
    named = {k for k, cell in enumerate(head) if cell.strip()}
    rows, missing, names = [], [], video_list.FileNames()
    for number, cells in lines:
        line = f"{csv_file}, line {number}"
        if not ignore_columns:
            _refuse_unnamed(line, [k for k, cell in enumerate(cells) if cell.strip() and k not in named], named)
        row = {name: cells[k].strip() if k < len(cells) else "" for name, k in place.items()}
        needed = [name for name in place if name != "group"]
        if not all(row[name] for name in needed):
            raise UserError(f"{line}: {', '.join(needed)} must all be given")
        split = row.get("split")
        if split is not None and split.lower() != "other" and not layout.split_of(split):
            raise UserError(f"{line}: split {_short(split)} is not train, val, test or other")
        label = video_list.fit_name(row["label"], f"{line}: the label")
        group = video_list.fit_name(row.get("group", ""), f"{line}: the group")
        path = names.find(videos, row["path"])
        if path is None:
            missing.append(_short(row["path"]))
        found = videos / video_list.below(path, videos) if path else videos
        rows.append(ListedVideo(found, label, split, row.get("fold"), group))
    if not rows:
        raise UserError(f"{csv_file} has no rows; add one line per video")
    video_list.require_files(missing, len(rows), csv_file, videos)
    _refuse_alike_folds(csv_file, sorted({row.fold for row in rows if row.fold}))
    return _with_splits(rows, csv_file)


def _with_splits(rows: list[ListedVideo], csv_file: Path) -> list[ListedVideo]:
    """The rows with train, val, test or other as their split."""
    named = {row.split for row in rows if row.split is not None}
    if not named:
        return rows
    of_name = {name: "other" for name in named if name.lower() == "other"}
    spelled = {name.lower(): name for name in sorted(named - of_name.keys())}
    by_kind = layout.name_splits(spelled.keys(), f"the splits of {csv_file}:")
    return [row._replace(split=of_name.get(row.split or "") or by_kind[(row.split or "").lower()]) for row in rows]


def _text(csv_file: Path) -> str:
    """The content of a file.  Raises UserError with the line and the byte that is no text."""
    data = csv_file.read_bytes()
    if data.startswith(b"PK\x03\x04"):
        raise UserError(f'{csv_file} is a workbook, not a CSV: save it as "CSV UTF-8"')
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None and len(data) > 1 and 0 in data[:2]:  # UTF-16 without its mark
        encoding = "utf-16-le" if data[1] == 0 else "utf-16-be"
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding or "utf-8", "replace")
        letter = data[error.start : error.start + 1].decode("cp1252", "replace")
        guess = "" if encoding else f", perhaps {letter!r} of Windows' code page 1252"
        raise UserError(
            f"{csv_file}, line {_lines(before)}: byte 0x{data[error.start]:02x} is not {encoding or 'UTF-8'}{guess}; "
            'save it as "CSV UTF-8", or convert it: iconv -f cp1252 -t utf-8'
        ) from error
    if "\0" in text:
        raise UserError(f"{csv_file}, line {_lines(text[: text.index(chr(0))])}: a zero byte, not text; save it again")
    return text


def _lines(text: str) -> int:
    """Number of the line that begins or goes on after `text`."""
    return len(re.findall(r"\r\n|\r|\n", text)) + 1


def _cells(csv_file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """(Number of the line, cells) of each row that is not empty, the names of columns first."""
    skipped = 0
    if told := re.match(r'"?sep=(.)"?[,;\t]*(\r\n|\r|\n)', text, re.IGNORECASE):  # Excel's first line
        text, skipped = text[told.end() :], 1
    delimiter = told[1] if told else _delimiter(text)
    blanks = delimiter != " "  # before a cell, and before its quotation mark above all
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=blanks, strict=True)
    while True:
        number = reader.line_num + 1 + skipped
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UserError(f"{csv_file}, line {number}: {_reason(error)}") from error
        if cells is None:
            return
        if any(re.match(r'\s+"', cell) for cell in cells):  # it opens no field, and would stay in a name
            raise UserError(
                f"{csv_file}, line {number}: white space other than blanks before a quotation mark; remove it"
            )
        if any(cell.strip() for cell in cells):
            yield number, cells


def _reason(error: csv.Error) -> str:
    if "limit" in str(error):
        return f"a field of more than {csv.field_size_limit():,} characters, longer than any path; correct or remove it"
    if "unexpected end" in str(error):
        return "a quotation mark opens a field and never closes; remove it"
    return f"not a line of a CSV ({error}); correct it"


def _delimiter(text: str) -> str:
    """The delimiter that gives the first line the columns path and label, else the most frequent one in it."""
    first = next((line for line in re.split(r"[\r\n]", text) if line.strip()), "")
    fields = {delimiter: {_plain(cell) for cell in first.split(delimiter)} for delimiter in _DELIMITERS}
    return max(_DELIMITERS, key=lambda delimiter: ({"path", "label"} <= fields[delimiter], first.count(delimiter)))


def _plain(column: str) -> str:
    return unicodedata.normalize("NFKC", column).strip().strip('"').strip().lower()


def _columns(csv_file: Path, head: Sequence[str], ignore_columns: bool) -> dict[str, int]:
    """{name: its place}.  Raises UserError where one is missing, unknown or there twice."""
    names = [_plain(cell) for cell in head]
    for name in ("path", "label"):
        if name not in names:
            found = f" (there are {', '.join(map(_short, filter(None, names)))})" if any(names) else ""
            raise UserError(f"{csv_file} has no column {name}{found}; its first line must be {HEAD}")
    unknown = [cell.strip() for cell, name in zip(head, names, strict=True) if name and name not in COLUMNS]
    if unknown and not ignore_columns:
        raise UserError(
            f"{csv_file} has a column {_short(unknown[0])}, and {HEAD} have a meaning; rename it, or leave such "
            "columns out with --ignore-columns"
        )
    for name in COLUMNS:
        if names.count(name) > 1:
            raise UserError(f"{csv_file} has two columns {name}; remove one")
    if {"split", "fold"} <= set(names):
        raise UserError(f"{csv_file} has the columns split and fold, and each of them gives the splits; remove one")
    return {name: names.index(name) for name in COLUMNS if name in names}


def _refuse_unnamed(line: str, filled: list[int], named: set[int]) -> None:
    """Raises UserError if cells are filled that are in no column with a name."""
    if filled and filled[0] < min(named):
        raise UserError(
            f"{line}: its first column has no name, as the index of a table that pandas wrote; write it with "
            "index=False, or leave the column out with --ignore-columns"
        )
    if filled:
        raise UserError(f"{line}: more fields than columns; a field with a delimiter in it needs quotes")


def _refuse_alike_folds(csv_file: Path, names: list[str]) -> None:
    """Raises UserError if two names of folds are one number, or differ in case only."""
    first: dict[int | str, str] = {}
    for name in names:
        other = first.setdefault(int(name) if name.isdecimal() else name.casefold(), name)
        if other != name:
            raise UserError(
                f"the folds {_short(other)} and {_short(name)} in {csv_file} are one, spelled in two ways; spell it in "
                "one way"
            )


def _short(text: str) -> str:
    text = shown(text)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text):,} characters)"
