"""What programs hand to a run: an answer, or one clear error in its place; from threads and in other processes."""

import concurrent.futures
import contextlib
import io
import logging
import math
import multiprocessing
import pickle
import tempfile
from pathlib import Path

import av
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import lift_flax
from lift_flax.errors import UserError
from lift_flax.predict.frames import open_frames
from lift_flax.predict.given import is_one_video
from lift_flax.predict.predictor import Predictor
from lift_flax.video import sampling
from lift_flax.video.clips import Preparation, read_clips
from lift_flax.video.decode import decode_frames
from tests.support.video_files import numbered_frames, read_numbers

WANTED = r"frames are uint8 RGB \[T, H, W, 3\]"


@pytest.fixture(scope="module")
def loaded(run) -> lift_flax.LoadedRun:
    return lift_flax.load(run, batch_size=4)


@pytest.fixture(scope="module")
def clips(records) -> list[Path]:
    return sorted((records.parent / "videos" / "test").rglob("*.mp4"))[:3]


@pytest.fixture(scope="module")
def frames(clips) -> np.ndarray:
    return decode_frames(clips[0])


def test_a_video_file_in_any_form(loaded, clips):
    expected, content = loaded(clips[0]), clips[0].read_bytes()
    with contextlib.ExitStack() as stack:
        disk, spooled = stack.enter_context(clips[0].open("rb")), stack.enter_context(tempfile.SpooledTemporaryFile())
        spooled.write(content)
        spooled.seek(0)
        forms = {
            "bytes": [content, bytearray(content), memoryview(content)],
            "file": [io.BytesIO(content), spooled],
            str(clips[0]): [str(clips[0]), np.str_(clips[0]), disk],
        }
        for name, videos in forms.items():
            for answer in loaded.each(videos):
                assert (answer.video, answer.error) == (name, "")
                np.testing.assert_allclose(answer.probabilities, expected.probabilities, atol=1e-5)
        assert not disk.closed and disk.read() == b""


def test_frames_in_any_form(loaded, frames):
    expected = loaded(frames).probabilities
    pictures = [Image.fromarray(frame) for frame in frames]
    forms = [
        list(frames),
        tuple(frames),
        jnp.asarray(frames),
        list(jnp.asarray(frames)),
        pictures,
        frames.copy(order="F"),
    ]
    for answer in loaded.each(forms):
        assert (answer.video, answer.error) == ("frames", "")
        np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5)  # alone, or computed with others


def test_frames_in_memory_are_sampled_as_those_of_a_file():
    numbered = numbered_frames(range(30), width=96, height=96)
    for given in (numbered, list(numbered)):
        (clip,) = read_clips(open_frames(given), Preparation("h264", 256, 64, "none", 6, 48), lift_flax.Windows())
        assert read_numbers(clip.parts["clip"]) == sampling.eval_indices(30, 6).tolist()


def test_frames_in_memory_have_the_rate_that_is_given(loaded, frames):
    windows = lift_flax.Windows(longest=1.0, length=1.0, hop=1.0)
    seconds = len(frames) / 8
    timeline = list(Predictor(loaded.trained, windows=windows, fps=8.0).read(list(frames)))
    assert len(timeline) == math.ceil(seconds) > 1 and timeline[-1].end == pytest.approx(seconds)
    assert len(list(Predictor(loaded.trained, windows=windows).read(frames))) == 1
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UserError, match="fps=.*: give a number of frames per second, above 0"):
            Predictor(loaded.trained, fps=wrong)


class _Unreadable:
    """Of another library: an array on a GPU, an upload that is read with await."""

    def __init__(self, reason: str):
        self.reason = reason

    def read(self, size: int) -> str:
        return self.reason[:size]


