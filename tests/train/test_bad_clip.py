"""A run that meets a clip that does not decode ends with one line that names it, and its last step is saved."""

import subprocess
import sys
from pathlib import Path

import pytest

from lift_flax.data.batches import batch_ids
from lift_flax.data.records import open_records
from lift_flax.errors import UserError
from lift_flax.runs.checkpoints import Checkpoints
from tests import ROOT
from tests.support.build_tools import with_bad_clip
from tests.support.containers.formats import Format, write
from tests.support.small_config import small_config
from tests.train.test_loop import train_both


@pytest.fixture(scope="module")
def bad(records: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Records whose clip of step 3 alone is in colours that nothing converts, and its id."""
    opened, config = open_records(str(records)), small_config(records=records)
    ids, seed = opened.split(1, "train"), config.seed + 1  # that of the teacher
    first = {i: step for step in range(12, 0, -1) for i in batch_ids(opened, config, ids, seed=seed, step=step)}
    clip = next(i for i, step in first.items() if step == 3)
    folder = tmp_path_factory.mktemp("bad")
    video = write(folder / "bad.mp4", Format(), header={"colorspace": 14}, count=24).read_bytes()
    return with_bad_clip(records, folder / "records", clip, video), clip


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_bad_clip_is_named_and_the_step_before_it_is_kept(bad, tmp_path, workers):
    folder, clip = bad
    config = small_config(records=folder, **{"data.cache": "none", "data.workers": workers})
    reason = f"record {clip} of .* does not decode .cannot be processed: colour matrix ICtCp.: build the records again"
    with pytest.raises(
        UserError, match=rf"^{reason}.*; step 2 is saved, and the same command goes on from it$"
    ) as error:
        train_both(config, tmp_path, teacher_alone=True)
    assert "\n" not in str(error.value)
    assert Checkpoints(tmp_path / "teacher").newest_step() == 2


@pytest.mark.slow
def test_a_whole_run_that_meets_a_bad_clip(bad, records, tmp_path):
    """As a process: exit code 2 and one line; on mended records the same command ends well."""
    folder, clip = bad
    command = [sys.executable, "-m", "lift_flax.main", "--config=tests/support/small_config.py"]
    command += [f"--config.data.dir={folder}", f"--workdir={tmp_path / 'run'}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(f"error: record {clip} of ")
    assert "Traceback" not in ended.stderr and (tmp_path / "run" / "teacher" / "2").is_dir()
    folder.rename(folder.with_name("broken"))
    folder.symlink_to(records)
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0 and "resuming after step 2" in ended.stdout, ended.stderr
