"""What all visitors share: the run, its two networks, the thread that computes, and the one that explains."""

import functools
import io
import threading
from pathlib import Path

from lift_flax.explain.explainer import Explainer, Explanation
from lift_flax.explain.files import answer_text
from lift_flax.explain.pictures import contact_sheet
from lift_flax.predict.answers import VideoAnswer
from lift_flax.predict.predictor import Predictor
from lift_flax.runs.trained import TrainedRun
from lift_flax.serve.visitors.worker import Worker
from lift_flax.video.clips import Parts, Windows
from lift_flax.video.guarded.read_clips import Caps, read_guarded


class Answering:
    """A run that answers for several visitors at once.

    Args:
      trained: the run.
      fit: how frames become squares (`Predictor`).

    Attributes:
      trained: the run.
      networks: that can answer.
      worker: computes answers.
      explainer: computes explanations, which take longer, beside them.
    """

    def __init__(self, trained: TrainedRun, *, fit: str = "crop"):
        self.trained, self._fit = trained, fit
        self.networks = ("student", "teacher") if trained.config.train.distill else ("student",)
        self._predictors: dict[str, Predictor] = {}
        self._opening = threading.Lock()
        self.worker, self.explainer = Worker("answers"), Worker("explanations")

    def predictor(self, network: str) -> Predictor:
        """The predictor of one of `networks`; several visitors get the same."""
        with self._opening:
            if network not in self._predictors:
                self._predictors[network] = Predictor(self.trained, network=network, fit=self._fit)
            return self._predictors[network]

    def prepare(self) -> None:
        """Compiles what the first visitor will need, in the background."""
        self.worker.put(self, lambda: self.predictor("student").stream())

    def close(self) -> None:
        """Ends both threads after what they are at."""
        self.worker.close()
        self.explainer.close()

    def explained(self, parts: Parts) -> tuple[str, bytes]:
        """(class and probability, a PNG of what the student looked at) for a clip, a batch of one."""
        explanation: Explanation = self._explain({name: part[0] for name, part in parts.items()})
        title = answer_text(explanation, self.trained.classes)
        buffer = io.BytesIO()
        contact_sheet(explanation, title, f"the window just answered: {title}").save(buffer, "PNG")
        return title, buffer.getvalue()

    def uploaded(self, path: Path, name: str, caps: Caps, *, timeline: bool) -> VideoAnswer:
        """The answer for a video file that a visitor sent.

        Args:
          path: where it is.
          name: what to call it.
          caps: what reading it may take.
          timeline: cuts a short video into windows, too.
        Raises:
          VideoError: it cannot be used.
        """
        predictor = self.predictor("student")
        windows = predictor.windows
        if timeline:
            windows = Windows(windows.length, windows.length, windows.hop)
        found = read_guarded(path, predictor.preparation, windows, caps)
        return predictor.of_clips(name, found.clips, found.notes, seconds=found.seconds, is_long=found.is_long)

    @functools.cached_property
    def _explain(self) -> Explainer:
        return Explainer(self.trained)
