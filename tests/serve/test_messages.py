"""Messages of the socket: what is said comes through, and what is wrong is refused by name."""

import json
import math
import struct

import numpy as np
import pytest

from lift_flax.errors import UserError
from lift_flax.serve import messages
from lift_flax.serve.limits import Limits
from lift_flax.serve.messages import Settings
from tests.support.live_tools import encoded, sent

FRAME = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
HEAD = {"time": 1.5, "width": 8, "height": 6, "format": "rgba"}


def test_a_frame_comes_through_as_it_was_sent():
    frame = messages.sent_frame(sent(FRAME, 1.5), Limits())
    assert (frame.time, frame.width, frame.height) == (1.5, 8, 6)
    np.testing.assert_array_equal(frame.rgb(), FRAME)


@pytest.mark.parametrize("form", ["webp", "jpeg"])
def test_pictures_lose_little(form):
    smooth = np.linspace(0, 255, 64 * 48).reshape(48, 64, 1).repeat(3, axis=2).astype(np.uint8)
    frame = messages.sent_frame(sent(smooth, 0.0, form), Limits())
    assert np.abs(frame.rgb().astype(int) - smooth).max() < 12


def _message(data: bytes = b"", **changes) -> bytes:
    return messages.packed(HEAD | changes, data)


@pytest.mark.parametrize(("message", "reason"), [
    (b"", "a message without a head"),
    (b"\x01", "a message without a head"),
    (struct.pack("<I", 2**31) + b"{}", "a message without a head"),
    (struct.pack("<I", 2) + b"[]", "no JSON object"),
    (struct.pack("<I", 3) + b"\xff{}", "no JSON object"),
    (struct.pack("<I", 2000) + b"[" * 2000, "no JSON object"),
    (_message(time="now"), "a frame without a time"),
    (_message(time=math.nan), "a frame without a time"),
    (_message(time=True), "a frame without a time"),
    (_message(time=10**400), "a frame without a time"),
    (_message(width=0), "a frame without a size"),
    (_message(width=8.5), "a frame without a size"),
    (_message(width=60_000, height=60_000), "a frame of 60000x60000 px: at most 1,228,800 pixels are taken"),
    (_message(format="png"), "a frame of an unknown format: send rgba, webp, jpeg"),
    (_message(b"abc"), "a frame of 3 bytes: 8x6 px as rgba have 192"),
])  # fmt: skip
def test_what_is_no_frame_is_refused(message, reason):
    with pytest.raises(UserError, match=reason):
        messages.sent_frame(message, Limits())


def test_pictures_are_checked_before_they_are_decoded():
    """A small file can hold a huge picture."""
    large = encoded(np.zeros((4000, 4000, 3), np.uint8), "webp")
    for data, form, reason in (
        (large, "webp", "a picture of 4000x4000 px that was said to have 8x6"),
        (encoded(FRAME, "png"), "webp", "bytes that are no webp picture"),
        (encoded(FRAME, "webp"), "jpeg", "bytes that are no jpeg picture"),
        (encoded(FRAME, "jpeg") + 40 * b"\xff\xda", "jpeg", "a jpeg picture in more than 32 scans"),
        (encoded(FRAME, "jpeg")[:200], "jpeg", "a damaged jpeg picture|bytes that are no jpeg"),
    ):
        frame = messages.sent_frame(_message(data, format=form), Limits())
        with pytest.raises(UserError, match=reason):
            frame.rgb()


def test_settings_are_checked():
    both = ("student", "teacher")
    assert messages.settings({}, both) == Settings()
    wanted = {"type": "settings", "network": "teacher", "stops": -3.5, "smooth": 3, "hysteresis": 0.1}
    assert messages.settings(wanted, both) == Settings("teacher", -3.5, 3, 0.1)
    for wanted, networks, reason in (
        ({"network": "teacher"}, ("student",), "an unknown network: choose student"),
        ({"network": ["teacher"]}, both, "an unknown network"),
        ({"stops": -11}, both, "stops is a number from -10 to 2"),
        ({"stops": "dark"}, both, "stops is a number"),
        ({"smooth": 0}, both, "smooth is a whole number from 1 to 30"),
        ({"hysteresis": math.inf}, both, "hysteresis is a number from 0 to 1"),
    ):
        with pytest.raises(UserError, match=reason):
            messages.settings(wanted, networks)


def test_a_text_is_short():
    assert messages.request('{"type": "why"}', Limits()) == {"type": "why"}
    with pytest.raises(UserError, match="at most 4,096"):
        messages.request(json.dumps({"type": "w" * 5000}), Limits())
