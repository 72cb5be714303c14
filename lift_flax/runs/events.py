"""TensorBoard's event files."""

import time
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2
from tensorboardX.summary import scalar


class EventsFile:
    """A new event file in `folder`, written at once, unlike by a SummaryWriter, whose thread dies on a full disk."""

    def __init__(self, folder: Path):
        self._writer = EventsWriter(str(folder / "events"))
        self.flush, self.close = self._writer.flush, self._writer.close

    def session_start(self, step: int) -> None:
        """TensorBoard forgets what earlier files of the folder hold from `step` on."""
        self._write(step, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def scalar(self, step: int, tag: str, value: float) -> None:
        """A point of the curve `tag`."""
        self._write(step, summary=scalar(tag, value))

    def _write(self, step: int, **what) -> None:
        self._writer.write_event(event_pb2.Event(wall_time=time.time(), step=step, **what))
