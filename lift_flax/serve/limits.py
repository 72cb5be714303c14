"""What visitors of the live page may take of the machine."""

import dataclasses

from lift_flax.video.guarded.read_clips import Caps


@dataclasses.dataclass(frozen=True)
class Limits:
    """Caps of a server.

    Attributes:
      connections: open at once, of all kinds; more are hung up on.
      visitors: with frames of their own, at once.
      minutes: that one visitor may stay; the page then offers to go on.
      pixels: of a frame.
      frames_per_second: of a visitor; more are dropped.
      message_bytes: of one message of a socket.
      text_bytes: of one that holds settings.
      head_seconds: for a request's head to arrive, and for each further piece of its body.
      send_seconds: for a visitor to take a message; who takes none is hung up on.
      upload_seconds: for the whole of a file to arrive.
      upload_bytes, uploads: of one file; files that are read at once.
      video: what reading an uploaded file may take.
    """

    connections: int = 128
    visitors: int = 16
    minutes: float = 240.0
    pixels: int = 1280 * 960
    frames_per_second: float = 60.0
    message_bytes: int = 8 * 2**20
    text_bytes: int = 4096
    head_seconds: float = 10.0
    send_seconds: float = 30.0
    upload_seconds: float = 600.0
    upload_bytes: int = 200 * 2**20
    uploads: int = 2
    video: Caps = dataclasses.field(default_factory=Caps)
