"""`lift-flax VERB ...`: all commands under one name.  Only the module of the chosen verb is loaded."""

import difflib
import importlib
import importlib.util
import sys

from lift_flax.errors import UserError, run_cli

# By stage of the work: {verb: (module, what it does)}.  The module has a `main(argv)`.
STAGES = {
    "data": {
        "build": ("data_prep.build", "turn videos into records to train on"),
        "darken": ("data_prep.darken", "film videos again in the dark, for records in two lights"),
        "audit": ("data_prep.audit.__main__", "check every video of a folder, or of records"),
    },
    "training": {
        "train": ("main", "train a teacher and a student, test both, write a report"),
        "pretrain": ("pretrain.__main__", "learn from clips without their labels, to start training from"),
        "plan": ("plan.__main__", "find out what fits on a machine before you rent it"),
        "ablate": ("ablate.__main__", "train every row of the paper's ablation table"),
    },
    "a trained run": {
        "evaluate": ("evaluate.__main__", "score it on its records or others, with intervals"),
        "predict": ("predict.__main__", "name the action in videos"),
        "serve": ("serve.__main__", "show its answers live: a page for a camera"),
        "explain": ("explain.__main__", "show which frames and regions drove a prediction"),
        "report": ("report.__main__", "write its web page again"),
        "export": ("export.__main__", "write it as one file, StableHLO or ONNX, or as a package"),
    },
    "pretrained weights": {
        "weights fetch": ("weights.fetch", "fetch a pretrained ViT from huggingface.co"),
        "weights convert": ("weights.convert", "convert weights of PyTorch or Google, to start training from"),
        "weights to-torch": ("weights.to_torch", "write a trained R(2+1)D for PyTorch"),
    },
}
VERBS = {verb: module for stage in STAGES.values() for verb, (module, _) in stage.items()}


def main(argv: list[str] | None = None) -> None:
    """The command line.

    Args:
      argv: the verb and its flags; None takes those of the process.

    Raises:
      UserError: an unknown verb, or a mistake in the flags of a known one.
    """
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text())
        return
    verb, flags = _split(words)
    module(verb).main(flags)


def help_text() -> str:
    """Every verb in one line, by stage."""
    width = max(map(len, VERBS))
    lines = [
        "usage: lift-flax VERB ...        lift-flax VERB --help",
        "",
        "Recognises human actions in dark, daylight and infrared video.",
    ]
    for stage, verbs in STAGES.items():
        lines += ["", stage, *(f"  {verb:<{width}}  {about}" for verb, (_, about) in verbs.items())]
    return "\n".join(lines)


def module(verb: str):
    """The module of a verb: within the package, except that a checkout has data_prep beside it."""
    name = VERBS[verb]
    if name.startswith("data_prep.") and importlib.util.find_spec("lift_flax.data_prep") is None:
        return importlib.import_module(name)
    return importlib.import_module(f"lift_flax.{name}")


def _split(words: list[str]) -> tuple[str, list[str]]:
    """(verb, its flags).  Raises UserError where there is no such verb."""
    for length in (2, 1):
        verb = " ".join(words[:length]).replace("_", "-")
        if verb in VERBS:
            return verb, words[length:]
    if words[0] == "weights":
        raise UserError("weights: write `lift-flax weights convert` or `lift-flax weights to-torch`")
    near = difflib.get_close_matches(words[0], VERBS, n=1)
    hint = f"did you mean `lift-flax {near[0]}`?" if near else f"choose one of {', '.join(VERBS)}"
    raise UserError(f"'{words[0]}' is not a verb of lift-flax: {hint}")


def run() -> None:
    """The console script `lift-flax`."""
    run_cli(main)


if __name__ == "__main__":
    run()
