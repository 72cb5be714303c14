"""What a visitor sees beside the numbers: the last frame as it was filmed, and as the network takes it."""

from typing import Any

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from lift_flax.command_line import percent
from lift_flax.config import Luminous
from lift_flax.report.film import colour_flow
from lift_flax.serve.visitors.visitor import LiveAnswer, Picture
from lift_flax.video.gamma import light
from lift_flax.video.picture.lettering import fitting, font

_QUALITY = 95  # of JPEGs: lower ones harm the shadows that gamma lifts
_BAND = 24  # px, of the label below a frame


def seen(answer: LiveAnswer, luminous: Luminous) -> dict[str, Picture]:
    """The last frame of a clip as the streams take it: `frame`, and `lit` or `flow`."""
    clip = answer.clip.parts["clip"][0]  # [T, H, W, 3]
    pictures: dict[str, Picture] = {"frame": clip[-1]}
    if luminous.takes_flow:
        pictures["flow"] = colour_flow(answer.clip.parts["flow"][0, -1:])[0]
    if luminous.input != "flow":
        part = clip if luminous.gamma_target else clip[-1:]
        pictures["lit"] = light(part, luminous.gamma, luminous.gamma_target)[-1]
    return pictures


def described(pictures: dict[str, Picture], *, lossless: bool) -> tuple[list[dict[str, Any]], list[bytes]]:
    """(what the head of a message says of the pictures, their bytes): as RGB without loss, else as JPEG."""
    heads, payloads = [], []
    for name, picture in pictures.items():
        data = picture.tobytes() if lossless else jpeg(picture)
        height, width = picture.shape[:2]
        form = "rgb" if lossless else "jpeg"
        heads.append({"name": name, "width": width, "height": height, "format": form, "bytes": len(data)})
        payloads.append(data)
    return heads, payloads


def jpeg(picture: Picture) -> bytes:
    """A JPEG of a picture, its colours as fine as its light."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=_QUALITY, colorsubsampling="444")


def labelled(picture: Picture, label: str, probability: float) -> UInt8[np.ndarray, "H W 3"]:
    """The frame with a band below it that names the class."""
    height, width = picture.shape[:2]
    image = Image.new("RGB", (width, height + _BAND))
    image.paste(Image.fromarray(picture), (0, 0))
    text = fitting(f"{label} {percent(probability)}", 14, width - 12)
    ImageDraw.Draw(image).text((6, height + _BAND // 2), text, "white", font(14, text), "lm")
    return np.asarray(image)
