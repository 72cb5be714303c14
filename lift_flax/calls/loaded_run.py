"""A trained run in Python: answers for videos, scores, explanations, the report, exported files.

The calls change nothing of the process that makes them: no settings of JAX, no logging, no signal handlers.
"""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lift_flax.calls.quiet import quiet_libraries
from lift_flax.config import Config
from lift_flax.errors import UserError
from lift_flax.predict.answers import VideoAnswer
from lift_flax.predict.given import Source, name_of
from lift_flax.predict.live.stream import Stream
from lift_flax.predict.predictor import Predictor
from lift_flax.predict.reading import read_whole
from lift_flax.runs.trained import TrainedRun, open_or_shipped, results_of
from lift_flax.runs.workdir import read_results
from lift_flax.video.clips import Clip, Preparation, Windows
from lift_flax.video.decode import VideoError


def load(
    workdir: str | Path | None = None,
    *,
    network: str = "student",
    batch_size: int = 8,
    windows: Windows | None = None,
    fps: float | None = None,
    on_bad: str = "error",
    threshold: float | None = None,
    fit: str = "crop",
) -> "LoadedRun":
    """Opens a trained run.

    Args:
      workdir: the --workdir of its training; or a package: its folder, its .zip, or "hf://owner/name".  None is the
        network that comes with lift_flax, as "shipped" is; a line on stderr says which that is.
      network: which one answers for videos: student or teacher.
      batch_size: clips that are computed together when that many are ready.
      windows: how long videos are cut into clips; None: above 30 s into windows as long as the training clips, one
        every half of that; of runs that do not know it, 4 s.
      fps: frames per second of frames in memory and of folders of pictures; None: each is one clip, however long.
      on_bad: what becomes of a file that can be read but is damaged or cut off: error, or warn (an answer with a note).
      threshold: answers of a lower probability are unsure; None takes that of the run's calibration, if it has one.
      fit: how frames become squares: crop, their middle; pad, all of them between black borders; squeeze, all of them,
        their longer side shortened.

    Raises:
      UserError: there is no trained run, or the run has no such network.

    >>> import lift_flax
    >>> run = lift_flax.load(workdir)
    >>> answer = run(video)
    >>> answer.label in run.classes, 0 < answer.probability <= 1
    (True, True)
    """
    with quiet_libraries():
        options = {"network": network, "batch_size": batch_size, "windows": windows, "fps": fps, "on_bad": on_bad}
        options |= {"threshold": threshold, "fit": fit}
        return LoadedRun(open_or_shipped(workdir), **options)


