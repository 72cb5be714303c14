"""Tests for errors.py: what a message says of an error of the file system."""

import errno

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
