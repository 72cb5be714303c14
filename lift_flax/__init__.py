"""LIFT-Net in JAX and Flax: recognising human actions in dark, daylight and infrared video.

    run = lift_flax.load("RUN")                               # a trained run: answers, scores, explanations, exports
    run = lift_flax.train_run("own:tiny", "RUN", {"data.dir": "records"})
    lift_flax.train_folds("own:tiny", "RUNS", {"data.dir": "records"})["student"]["top1"]    # cross-validation
    print(run("clip.mp4").label)
    model = lift_flax.create_model("lift_net", num_classes=11)   # a network for your own code

`UserError` is raised for mistakes that the caller can fix, `Windows` says how long videos are cut.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lift_flax.calls.quiet import quiet_libraries

if TYPE_CHECKING:
    from lift_flax.calls.created_model import CreatedModel, create_model
    from lift_flax.calls.loaded_run import LoadedRun, load
    from lift_flax.calls.training import pretrain_run, train_folds, train_run
    from lift_flax.errors import UserError
    from lift_flax.video.clips import Windows

# Imported at first use: processes that read videos import this package too, and must not start JAX.
_MODULES = {
    "CreatedModel": "lift_flax.calls.created_model",
    "LoadedRun": "lift_flax.calls.loaded_run",
    "UserError": "lift_flax.errors",
    "Windows": "lift_flax.video.clips",
    "create_model": "lift_flax.calls.created_model",
    "load": "lift_flax.calls.loaded_run",
    "pretrain_run": "lift_flax.calls.training",
    "train_folds": "lift_flax.calls.training",
    "train_run": "lift_flax.calls.training",
}

__all__ = [
    "CreatedModel",
    "LoadedRun",
    "UserError",
    "Windows",
    "create_model",
    "load",
    "pretrain_run",
    "train_folds",
    "train_run",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with quiet_libraries():
        return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
