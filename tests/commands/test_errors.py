"""Tests for errors.py: what a message says of an error of the file system."""

import errno
import os
from pathlib import Path

import pytest

from lift_flax.errors import file_system_message, system_reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device"),
        (OSError("encoder error -2 when writing image file"), "encoder error -2 when writing image file"),
        (OSError(), "oserror"),
    ],
)
def test_the_reason_of_an_os_error_with_and_without_the_systems_words(error, reason):
    assert system_reason(error) == reason


def test_a_full_disk_is_one_line_that_names_the_file():
    message = file_system_message(OSError(errno.ENOSPC, "No space left on device", "run/results.json"))
    assert message is not None and message.startswith("no space left on device (run/results.json)")
    assert file_system_message(OSError("encoder error -2")) is None


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "make room there, then run the same command again"),
        (errno.EACCES, "allow it to be read and written there, or choose another place"),
        (errno.EPERM, "allow it to be read and written there, or choose another place"),
        (errno.EROFS, "choose a place that can be written to"),
        (errno.ENOTDIR, "move what is in the way, or choose another place"),
        (errno.EIO, "check the disk, then run the same command again"),
        (errno.ENOENT, None),  # this program's own mistake, unless it was caught where the user named the file
    ],
)
def test_the_advice_is_that_of_the_error(code, advice):
    error = OSError(code, os.strerror(code))
    expected = advice and f"{os.strerror(code).lower()} (records): {advice}"
    assert file_system_message(error, Path("records")) == expected
