"""The people of the street: bodies, clothes and what they carry, each drawn at random."""

from dataclasses import dataclass

import numpy as np

from ..outfit import Outfit, dress
from ..pose import SIDES, Body, Joints
from ..render import random_albedo


@dataclass(frozen=True)
class Person:
    """A body and its clothes.

    Attributes:
      body: the proportions.
      outfit: the colours.
      loose: how much wider than the body the clothes are, about 1.
      coat: reaches this far from the hips to the knees, 0 to 1; 0 is none.
      bag: radius of a bag on the back, in metres; 0 is none.
      hat: radius of a hat or of much hair, in metres; 0 is none.
      extras: colours of coat, bag and hat, [3,3].
    """

    body: Body
    outfit: Outfit
    loose: float
    coat: float
    bag: float
    hat: float
    extras: np.ndarray


def make_person(rng: np.random.Generator) -> Person:
    """Draws a person, from children to tall people, slight to stout."""
    skin = np.array([0.50, 0.29, 0.19]) * np.exp(rng.uniform(-1.3, 0.35))
    hair = np.array([0.06, 0.04, 0.025]) * np.exp(rng.uniform(-1, 1.8))
    shirt = random_albedo(rng, 0.03, 0.8, 0.9)
    trousers = shirt * rng.uniform(0.7, 1.1) if rng.random() < 0.2 else random_albedo(rng, 0.03, 0.6, 0.6)
    shoes = random_albedo(rng, 0.02, 0.7, 0.4)
    bare = rng.random(2) < (0.5, 0.3)
    return Person(
        body=Body(float(np.clip(rng.normal(1.68, 0.12), 1.2, 2.0)), rng.uniform(0.82, 1.3), rng.uniform(0.93, 1.05)),
        outfit=Outfit(skin, hair, shirt, trousers, shoes, bare_arms=bool(bare[0]), bare_legs=bool(bare[1])),
        loose=rng.uniform(0.95, 1.35),
        coat=rng.uniform(0.2, 1.0) if rng.random() < 0.25 else 0.0,
        bag=rng.uniform(0.08, 0.16) if rng.random() < 0.15 else 0.0,
        hat=rng.uniform(0.09, 0.14) if rng.random() < 0.25 else 0.0,
        extras=np.stack([shirt, random_albedo(rng, 0.03, 0.6, 0.8), random_albedo(rng, 0.02, 0.7, 0.8)]),
    )


def dressed(person: Person, joints: Joints, frames: Joints, eye: np.ndarray) -> list[tuple]:
    """Parts of a person for `render.join_capsules`.

    Args:
      person: whom to dress.
      joints: name -> [T,3] in world metres.
      frames: orientation of root, chest and head, [T,3,3].
      eye: place of the camera, [3] in world metres.
    """
    loose, h = person.loose, person.body.height
    parts = [
        (a, b, radius * loose, thick * loose, colour)
        if _is_cloth(colour, person.outfit)
        else (a, b, radius, thick, colour)
        for a, b, radius, thick, colour in dress(joints, frames, person.body, person.outfit, eye)
    ]
    if person.coat:
        for name, _ in SIDES:
            hem = joints[f"{name}_hip"] + person.coat * (joints[f"{name}_knee"] - joints[f"{name}_hip"])
            wide = 0.062 * h * person.body.build * loose
            parts.append(_part(joints[f"{name}_hip"], hem, wide, 1.15 * wide, person.extras[0]))
    if person.bag:
        back = frames["chest"] @ [0.0, 0.0, -0.09 * h]
        low, high = joints["waist"] + back, joints["waist"] * 0.3 + joints["neck"] * 0.7 + back
        parts.append(_part(low, high, person.bag, 0.9 * person.bag, person.extras[1]))
    if person.hat:
        at = joints["head"] + frames["head"] @ [0.0, 0.03 * h, -0.01 * h]
        parts.append(
            _part(at, at + frames["head"] @ [0.0, 0.025 * h, 0.0], person.hat, 0.7 * person.hat, person.extras[2])
        )
    return parts


def _is_cloth(colour: np.ndarray, outfit: Outfit) -> bool:
    return colour is outfit.shirt or colour is outfit.trousers


def _part(a: np.ndarray, b: np.ndarray, first: float, second: float, colour: np.ndarray) -> tuple:
    """A capsule between `a` and `b` [T,3] of these radii in metres."""
    radius = np.broadcast_to([first, second], (len(a), 2))
    return a, b, radius, radius, colour
