"""`lift_flax.explain`: the files that it writes of videos, and mistakes."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lift_flax.errors import UserError
from lift_flax.explain import __main__ as explain
from lift_flax.explain import pictures


def test_files_of_a_run(run, records, tmp_path, capsys):
    """Two videos of one name and a bad one among them; then again, refused and overwritten, for another class."""
    videos = sorted((records.parent / "videos" / "test" / "right").glob("*.mp4"))[:1]
    twin, bad = tmp_path / videos[0].name, tmp_path / "bad.mp4"
    twin.write_bytes((records.parent / "videos" / "test" / "down" / videos[0].name).read_bytes())
    bad.write_bytes(b"no video")
    out = tmp_path / "out"
    with pytest.raises(UserError, match="1 of 3 videos could not be explained"):
        explain.main([f"--workdir={run}", f"--out={out}", str(videos[0]), str(bad), str(twin)])
    said = capsys.readouterr()
    assert f"error: {bad} cannot be used" in said.err and "Traceback" not in said.err
    stem = videos[0].stem
    assert sorted(path.name for path in out.iterdir()) == [stem, f"{stem}-2"]
    names = ["explain.gif", "explain.json", "explain.mp4", "sheet.png", "spectrum.png"]
    for folder in out.iterdir():
        assert sorted(path.name for path in folder.iterdir()) == names
    _check_pictures(out / stem, count=4)
    one, two = (json.loads((out / name / "explain.json").read_text()) for name in (stem, f"{stem}-2"))
    assert one["attention"] != two["attention"] and f"{out / stem}: {one['class']}" in said.out
    _check_description(one)

    other = next(name for name in ("down", "right", "still") if name != one["class"])
    again = [f"--workdir={run}", f"--out={out}", str(videos[0]), f"--label={other}"]
    with pytest.raises(UserError, match=r"explain.json exists: choose another name, or replace it with --overwrite"):
        explain.main(again)
    (out / stem / "notes.txt").write_text("mine")
    explain.main([*again, "--overwrite"])
    new = json.loads((out / stem / "explain.json").read_text())
    assert (new["class"], new["predicted"]) == (other, one["predicted"]) and new["relevance"] != one["relevance"]
    assert sorted(path.name for path in (out / stem).iterdir()) == [*names[:3], "notes.txt", *names[3:]]


def _check_pictures(folder: Path, count: int) -> None:
    with av.open(str(folder / "explain.mp4")) as container:
        film = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(film) == count and film[0].shape == (366, 800, 3)
    assert max(np.abs(film[t].astype(int) - film[t - 1]).max() for t in range(1, count)) > 50
    with Image.open(folder / "explain.gif") as image:
        assert (image.n_frames, image.size) == (count, (800, 366))
    with Image.open(folder / "sheet.png") as image:
        width = pictures.MARGIN + count * (pictures.SHEET_SIDE + pictures.GAP)
        assert image.size[0] == width + pictures.GAP and np.asarray(image).std() > 10
    with Image.open(folder / "spectrum.png") as image:
        assert image.size[0] == 1100 and np.asarray(image.convert("RGB")).std() > 10


def _check_description(found: dict) -> None:
    assert found["predicted"] == {"class": found["class"], "probability": found["probability"]}
    weights = found["frame_weights"]
    assert np.sum(weights["main"]) == pytest.approx(0.5, rel=1e-5)
    assert np.sum(weights["luminous"]) == pytest.approx(0.5, rel=1e-5)
    assert np.shape(found["attention"]["map"]) == (4, 2, 2) and np.shape(found["attention"]["peaks"]) == (4, 2)
    assert np.shape(found["activation"]["map"]) == (2, 4, 4) and found["activation"]["of"] == "layer2"
    for (y, x), frame in zip(found["attention"]["peaks"], found["attention"]["map"], strict=True):
        assert frame[int(2 * y)][int(2 * x)] == np.max(frame)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--label=jump", "a.mp4"], "--label=jump is unknown to the run: choose one of down, right, still"),
    (["none.mp4"], "1 of 1 videos could not be explained"),
    ([], "VIDEO"),
])  # fmt: skip
def test_mistakes(run, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        explain.main([f"--workdir={run}", f"--out={tmp_path / 'out'}", *arguments])
    assert not (tmp_path / "out").exists()
