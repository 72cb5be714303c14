"""metrics.jsonl and TensorBoard's events: what a line holds, and what a resumed run takes back."""

import contextlib
import json
import math

import pytest

from lift_flax.runs.metrics_log import MetricsWriter, read_metrics


def _write(workdir, phase: str, steps: range) -> None:
    with contextlib.closing(MetricsWriter(workdir)) as writer:
        writer.begin(phase, steps.start - 1)
        for step in steps:
            writer.write(phase, "train", step, step / 3, {"loss": 1 / step}, {"examples_per_s": 8.0})
            if step % 3 == 0:
                writer.write(phase, "epoch", step, step / 3, {"loss": 0.5})


def test_lines_hold_phase_split_step_epoch_and_metrics(tmp_path):
    _write(tmp_path, "teacher", range(1, 4))
    lines = read_metrics(tmp_path)
    assert lines[0] == {"phase": "teacher", "split": "train", "step": 1, "epoch": 0.3333, "loss": 1.0}
    assert [(line["split"], line["step"]) for line in lines] == [("train", 1), ("train", 2), ("train", 3), ("epoch", 3)]
    first = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert first["clock"] == {"examples_per_s": 8.0}  # not among what two equal runs share


def test_a_resumed_phase_takes_back_what_it_will_write_again(tmp_path):
    _write(tmp_path, "teacher", range(1, 7))
    _write(tmp_path, "student", range(1, 6))
    whole = read_metrics(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"phase": "student", "spl')  # a line that was cut off
    _write(tmp_path, "student", range(4, 6))
    assert read_metrics(tmp_path) == whole


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_null(tmp_path, value):
    with contextlib.closing(MetricsWriter(tmp_path)) as writer:
        writer.begin("teacher", 0)
        writer.write("teacher", "train", 1, 0.1, {"loss": value, "top1": 0.5})
    (line,) = read_metrics(tmp_path)
    assert line["loss"] is None and line["top1"] == 0.5


def test_events_hold_every_scalar_and_where_a_session_starts(tmp_path):
    from tensorboardX.proto import event_pb2

    _write(tmp_path, "teacher", range(1, 4))
    (file,) = (tmp_path / "tensorboard" / "teacher").iterdir()
    data, events = file.read_bytes(), []
    while data:  # length, its checksum, the event, its checksum
        size = int.from_bytes(data[:8], "little")
        events.append(event_pb2.Event.FromString(data[12 : 12 + size]))
        data = data[16 + size :]
    starts = [event.step for event in events if event.session_log.status == event_pb2.SessionLog.START]
    assert starts == [1]
    points = {(value.tag, event.step) for event in events for value in event.summary.value}
    assert {("train/loss", 1), ("train/loss", 3), ("train/examples_per_s", 2), ("epoch/loss", 3)} <= points


def test_other_processes_write_nothing(tmp_path):
    with contextlib.closing(MetricsWriter(tmp_path, writes=False)) as writer:
        writer.begin("teacher", 0)
        writer.write("teacher", "train", 1, 0.1, {"loss": 1.0})
    assert list(tmp_path.iterdir()) == []
