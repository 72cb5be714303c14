"""What `inspect_video` makes of a stream that lacks what others have."""

from unittest.mock import Mock

import av
import pytest

from lift_flax.video.decode import VideoError, time_base_of


def test_a_stream_without_a_unit_of_time_is_a_bad_video():
    with pytest.raises(VideoError, match="no unit"):
        time_base_of(Mock(spec=av.VideoStream, time_base=None))
