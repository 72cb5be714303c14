"""Whether frames are better made calm before flow is computed of them, where there is little light.

    python -m benchmarks.flow_noise --workdir=RUN [--records=DARK] [--ways=none,mean3,...]

RUN was trained on optical flow (`--config=demo:luminous=flow`).  Its test clips are photographed at the nine exposures
of `lift-flax evaluate --illumination`; flow is computed of what the camera sees, or of that after one of these:

  mean3, mean5    the mean of 3 or 5 frames around each one, in time
  median3         their median, in time
  blur            a Gaussian blur of 1 px within each frame

Prints the student's accuracy at each exposure, and the area under them.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from lift_flax import command_line, compiling
from lift_flax.data import clip_reader, flow_in_light
from lift_flax.evaluate.evaluation import Evaluation, Protocol
from lift_flax.runs.trained import open_trained

Frames = np.ndarray  # [N, H, W, 3], neighbours in time; the frame that is made calm is in the middle
_UNCHANGED = flow_in_light.flow_in_light


def _mean(around: Frames) -> np.ndarray:
    return np.rint(around.mean(axis=0)).astype(np.uint8)


def _median(around: Frames) -> np.ndarray:
    return np.median(around, axis=0).astype(np.uint8)


def _blur(around: Frames) -> np.ndarray:
    return cv2.GaussianBlur(around[len(around) // 2], (0, 0), 1.0)


WAYS: dict[str, tuple[int, Callable[[Frames], np.ndarray]]] = {  # (frames to either side, filter)
    "none": (0, lambda around: around[0]),
    "mean3": (1, _mean),
    "mean5": (2, _mean),
    "median3": (1, _median),
    "blur": (0, _blur),
}


def calm_flow(reach: int, calm: Callable[[Frames], np.ndarray]) -> Callable[..., np.ndarray]:
    """`flow_in_light` of frames that are made calm first."""

    def flow(see: Callable[[list[int]], Frames], indices: np.ndarray, count: int, **options) -> np.ndarray:
        def calmed(numbers: list[int]) -> Frames:
            reaches = [range(max(n - reach, 0), min(n + reach + 1, count)) for n in numbers]
            needed = sorted({n for around in reaches for n in around})
            pictures = dict(zip(needed, see(needed), strict=True))
            return np.stack([calm(np.stack([pictures[n] for n in around])) for around in reaches])

        return _UNCHANGED(calmed, indices, count, **options)

    return flow


def main() -> None:
    """The command line."""
    parser = command_line.parser(__doc__, "python -m benchmarks.flow_noise")
    parser.add_argument("--workdir", type=Path, required=True, help="a run on optical flow")
    parser.add_argument("--records", default=None, help="records of its clips, all of whose frames are kept")
    parser.add_argument("--ways", default=",".join(WAYS), help="which ways, with commas")
    args = parser.parse_args()
    compiling.keep_compiled_programs()
    evaluation = Evaluation(open_trained(args.workdir), Protocol(data_dir=args.records, illumination=True))
    for way in args.ways.split(","):
        clip_reader.flow_in_light = calm_flow(*WAYS[way])
        curve = evaluation.run()["illumination"]
        shares = [f"{100 * point['student']['top1']:.1f}" for point in curve["points"]]
        print(f"| {way} | {' | '.join(shares)} | {100 * curve['area']['student']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
