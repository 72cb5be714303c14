"""Answers in a terminal for a camera or a file:  python examples/webcam.py RUN /dev/video0"""

import sys

import av

import lift_flax

if len(sys.argv) != 3:
    sys.exit(__doc__)
workdir, address = sys.argv[1:]
stream = lift_flax.load(workdir).stream(every=5)  # compiles
camera = "v4l2" if address.startswith("/dev/") else None
with av.open(address, format=camera) as source:
    for frame in source.decode(video=0):
        answer = stream.push(frame.to_ndarray(format="rgb24"), frame.time)  # None between answers
        if answer:
            label = answer.label if answer.sure else f"unsure: {answer.label}"
            print(f"{answer.time:8.2f} s  {label} {100 * answer.probability:.1f} %", flush=True)
