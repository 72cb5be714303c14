"""Networks for other people's code: made by name, with features, named arrays, a new head and pretrained weights."""

import dataclasses

import jax
import numpy as np
import pytest

import lift_flax
from lift_flax.calls import created_model
from lift_flax.errors import UserError
from lift_flax.models.functional import flatten
from lift_flax.models.video_resnet import TRUNKS
from lift_flax.weights import converted, torch_video
from tests.support.small_config import OVERRIDES
from tests.support.weights_tools import trunk_tensors

FIELDS = {name: value for name, value in OVERRIDES.items() if name.startswith("model.")}
FIELDS |= {"data.size": 32, "model.teacher.name": "r2plus1d_tiny"}


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60, (2, 8, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def student() -> lift_flax.CreatedModel:
    return lift_flax.create_model("lift_net", 4, fields=FIELDS)


def test_features_are_what_the_classifier_takes(student, clip):
    outputs, features = student(clip), student.features(clip)
    assert outputs["logits"].shape == outputs["teacher_logits"].shape == (2, 4) and features.shape == (2, 128)
    head = student.network.module(student.params, student.batch_stats).head
    np.testing.assert_allclose(head(features[:, None], train=False), outputs["logits"], rtol=1e-5, atol=1e-6)


def test_arrays_from_inside_have_names(student, clip):
    inside = student.intermediates(clip)
    np.testing.assert_allclose(inside["levels/0/fusion/attention"].sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(inside["fused"], student(clip)["fused"])


@pytest.mark.slow
def test_a_new_head_leaves_the_rest(student, clip):
    changed = student.reset_head(3)
    assert changed(clip)["logits"].shape == changed(clip)["teacher_logits"].shape == (2, 3)
    np.testing.assert_array_equal(changed.features(clip), student.features(clip))
    assert student(clip)["logits"].shape == (2, 4)  # a model never changes
    old, new = flatten(student.params), flatten(changed.params)
    assert old.keys() == new.keys()
    assert {path for path in old if old[path] is not new[path]} == {
        path for path in old if path.startswith(("head/", "trunk/fc/"))
    }


@pytest.mark.slow
def test_a_loop_of_ones_own(student, clip):
    """The pure function underneath: gradients, and statistics of the head's BatchNorm that follow the batch."""

    def loss(params):
        outputs, statistics = student.network.apply(params, student.batch_stats, *student.inputs(clip), train=True)
        return outputs["logits"][:, 0].sum(), statistics

    (_, statistics), grads = jax.value_and_grad(loss, has_aux=True)(student.params)
    assert flatten(grads).keys() == flatten(student.params).keys()
    mean = "head/norm/mean"
    assert not np.array_equal(flatten(statistics)[mean], flatten(student.batch_stats)[mean])


@pytest.mark.slow
def test_weights_of_a_folder_and_their_settings(tmp_path, clip):
    weights = torch_video.convert(trunk_tensors("r2plus1d_tiny", 7))
    facts = {**weights.facts, "bn_eps": 2e-3, "source": {"file": "w.pth", "sha256": "0"}}
    converted.save(dataclasses.replace(weights, facts=facts), "", tmp_path / "weights")
    model = lift_flax.create_model("r2plus1d_tiny", 7, trunk_weights=tmp_path / "weights")
    assert model.config.model.teacher.bn_eps == 2e-3
    found = {f"params/{path}": array for path, array in flatten(model.params).items()}
    found |= {f"batch_stats/{path}": array for path, array in flatten(model.batch_stats).items()}
    for path, array in weights.arrays.items():
        np.testing.assert_array_equal(found[path], array, err_msg=path)
    assert all(isinstance(array, jax.Array) for array in found.values())  # NumPy's would be copied at each call
    changed = model.reset_head(2)
    np.testing.assert_array_equal(changed.features(clip), model.features(clip))
    assert changed(clip)["logits"].shape == (2, 2)


@pytest.mark.parametrize("name", TRUNKS)
def test_bn_eps_is_that_of_the_trunk_unless_it_is_set(name):
    assert created_model._read_config(name, 0, {}, "", "").model.teacher.bn_eps == TRUNKS[name].bn_eps
    assert created_model._read_config(name, 0, {"model.teacher.bn_eps": 0.3}, "", "").model.teacher.bn_eps == 0.3
    of_a_student = created_model._read_config("lift_net", 0, {"model.teacher.name": name}, "", "")
    assert of_a_student.model.teacher.bn_eps == TRUNKS[name].bn_eps


@pytest.mark.parametrize(("arguments", "message"), [
    (("lift-net", 4), "no network is called 'lift-net': choose lift_net or one of r2plus1d_34"),
    (("lift_net", 0), "num_classes=0"),
    (("lift_net", 4, {"model.level": 2}), "config.model.level: no such field; did you mean config.model.levels?"),
])  # fmt: skip
def test_mistakes(arguments, message):
    name, num_classes, *fields = arguments
    with pytest.raises(UserError) as caught:
        lift_flax.create_model(name, num_classes, fields=fields[0] if fields else None)
    assert message in str(caught.value)