class LoadedRun:
    """A trained run.  `load` makes it.

    A video is given as
    - the path of a file, of a folder of pictures of one size, or of a pipe, which is read once,
    - frames, uint8 RGB [T,H,W,3]: an array of NumPy, JAX or PyTorch, or a list of frames [H,W,3] of one size,
    - the bytes of a video file,
    - a binary file that is open; it is read to its end, and stays open.

    Several threads may ask one run at once.  Pickled, it holds its arrays but no programs: in another process it
    compiles its own.  Start such processes with the method "spawn": a process that is forked cannot use JAX.

    Attributes:
      trained: its config, classes and arrays.
      workdir: its folder, or its package.
      config: its config.
      classes: names, by label.
      preparation: how videos become clips.
      predictor: answers for videos.
    """

    def __init__(self, trained: TrainedRun, **options: Any):
        self.trained = trained
        self.predictor = Predictor(trained, **options)
        self.workdir: Path = trained.workdir
        self.config: Config = trained.config
        self.classes: tuple[str, ...] = trained.classes
        self.preparation: Preparation = self.predictor.preparation

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_explainer"}  # it holds programs

    def __call__(self, video: Source) -> VideoAnswer:
        """Answers for one video.

        Raises:
          UserError: the video cannot be used.
        """
        return self.predictor(video)

    def each(self, videos: Iterable[Source]) -> Iterator[VideoAnswer]:
        """Answers for many videos, in order; the answer for a bad one, or for what is no video, has an `error`.

        Clips are read ahead in a thread and computed in batches; the memory does not grow with the number of videos.

        >>> import lift_flax
        >>> run = lift_flax.load(workdir)
        >>> [answer.error or answer.label in run.classes for answer in run.each([video, "missing.mp4"])]
        [True, 'no such file or directory']
        """
        return self.predictor.each(videos)

    def stream(
        self,
        *,
        every: int = 5,
        seconds: float | None = None,
        fps: float | None = None,
        smooth: int = 1,
        hysteresis: float = 0.0,
    ) -> Stream:
        """Answers for the frames of a camera: `push` each frame, and get an answer after every so many.

        Args:
          every: frames from one answer to the next.
          seconds: that the T frames of a window span; None takes what the run has learnt from: the seconds of its
            windows, else how long its training videos are.  It takes fps, or `push(frame, time)`.
          fps: frames per second that are pushed; None takes that of `load`.  Without it, and without times, a window
            is the last T frames.
          smooth: how many of the last answers are averaged.
          hysteresis: by how much another class must be likelier than the one that was named before, to be named.
        Raises:
          UserError: a value is not one of these.

        >>> import lift_flax, numpy
        >>> stream = lift_flax.load(workdir).stream(every=2)
        >>> answers = [stream.push(numpy.zeros((48, 64, 3), numpy.uint8)) for _ in range(8)]
        >>> [answer.index for answer in answers if answer]
        [3, 5, 7]
        """
        return self.predictor.stream(every=every, seconds=seconds, fps=fps, smooth=smooth, hysteresis=hysteresis)

    def read(self, video: Source) -> Iterator[Clip]:
        """Reads the clips of a video as the network takes them: `clip.parts["clip"]` is uint8 [T,H,W,3].

        Raises:
          UserError: the video cannot be used.
        """
        try:
            yield from self.predictor.read(video)
        except VideoError as error:
            raise UserError(f"{name_of(video)} cannot be used: {error}") from error

    @property
    def results(self) -> dict[str, Any]:
        """What training measured on the test split: results.json.  Raises UserError where it is missing or damaged."""
        return results_of(self.trained) or read_results(self.workdir)

    def evaluate(
        self,
        *,
        data_dir: str | Path | None = None,
        split: str = "test",
        fold: int | None = None,
        views: str | None = None,
        average: str | None = None,
        batch_size: int | None = None,
        illumination: bool = False,
        twins: Iterable[tuple[str, str | Path]] = (),
    ) -> dict[str, Any]:
        """Scores the run on a split; returns what `lift-flax evaluate --out` writes for one run (docs/use.md).

        Args:
          data_dir: records to score on; None takes those of the run.
          split: test or train, of the fold.
          fold: official fold; None takes that of the run.
          views: clips x crops of each video, for example "3x3"; None takes those that training scored by.
          average: what is averaged over the views: logits or softmax; None takes what training took.
          batch_size: views that are computed together; None takes 8 for each device.
          illumination: also score in other light, as a curve over brightness.
          twins: (name, records) of the same motions in other light, marked on that curve.
        Raises:
          UserError: the records do not fit the run, or an argument is not one of these.

        >>> import lift_flax
        >>> scores = lift_flax.load(workdir).evaluate(views="2x1")
        >>> scores["split"], scores["views"], 0 <= scores["student"]["top1"] <= 1
        ('test', '2x1', True)
        """
        from lift_flax.evaluate.evaluation import Evaluation, Protocol

        protocol = Protocol(data_dir, split, fold, views, average, batch_size, illumination, tuple(twins))
        with quiet_libraries():
            return Evaluation(self.trained, protocol).run()

    def explain(
        self, video: Source, *, out: str | Path | None = None, label: str | None = None, overwrite: bool = False
    ) -> Any:
        """Shows which frames and regions of a video drove the student's prediction.

        Args:
          video: as for answers; always one clip.
          out: folder to write the pictures of `lift-flax explain` into.
          label: the class to explain; None takes the predicted one.
          overwrite: replace pictures of an earlier explanation in `out`.
        Returns:
          Weights and maps as arrays: a lift_flax.explain.explainer.Explanation.
        Raises:
          UserError: the video cannot be used, the run does not know the class, or `out` holds pictures already.

        >>> import lift_flax
        >>> explanation = lift_flax.load(workdir).explain(video)
        >>> explanation.frames.shape, bool(abs(explanation.attention.sum() - 1) < 1e-5)
        ((4, 32, 32, 3), True)
        """
        from lift_flax.explain.files import check_folder, write_files

        explained = None if label is None else self.trained.label_of(label)
        if label is not None and explained is None:
            raise UserError(f"label={label!r} is unknown to the run: choose one of {', '.join(self.classes)}")
        if out is not None:
            check_folder(Path(out), overwrite=overwrite)
        with quiet_libraries():
            clip = read_whole(video, self.preparation, self.predictor.fps)
            explanation = self._explainer(clip.parts, explained)
        if out is not None:
            name, seconds = Path(name_of(video)).name, clip.end - clip.start
            write_files(explanation, self.classes, Path(out), name=name, seconds=seconds)
        return explanation

    def report(self) -> Path:
        """Writes report.html into the workdir and returns its path.

        Raises:
          UserError: the run is not finished, its records are missing, or it was opened from a package.
        """
        from lift_flax.report.page import write_page

        with quiet_libraries():
            return write_page(self.workdir)

    def export(
        self,
        path: str | Path,
        *,
        format: str | None = None,
        card: str | Path | None = None,
        license: str | None = None,
        dtype: str | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Writes the run as one file that answers without this project, or as a package that `load` opens.

        Args:
          path: NAME.stablehlo, NAME.onnx, or NAME.zip for a package.
          format: "package" makes `path` a folder; else the ending of `path` says what it is.
          card: file of text in Markdown that a package's model card ends with.
          license: of a package, as model hubs name it, such as "cc-by-4.0".
          dtype: "float16" keeps the arrays of a package in half the bytes, which changes its answers a little.
          overwrite: replace what is there already.
        Returns:
          `path`.  Beside NAME.stablehlo or NAME.onnx, a file NAME.stablehlo.json or NAME.onnx.json describes inputs and
          classes (docs/export.md).
        Raises:
          UserError: `path` exists and `overwrite` is not set, its folder is missing, or its ending is another; or
            float16 would change a probability of random clips by more than 0.01.
          RuntimeError: what was written answers differently from the network; nothing is left behind.
        """
        from lift_flax.export.request import export_request

        options = {"form": format, "card": card, "license_id": license, "dtype": dtype}
        request = export_request(Path(path), **options, overwrite=overwrite)
        with quiet_libraries():
            request.write(self.trained)
        return request.out

    @functools.cached_property
    def _explainer(self) -> Any:
        from lift_flax.explain.explainer import Explainer

        return Explainer(self.trained)
