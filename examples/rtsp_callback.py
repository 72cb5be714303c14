"""Gives each answer for a network camera to a function:  python examples/rtsp_callback.py RUN rtsp://camera.local/1

A thread keeps the newest frame alone, so the answers never fall behind; a camera that goes away is tried again.
"""

import contextlib
import queue
import sys
import threading
import time

import av

import lift_flax


def watch(workdir, address, callback):
    """Calls `callback` with each answer of the run in `workdir` for the camera at `address`."""
    newest = queue.Queue(1)
    stream = lift_flax.load(workdir).stream()  # compiles
    threading.Thread(target=read, args=(address, newest), daemon=True).start()
    while True:
        answer = stream.push(*newest.get())
        if answer:
            callback(answer)


def read(address, newest):
    """Puts each frame with its time into `newest`, in place of one that nobody has taken; begins anew at the end."""
    options, pause = {"rtsp_transport": "tcp"} if address.startswith("rtsp") else {}, 1
    while True:
        try:
            with av.open(address, options=options, timeout=(10, 5)) as camera:
                for frame in camera.decode(video=0):
                    with contextlib.suppress(queue.Empty):
                        newest.get_nowait()
                    newest.put((frame.to_ndarray(format="rgb24"), time.monotonic()))
                    pause = 1
            reason = "it ended"
        except av.FFmpegError as error:
            reason = error.strerror
        print(f"the camera is lost ({reason}): trying again in {pause} s", file=sys.stderr, flush=True)
        time.sleep(pause)
        pause = min(2 * pause, 30)


def show(answer):
    """Prints an answer."""
    print(f"{'' if answer.sure else 'unsure: '}{answer.label} {100 * answer.probability:.1f} %", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    watch(*sys.argv[1:], show)
