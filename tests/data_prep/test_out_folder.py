"""What lies in the folder of a build and is not its own."""

import re
from pathlib import Path

import pytest

from data_prep import build
from lift_flax.errors import UserError
from tests.support.build_tools import read_records
from tests.support.video_files import write_numbered


@pytest.mark.usefixtures("in_process")
def test_a_report_of_another_program_is_refused_and_with_overwrite_replaced(tmp_path: Path) -> None:
    for number in range(4):
        write_numbered(tmp_path / "videos" / "ab"[number % 2] / f"{number}.mp4", 5)
    flags = ["folder", "--videos", str(tmp_path / "videos"), "--out", str(tmp_path / "out")]
    (tmp_path / "out").mkdir()
    for text in ("{", "[]", '{"hello": 1}'):
        (tmp_path / "out" / "prep_report.json").write_text(text)
        with pytest.raises(UserError, match="prep_report.json is missing or damaged .*: move it, choose another --out"):
            build.main(flags)
    build.main([*flags, "--overwrite"])
    assert len(read_records(tmp_path / "out")) == 4


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["folds.json"], "folds.json"),
        ([".staging/mine.txt", ".staging/lock"], ".staging/mine.txt"),
        ([".staging/clips/mine.txt", ".staging/lock"], ".staging/clips/mine.txt"),
        ([".staging/records/mine.txt"], ".staging"),
    ],
)
def test_what_others_have_in_the_folder_is_refused_and_kept(tmp_path: Path, names: list[str], told: str) -> None:
    """With --overwrite folds.json is replaced; other files in the staging folder stay, except among its records."""
    for number in range(4):
        write_numbered(tmp_path / "videos" / "ab"[number % 2] / f"{number}.mp4", 5)
    out = tmp_path / "out"
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("precious")
    flags = ["folder", "--videos", str(tmp_path / "videos"), "--out", str(out)]
    with pytest.raises(UserError, match=f"{re.escape(str(out / told))} is in the way; move it, choose another --out"):
        build.main(flags)
    assert {name: (out / name).read_text() for name in names} == dict.fromkeys(names, "precious")
    assert not (out / "folder").exists()
    build.main([*flags, "--overwrite"])
    assert len(read_records(out)) == 4
    kept = [str(path.relative_to(out)) for path in (out / ".staging").rglob("*") if path.is_file()]
    assert kept == [name for name in names if name.endswith("mine.txt") and "records" not in name]