class _Tensor:
    """An array without the methods of NumPy's."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class _OnAnotherDevice:
    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy.\nUse Tensor.cpu().")


WRONG = {
    "float": (lambda f: f / 255.0, rf"float64 .*{WANTED}; give \(255 \* frames\).astype"),
    "int64": (lambda f: f.astype(np.int64), rf"int64 .*{WANTED}; give frames.astype"),
    "grey": (lambda f: f[..., 0], rf"{WANTED}; give frames\[..., None\].repeat"),
    "one channel": (lambda f: f[..., :1], rf"{WANTED}; give frames.repeat\(3, axis=-1\)"),
    "RGBA": (lambda f: np.concatenate([f, f[..., :1]], -1), rf"{WANTED}; give frames\[..., :3\]"),
    "channels first": (lambda f: f.transpose(0, 3, 1, 2), rf"{WANTED}; give frames.transpose\(0, 2, 3, 1\)"),
    "channels before time": (lambda f: f.transpose(3, 0, 1, 2), rf"{WANTED}; give frames.transpose\(1, 2, 3, 0\)"),
    "batch of one": (lambda f: f[None], rf"{WANTED}; give frames\[0\]"),
    "batch": (lambda f: np.stack([f, f]), rf"{WANTED}; give each\(frames\)"),
    "one frame": (lambda f: f[0], rf"{WANTED}; give two frames or more"),
    "a list of one": (lambda f: [f[0]], "only one frame"),
    "a list of grey ones": (lambda f: list(f[..., 0]), rf"{WANTED}; give np.stack\(frames\)\[..., None\].repeat"),
    "a memory of another library": (lambda f: _Tensor(f[..., :1]), r"give np.asarray\(frames\).repeat\(3, axis=-1\)"),
    "no frames": (lambda f: f[:0], "no frames"),
    "an empty list": (lambda f: [], "no frames"),
    "no pixels": (lambda f: f[:, :0], WANTED),
    "two sizes": (lambda f: [*f[:3], f[3, 2:]], "frame 3 has 64x46 px and frame 0 has 64x48: give frames of one size"),
    "two kinds": (lambda f: [f[0], f[1] / 255], "float64"),
    "objects": (lambda f: np.array([None, f], object), WANTED),
    "words": (lambda f: ["a.mp4", "b.mp4"], r"a list of files: each\(\) takes several videos"),
    "paths": (lambda f: [Path("a.mp4")], r"a list of files: each\(\) takes several videos"),
    "arrays": (lambda f: [f, f], r"a list of videos: each\(\) takes several videos"),
    "another device": (lambda f: _OnAnotherDevice(), r"cannot be taken as a NumPy array \(can't convert cuda:0"),
    "decoded frames": (lambda f: [av.VideoFrame.from_ndarray(f[0])] * 2, WANTED),
    "nothing": (lambda f: None, "^None cannot be used: NoneType: give a path, frames"),
    "NaN": (lambda f: math.nan, "^nan cannot be used: float: give a path"),
    "NaN of NumPy": (lambda f: np.float64("nan"), "^nan cannot be used: float64: give a path"),
    "a camera": (lambda f: 0, r"^0 cannot be used: int: give a path.*; a camera's frames go to stream\(\)"),
    "a generator": (lambda f: (frame for frame in f), "generator: give a path"),
    "a set": (lambda f: {"a.mp4"}, "set: give a path"),
    "an empty path": (lambda f: "", "an empty path"),
    "a zero in a path": (lambda f: "a\0.mp4", "cannot be processed .*null"),
    "no bytes": (lambda f: b"", "empty"),
    "other bytes": (lambda f: b"clip.mp4", "not a video"),
    "a file that was read": (lambda f: io.BytesIO(), r"no bytes from its position on: seek\(0\) first"),
    "text": (lambda f: io.StringIO("x"), r"its read\(\) gives str: open it in mode 'rb'"),
    "a closed file": (lambda f: _closed(), "it cannot be read .ValueError: I/O operation on closed file"),
    "a missing file": (lambda f: "missing.mp4", "no such file or directory"),
    "an empty folder": (lambda f: Path(tempfile.mkdtemp()), "a folder that holds neither videos nor pictures"),
    "a device": (lambda f: "/dev/zero", "a device, and only files are read: record it first"),
    "an address": (lambda f: "rtsp://host/a", "^rtsp://host/a cannot be used: an address, and only files are read"),
}  # fmt: skip


def _closed() -> io.BytesIO:
    file = io.BytesIO(b"x")
    file.close()
    return file


def test_what_is_no_video_is_said_in_one_line(loaded, frames):
    for name, (make, message) in WRONG.items():
        with pytest.raises(UserError, match=message) as raised:
            loaded(make(frames))
        assert "\n" not in str(raised.value), name


def test_every_video_has_its_answer_in_its_place(loaded, clips, frames):
    """A table with holes: bad ones of every kind, each between good ones."""
    expected = loaded(clips[0]).probabilities
    bad = [make(frames) for make, _ in WRONG.values()]
    answers = list(loaded.each(video for wrong in bad for video in (clips[0], wrong)))
    assert len(answers) == 2 * len(bad)
    assert all(answer.error and "\n" not in answer.error for answer in answers[1::2])
    for answer in answers[::2]:
        assert not answer.error
        np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5)


@pytest.mark.slow
def test_explain_takes_what_answers_take(loaded, clips):
    of_file = loaded.explain(clips[0])
    of_bytes = loaded.explain(clips[0].read_bytes())
    np.testing.assert_array_equal(of_bytes.attention, of_file.attention)
    with pytest.raises(UserError, match="nan cannot be used: float: give a path"):
        loaded.explain(math.nan)
    with pytest.raises(UserError, match="None cannot be used"):
        list(loaded.read(None))


def test_one_video_is_not_several(loaded, clips, frames):
    """Said at once, not with the first answer."""
    with clips[0].open("rb") as file:
        for one in (str(clips[0]), clips[0].read_bytes(), frames, frames[0], file):
            with pytest.raises(UserError, match=r"each\(\) takes several videos: give a list of them"):
                loaded.each(one)
    assert all(is_one_video(one) for one in (clips[0], None, 3, math.nan)) and not is_one_video({clips[0]})
    assert [a.error for a in loaded.each(np.array([str(clips[0]), str(clips[1])]))] == ["", ""]
    assert [a.error for a in loaded.each(np.stack([frames, frames]))] == ["", ""]


def test_pickles_before_and_after_the_first_answer(run, clips):
    loaded = lift_flax.load(run, batch_size=4, windows=lift_flax.Windows(longest=9.0), fps=10.0)
    new, expected = pickle.dumps(loaded), loaded(clips[0])
    used = pickle.dumps(loaded)
    assert len(used) == len(new)
    copy = pickle.loads(used)
    np.testing.assert_array_equal(copy(clips[0]).probabilities, expected.probabilities)
    assert (copy.predictor.windows, copy.predictor.fps, copy.predictor.batch_size) == (loaded.predictor.windows, 10, 4)
    assert copy.classes == loaded.classes


@pytest.mark.slow
def test_pickles_after_every_call_that_compiles(run, clips):
    loaded = lift_flax.load(run)
    label = loaded.explain(clips[0]).label
    loaded.stream()
    copy = pickle.loads(pickle.dumps(loaded))
    assert copy.explain(clips[0]).label == label and copy.stream().push(decode_frames(clips[0])[0]) is None


@pytest.mark.slow
def test_a_spawned_process_gives_the_same_answers(loaded, clips):
    """What goes to it: a predictor that has not answered, and a run that has."""
    new, expected = Predictor(loaded.trained, network="teacher"), loaded(clips[0])
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        of_teacher, of_student = (pool.submit(call, clips[0]).result() for call in (new, loaded))
    np.testing.assert_array_equal(of_student.probabilities, expected.probabilities)
    np.testing.assert_array_equal(of_teacher.probabilities, new(clips[0]).probabilities)


def test_several_threads_may_ask_at_once(run, clips, frames):
    """Before anything is compiled; each program is compiled once."""
    loaded, videos = lift_flax.load(run), [*clips, frames] * 3
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(loaded, videos))
        streams = list(pool.map(lambda _: loaded.stream(), range(4)))
    expected = [loaded(video).probabilities for video in videos[:4]]
    for number, answer in enumerate(answers):
        np.testing.assert_allclose(answer.probabilities, expected[number % 4], atol=1e-6)
    assert set(loaded.predictor._programs) == {1}
    assert len({id(stream._programs) for stream in streams}) == 1


@pytest.mark.slow
def test_calls_in_threads_leave_logging_as_it_was(run, clips):
    """The last of them to end restores what the first has found."""
    absl, root = logging.getLogger("absl"), logging.getLogger()
    before = absl.level, list(root.handlers)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: lift_flax.load(run), range(4)))
        labels = list(pool.map(lambda each: each.explain(clips[0]).label, loaded[:2] * 2))
    assert len(set(labels)) == 1 and (absl.level, list(root.handlers)) == before
