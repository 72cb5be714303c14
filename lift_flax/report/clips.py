"""The clips of a report: the student's surest right answers and surest mistakes, each as a film to play."""

from collections import Counter

import numpy as np
from jaxtyping import Float, Int

from lift_flax.command_line import percent
from lift_flax.config import Config
from lift_flax.data.batches import read_eval_examples
from lift_flax.data.clip_reader import Example
from lift_flax.data.records import Records
from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.explain.explainer import Explainer
from lift_flax.explain.pictures import Overlays
from lift_flax.report import film

_EACH = 6  # clips shown of either kind


def cards(
    config: Config,
    records: Records,
    classes: list[str],
    predictions: dict[str, np.ndarray],
    explainer: Explainer | None,
) -> dict:
    """{"right": cards, "wrong": cards}; a card is {"id", "label", "guesses", "true_share", "poster", "film", "shape"}.

    A guess is {"network", "name", "share", "right"}, the student's first.  "true_share" is the student's probability of
    the true class.  Poster (a still) and film are data URIs, of width over height "shape".

    Args:
      explainer: of the student; None where its checkpoint is missing.
    """
    from scipy.special import softmax  # loaded by those who draw a report alone

    labels = predictions["labels"]
    shares = {network: softmax(predictions[name], axis=-1) for network, name in NETWORKS.items() if name in predictions}
    right, wrong = choose_clips(labels, shares["student"])
    ids = [str(i) for i in predictions["ids"][right + wrong]]
    listed = []
    for i, example in zip(right + wrong, read_eval_examples(records, config, ids), strict=True):
        label = int(labels[i])
        guesses = [_guess(name, shares[name][i], label, classes) for name in ("student", "teacher") if name in shares]
        share = float(shares["student"][i, label])
        card = {"id": example["id"], "label": classes[label], "guesses": guesses, "true_share": share}
        listed.append(card | _pictures(card, _panels(example, config, explainer)))
    return {"right": listed[: len(right)], "wrong": listed[len(right) :]}


def _guess(network: str, shares: Float[np.ndarray, "K"], label: int, classes: list[str]) -> dict:
    best = int(shares.argmax())
    return {"network": network, "name": classes[best], "share": float(shares[best]), "right": best == label}


def _pictures(card: dict, panels: dict[str, film.Panel]) -> dict:
    guess = card["guesses"][0]
    answer = f"true class: {card['label']}; {guess['network']}: {guess['name']} {percent(guess['share'])}"
    return {
        "shape": 4 / len(panels),
        "poster": film.data_uri("image/jpeg", film.still(panels, f"clip {card['id']}", answer)),
        "film": film.data_uri("video/mp4", film.preview(list(panels.values()))),
    }


def _panels(example: Example, config: Config, explainer: Explainer | None) -> dict[str, film.Panel]:
    """The clip as filmed, as the luminous stream sees it, and with attention and class activation laid over it."""
    luminous = config.model.luminous
    panels = {
        "as filmed": film.panel(example["clip"]),
        "optical flow" if luminous.input == "flow" else "gamma-corrected": film.panel(
            film.luminous_frames(example, luminous)
        ),
    }
    if explainer:
        overlays = Overlays(explainer(example), film.SIDE)
        for name in ("attention", "activation"):
            panels[name] = np.stack([overlays.painted(name, t) for t in range(len(example["clip"]))])
    return panels


def choose_clips(labels: Int[np.ndarray, "N"], shares: Float[np.ndarray, "N K"]) -> tuple[list[int], list[int]]:
    """Positions of up to six right answers and of up to six mistakes, always the same for the same input.

    The surest come first, but a class gets its second clip only after every other class of that kind has its first.
    """
    right = shares.argmax(axis=1) == labels
    chosen = []
    for kind in (right, ~right):
        turn: Counter[int] = Counter()
        order = []
        for i in sorted(np.flatnonzero(kind).tolist(), key=lambda i: (-shares[i].max(), i)):
            order.append((turn[int(labels[i])], i))
            turn[int(labels[i])] += 1
        chosen.append([i for _, i in sorted(order, key=lambda pair: pair[0])[:_EACH]])
    return chosen[0], chosen[1]
