"""Records with validation clips of their own: no share of the training clips is taken besides."""

import json
import shutil

import pytest

from lift_flax.errors import UserError
from lift_flax.train.run import train_and_test
from tests.support.small_config import small_config


def test_a_share_besides_is_refused(records, tmp_path):
    copy = tmp_path / "records"
    shutil.copytree(records, copy)
    folds = json.loads((copy / "folds.json").read_text())
    group_of = {clip["id"]: clip["group"] for clip in folds["clips"]}
    splits = folds["folds"]["1"]
    splits["val"] = [id for id in splits["train"] if group_of[id] == "g0"]
    splits["train"] = [id for id in splits["train"] if group_of[id] != "g0"]
    (copy / "folds.json").write_text(json.dumps(folds))
    with pytest.raises(UserError, match=r"has 6 validation clips of its own: leave out config.data.val_share=0.2"):
        train_and_test(small_config(records=copy, **{"data.val_share": 0.2}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
