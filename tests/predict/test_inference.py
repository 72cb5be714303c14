"""Answers without BatchNorm are those of the network that was trained."""

import functools
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lift_flax.augment.streams import clip_streams
from lift_flax.errors import UserError
from lift_flax.evaluate.scoring import NETWORKS
from lift_flax.export.comparing import random_inputs
from lift_flax.models.layers.norm import BatchNorm
from lift_flax.predict import inference
from lift_flax.predict.predictor import Predictor
from lift_flax.video.clips import Clip, Windows
from tests.support.readings import READINGS
from tests.support.trained_tools import random_trained

KINDS = {
    "both": ("tiny", {"model.levels": 2, "train.remat.levels": True}),
    "finetuned": ("tiny", {"train.trunk": "finetune", "train.remat.trunk": True}),
    "flow": ("tiny,luminous=flow", {"model.luminous.size": 24}),
    "bfloat16": ("tiny", {"train.precision": "bfloat16"}),
    **{name: ("tiny", fields) for name, fields in READINGS.items()},
}


@functools.cache
def _case(kind: str):
    """(run, what was trained answers: all outputs by name; two clips)"""
    trained = random_trained(KINDS[kind][0], **KINDS[kind][1])
    inputs = jax.tree.map(jnp.asarray, random_inputs(trained.config))
    views = clip_streams(inputs, trained.config)
    answers, _ = jax.jit(trained.outputs)(trained.params, trained.batch_stats, views)
    return trained, answers, inputs


SLOW = [pytest.param(kind, network, marks=pytest.mark.slow) for kind in KINDS for network in NETWORKS]


@pytest.mark.parametrize(
    ("kind", "network"),
    [("both", "student"), *(case for case in SLOW if case.values != ("both", "student"))],
)
def test_the_predictor_answers_as_what_was_trained(kind, network):
    trained, answers, inputs = _case(kind)
    predictor = Predictor(trained, network=network, batch_size=2)
    rows = [{name: np.asarray(part[i]) for name, part in inputs.items()} for i in (0, 1)]
    clips = [Clip(0.0, 1.0, np.arange(len(row["clip"])), row) for row in rows]
    found = predictor.probabilities(clips)
    expected = jax.nn.softmax(answers[NETWORKS[network]])
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-2 if kind == "bfloat16" else 1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3 and found.dtype == np.float32


@pytest.mark.parametrize(("kind", "dtype"), [("both", "f32"), pytest.param("bfloat16", "bf16", marks=pytest.mark.slow)])
def test_trunks_compute_in_the_precision_of_the_run(kind, dtype):
    trained, _, inputs = _case(kind)
    folded = inference.fold(trained)
    program = jax.jit(functools.partial(inference.answers, folded, "student"))
    text = program.lower(folded.arrays, inputs).as_text()
    convolutions = re.findall(r"stablehlo\.convolution.*->\s*tensor<[\dx]*x(\w+)>", text)
    assert convolutions and set(convolutions) == {dtype}


def test_folding_takes_all_batch_norms_out_and_leaves_the_run_alone():
    trained, _, _ = _case("both")
    before = jax.tree.map(np.array, (trained.params, trained.batch_stats))
    folded = inference.fold(trained)
    assert not [part for _, part in nnx.iter_modules(folded.student(folded.arrays)) if isinstance(part, BatchNorm)]
    jax.tree.map(np.testing.assert_array_equal, (trained.params, trained.batch_stats), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "teecher"}, "network='teecher' is unknown: choose teacher or student"),
        ({"batch_size": 0}, "batch_size=0: give a whole number of clips, 1 or more"),
        ({"fit": "stretch"}, "fit='stretch' is unknown: choose crop, pad or squeeze"),
    ],
    ids=str,
)
def test_wrong_options_are_reported_at_once(options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        Predictor(_case("both")[0], **options)


def test_a_pickled_predictor_keeps_its_options():
    trained = random_trained("tiny")
    predictor = Predictor(trained, threshold=0.7, fit="pad", windows=Windows(9.0), on_bad="warn")
    again = pickle.loads(pickle.dumps(predictor))
    for name in ("threshold", "preparation", "windows", "_on_bad"):
        assert getattr(again, name) == getattr(predictor, name), name
    assert again.preparation.fit == "pad" and Predictor(trained).preparation.fit == "crop"


def test_each_takes_several_videos():
    with pytest.raises(UserError, match=r"each\(\) takes several videos: give a list of them, not 'clip.mp4'"):
        Predictor(_case("both")[0]).each("clip.mp4")


@pytest.mark.parametrize("network", ["student", "teacher"])
@pytest.mark.parametrize("kind", ["both", pytest.param("finetuned", marks=pytest.mark.slow)])
def test_embeddings_are_what_the_classifier_takes(kind, network):
    """The classifier of the run gives the network's logits of them; and of a video they are the mean of its clips'."""
    trained, answers, inputs = _case(kind)
    shares, embeddings = jax.jit(functools.partial(inference.answers, inference.fold(trained), network))(
        inference.fold(trained).arrays, inputs
    )
    student = trained.network.module(trained.params, trained.batch_stats)
    if network == "student":
        logits = student.head(embeddings[:, None], train=False)  # [B, E] -> [B, 1, E], a mean of one token
    else:
        logits = (student.trunk if student.teacher is None else student.teacher).fc(embeddings)
    np.testing.assert_allclose(logits, answers[NETWORKS[network]], rtol=0, atol=1e-4)
    np.testing.assert_allclose(shares, jax.nn.softmax(answers[NETWORKS[network]]), rtol=0, atol=1e-5)
    assert embeddings.dtype == np.float32 and np.ptp(embeddings, axis=0).max() > 1e-3
