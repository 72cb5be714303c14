"""What travels over a socket of the live page: a head in JSON and bytes behind it, in one binary message.

    4 bytes: the length of the head, little-endian | the head, UTF-8 | bytes

A frame comes as {"time": s, "width", "height", "format"} and its bytes: `rgba`, four a pixel, without loss; `webp` or
`jpeg`.  Settings come as text, a JSON object.
"""

import dataclasses
import io
import json
import math
import struct
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image

from lift_flax.errors import UserError
from lift_flax.serve.limits import Limits

_SCAN = b"\xff\xda"  # begins one pass over a JPEG; a progressive one has some ten
_MOST_SCANS = 32
FORMATS = ("rgba", "webp", "jpeg")
DARKEST, BRIGHTEST = -10.0, 2.0  # stops
_LENGTH = struct.Struct("<I")
_MOST_HEAD = 4096  # bytes
_MOST_MEAN = 30  # answers


def packed(head: Mapping[str, Any], *payload: bytes) -> bytes:
    """One binary message."""
    text = json.dumps(head, separators=(",", ":")).encode()
    return b"".join((_LENGTH.pack(len(text)), text, *payload))


def unpacked(message: bytes) -> tuple[dict[str, Any], memoryview]:
    """(head, bytes) of a binary message.

    Raises:
      UserError: it has no head, or a damaged one.
    """
    size = _LENGTH.unpack_from(message)[0] if len(message) >= _LENGTH.size else 0
    if not 0 < size <= min(_MOST_HEAD, len(message) - _LENGTH.size):
        raise UserError("a message without a head: send its length, the head as JSON, then the bytes")
    return _object(message[_LENGTH.size : _LENGTH.size + size]), memoryview(message)[_LENGTH.size + size :]


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # of text that is no UTF-8, too
        raise UserError("a message that is no JSON object") from None
    if not isinstance(found, dict):
        raise UserError("a message that is no JSON object")
    return found


@dataclasses.dataclass(frozen=True)
class SentFrame:
    """A frame as it was sent; its bytes are not decoded yet.

    Attributes:
      time: seconds, from any moment on.
      width, height: pixels.
      format: of `FORMATS`.
      data: the bytes.
    """

    time: float
    width: int
    height: int
    format: str
    data: memoryview

    def rgb(self) -> UInt8[np.ndarray, "H W 3"]:
        """Decodes the picture.  Raises UserError where it is damaged, or of another size than was said."""
        if self.format == "rgba":
            return np.frombuffer(self.data, np.uint8).reshape(self.height, self.width, 4)[..., :3]
        size, decode = (_jpeg if self.format == "jpeg" else _webp)(self.data)
        if size != (self.width, self.height):
            raise UserError(f"a picture of {size[0]}x{size[1]} px that was said to have {self.width}x{self.height}")
        try:
            return decode()
        except (ValueError, OSError) as error:
            raise UserError(f"a damaged {self.format} picture") from error


def _jpeg(data: memoryview) -> tuple[tuple[int, int], Any]:
    """((width, height), how to decode it); nothing but the header is read yet."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise UserError("bytes that are no jpeg picture") from error
    if bytes(data).count(_SCAN) > _MOST_SCANS:
        raise UserError(f"a jpeg picture in more than {_MOST_SCANS} scans, each of which costs as much as a picture")
    return (int(width), int(height)), lambda: simplejpeg.decode_jpeg(data, colorspace="RGB")


def _webp(data: memoryview) -> tuple[tuple[int, int], Any]:
    try:
        image = Image.open(io.BytesIO(data), formats=("WEBP",))
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError("bytes that are no webp picture") from error
    return image.size, lambda: np.asarray(image.convert("RGB"))


def sent_frame(message: bytes, limits: Limits) -> SentFrame:
    """The frame of a binary message.

    Raises:
      UserError: it is not one, or has too many pixels.
    """
    head, data = unpacked(message)
    time, form = head.get("time"), head.get("format")
    if not _is_number(time):
        raise UserError("a frame without a time: give its seconds")
    width, height = _side(head.get("width")), _side(head.get("height"))
    if width * height > limits.pixels:
        raise UserError(f"a frame of {width}x{height} px: at most {limits.pixels:,} pixels are taken")
    if form not in FORMATS:
        raise UserError(f"a frame of an unknown format: send {', '.join(FORMATS)}")
    if form == "rgba" and len(data) != (due := 4 * width * height):
        raise UserError(f"a frame of {len(data):,} bytes: {width}x{height} px as rgba have {due:,}")
    return SentFrame(float(time), width, height, form, data)


def _side(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 2:
        raise UserError("a frame without a size: give width and height, 2 pixels or more")
    return value


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a visitor has chosen.

    Attributes:
      network: that answers.
      stops: by which the camera model changes the exposure of the frames; 0 leaves them as they are.
      smooth: how many answers are averaged.
      hysteresis: by how much another class must be likelier than the one that was named before, to be named.
    """

    network: str = "student"
    stops: float = 0.0
    smooth: int = 1
    hysteresis: float = 0.0


def settings(wanted: Mapping[str, Any], networks: tuple[str, ...]) -> Settings:
    """The settings in a message; those that are missing are the usual ones.

    Raises:
      UserError: a value is out of its range; the message names the range.
    """
    usual = Settings()
    network = wanted.get("network", usual.network)
    if network not in networks:
        raise UserError(f"an unknown network: choose {' or '.join(networks)}")
    stops = _between(wanted.get("stops", usual.stops), DARKEST, BRIGHTEST, "stops")
    smooth = wanted.get("smooth", usual.smooth)
    if not isinstance(smooth, int) or isinstance(smooth, bool) or not 1 <= smooth <= _MOST_MEAN:
        raise UserError(f"smooth is a whole number from 1 to {_MOST_MEAN}")
    return Settings(network, stops, smooth, _between(wanted.get("hysteresis", 0.0), 0.0, 1.0, "hysteresis"))


def request(text: str, limits: Limits) -> dict[str, Any]:
    """The JSON object of a text message.  Raises UserError where it is too long, or no such object."""
    if len(text) > limits.text_bytes:
        raise UserError(f"a text of {len(text):,} characters: at most {limits.text_bytes:,} are taken")
    return _object(text)


def _between(value: Any, low: float, high: float, name: str) -> float:
    if not _is_number(value) or not low <= value <= high:
        raise UserError(f"{name} is a number from {low:g} to {high:g}")
    return float(value)


def _is_number(value: Any) -> TypeGuard[int | float]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # of a whole number that no float holds
        return False
