"""What `inspect_video` makes of a stream that lacks what others have."""

import types

import pytest

from lift_flax.video.decode import VideoError, time_base_of


def test_a_stream_without_a_unit_of_time_is_a_bad_video():
    with pytest.raises(VideoError, match="no unit"):
        time_base_of(types.SimpleNamespace(time_base=None))
