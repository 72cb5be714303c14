"""Files that are odd but whole, as the ffmpeg program writes them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.containers.formats import FORMATS, Format, write
from tests.support.containers.whole import Whole


def files(program: str, folder: Path) -> Iterator[Whole]:
    """What the ffmpeg program makes of a video of 48 numbered frames with sound, and of one without B-frames."""
    source = write(folder / "source.mp4", FORMATS["sound.mp4"])
    plain = write(folder / "plain.mkv", Format(options={"bf": "0", "g": "12"}))
    words = folder / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:30,000\nlonger than the video\n")
    everything = list(range(48))

    def made(
        name: str, arguments: str, numbers: list[int] = everything, note: str = "", *, turned: bool = False
    ) -> Whole:
        command = arguments.format(source=source, plain=plain, words=words).split()
        target = folder / name
        subprocess.run([program, "-v", "error", "-y", *command, str(target)], check=True, stdin=subprocess.DEVNULL)
        return Whole(target, numbers, note, turned)

    yield made("edit.mp4", "-ss 0.5 -i {source} -c copy", list(range(15, 48)))
    yield made("edit.mov", "-ss 0.5 -i {source} -c copy", list(range(15, 48)))
    yield made("no_edit.mp4", "-i {source} -c copy -use_editlist 0")
    yield made("begin.mp4", "-i {plain} -c copy -t 0.8", list(range(24)))
    yield made("begin.mkv", "-i {plain} -c copy -t 0.8", list(range(24)))
    for suffix in ("mp4", "mkv", "mov", "ts", "flv"):
        yield made(f"copied.{suffix}", "-i {plain} -c copy")
    yield made("copied.avi", "-i {plain} -c copy -bsf:v h264_mp4toannexb")
    yield made("copied_from_mp4.mkv", "-i {source} -c copy")
    for suffix in ("mp4", "mkv", "ts", "flv"):
        yield made(f"offset.{suffix}", "-i {source} -c copy -output_ts_offset 100")
    for suffix in ("mp4", "mkv"):
        yield made(f"delayed.{suffix}", "-i {source} -itsoffset 0.5 -i {plain} -map 1:v -map 0:a -c copy")
    yield made("subtitled.mkv", "-i {source} -i {words} -c copy -c:s srt")
    yield made("subtitled.mp4", "-i {source} -i {words} -c copy -c:s mov_text")
    yield made("attached.mkv", "-i {source} -c copy -attach {words} -metadata:s:t mimetype=text/plain")
    yield made("timecode.mov", "-i {source} -c copy -timecode 00:00:00:00")
    yield made("dash.mp4", "-i {source} -c copy -movflags +dash+frag_keyframe", note="length unknown")
    yield made(
        "pieces.mp4",
        "-i {source} -c copy -movflags frag_every_frame+empty_moov+default_base_moof",
        note="length unknown",
    )
    yield made("live.mkv", "-i {source} -c copy -live 1", note="length unknown")
    yield made("space.mkv", "-i {source} -c copy -reserve_index_space 5000")
    yield made("rotated.mp4", "-i {source} -c copy -metadata:s:v rotate=90", note="rotated", turned=True)
    yield made("thinned.mp4", "-i {source} -vf select='not(mod(n,3))' -vsync vfr", list(range(0, 48, 3)))
    yield made("thinned.mkv", "-i {source} -an -vf select='not(mod(n,3))' -vsync vfr", list(range(0, 48, 3)))
    yield made("repeated.mp4", "-i {source} -an -r 60", [number for number in everything for _ in range(2)])
    yield made("interlaced.mkv", "-i {source} -c:v mpeg2video -flags +ilme+ildct -b:v 2M", note="interlaced")
    yield made("sound_only_late.mkv", "-i {source} -af apad=pad_dur=2 -c:v copy")
    yield made("sound_only_late.wmv", "-i {source} -af apad=pad_dur=2 -c:v wmv2 -b:v 1M")
    yield made("anamorphic.mp4", "-i {source} -c:v mpeg4 -q:v 2 -aspect 16:9", note="pixels not square")
