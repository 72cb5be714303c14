"""Embeddings as a file: names, features and labels, whole or not at all."""

import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.predict.answers import VideoAnswer
from lift_flax.predict.output import embeddings

CLASSES = ("down", "right", "still")


def _answer(video: str, label: int) -> VideoAnswer:
    shares = np.full(3, 0.2, np.float32)
    shares[label] = 0.6
    return VideoAnswer(video, CLASSES, shares, embedding=np.arange(4, dtype=np.float32) + label)


def test_the_file_holds_the_videos_that_were_answered(tmp_path):
    failed = VideoAnswer("bad.mp4", CLASSES, np.empty(0, np.float32), error="no such file")
    path = tmp_path / "found.npz"
    with embeddings.written(path) as add:
        for answer in (_answer("a.mp4", 1), failed, _answer("caf\udce9.mp4", 2)):
            add(answer)
        assert not path.exists()
    with np.load(path) as found:
        assert found["videos"].tolist() == ["a.mp4", "caf\udce9.mp4"] and found["labels"].tolist() == ["right", "still"]
        np.testing.assert_array_equal(found["embeddings"], [[1, 2, 3, 4], [2, 3, 4, 5]])
        assert found["embeddings"].dtype == np.float32
    with pytest.raises(UserError, match=r"no video was answered, so .*new.npz is not written"):
        with embeddings.written(tmp_path / "new.npz") as add:
            add(failed)
    assert [path.name for path in tmp_path.iterdir()] == ["found.npz"] and failed.embedding.shape == (0,)


def test_places_where_none_can_be_are_refused(tmp_path):
    (tmp_path / "old.npz").touch()
    for name, message in (
        ("found.npy", "choose a name that ends in .npz"),
        ("missing/found.npz", "the folder .*missing does not exist"),
        ("old.npz", "old.npz exists: choose another name, or replace it with --overwrite"),
    ):
        with pytest.raises(UserError, match=message):
            embeddings.check(tmp_path / name, overwrite=False)
    embeddings.check(tmp_path / "old.npz", overwrite=True)


def test_the_likeliest_classes():
    answer = _answer("a.mp4", 1)
    assert answer.top_k(2) == [("right", pytest.approx(0.6)), ("down", pytest.approx(0.2))]
    assert [name for name, _ in answer.top_k(9)] == ["right", "down", "still"]
    for k in (0, -3):
        with pytest.raises(UserError, match="give a whole number of classes, 1 or more"):
            answer.top_k(k)
