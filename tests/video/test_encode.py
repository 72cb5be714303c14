"""Films and animated pictures are real: they decode to the frames that they were made of."""

import io

import av
import numpy as np
from PIL import Image

from lift_flax.video import encode


def test_films_are_real():
    frames = np.zeros((7, 33, 47, 3), np.uint8)
    for t in range(7):
        frames[t, :, 6 * t : 6 * t + 6] = (250, 120, 30)
    film = encode.mp4(frames, 5.0)
    assert film.index(b"moov") < film.index(b"mdat")
    with av.open(io.BytesIO(film)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 5)
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert shown.shape == (7, 34, 48, 3)
    assert np.abs(shown[:, :33, :47].astype(int) - frames).mean() < 8
    with Image.open(io.BytesIO(encode.gif(frames, 5.0))) as image:
        assert (image.n_frames, image.size, image.info["duration"], image.info["loop"]) == (7, (47, 33), 200, 0)
        for t in range(7):
            image.seek(t)
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - frames[t]).max() < 10
