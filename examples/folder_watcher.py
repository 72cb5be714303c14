"""Answers for each video that appears in a folder, as JSON lines:  python examples/folder_watcher.py RUN FOLDER"""

import json
import sys
import time
from pathlib import Path

import lift_flax

ENDINGS = (".avi", ".mkv", ".mov", ".mp4", ".webm")

if len(sys.argv) != 3:
    sys.exit(__doc__)
workdir, folder = sys.argv[1:]
run, sizes, answered = lift_flax.load(workdir), {}, set()
while True:
    for path in sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in ENDINGS):
        size = path.stat().st_size
        if path not in answered and size and sizes.get(path) == size:  # it was as large a second ago: it is all there
            answered.add(path)
            (answer,) = run.each([path])  # a bad video is no error here
            found = {"error": answer.error} if answer.error else {"sure": answer.sure, "classes": dict(answer.top_k(3))}
            print(json.dumps({"video": path.name, **found}), flush=True)
        sizes[path] = size
    time.sleep(1)
