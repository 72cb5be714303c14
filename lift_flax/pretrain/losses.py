"""What pretraining minimises: two views of a clip agree, and its order is known.  No label is read.

Views agree by the normalised cross-entropy of SimCLR (Chen et al., ICML 2020): of all other views in the batch, each is
to be nearest to the other view of its own clip.  It works with small batches, because all views of other clips count
against it; its value without any learning is known, log(2B - 1) for B clips; and it says as an accuracy how far it is.
Invariance alone would make a clip and its reverse alike.  So whole clips are played backwards, both views of them, and
the R(2+1)D is to tell (the arrow of time: Wei et al., CVPR 2018).
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from lift_flax.config import Config
from lift_flax.pretrain.network import STREAMS


def agreement(embeddings: Float[Array, "B 2 E"], temperature: float) -> dict[str, Float[Array, ""]]:
    """How well the two views of each clip find one another among all views of the batch.

    Returns:
      "loss"; "top1", the share of views that are nearest to the other view of their own clip; and "std", the deviation
      of the embeddings on the unit sphere: 1 where they are spread over all of it, 0 where all are the same.
    """
    b, v, e = embeddings.shape
    views = embeddings.reshape(b * v, e)
    views = views / jnp.sqrt(jnp.square(views).sum(axis=-1, keepdims=True) + 1e-12)
    alike = jnp.dot(views, views.T, precision="highest") / temperature  # [2B, 2B]
    alike = jnp.where(jnp.eye(b * v, dtype=bool), -jnp.inf, alike)  # a view is not compared with itself
    other = jnp.arange(b * v).reshape(b, v)[:, ::-1].reshape(-1)
    loss = optax.softmax_cross_entropy_with_integer_labels(alike, other).mean()
    found = (alike.argmax(axis=-1) == other).mean(dtype=jnp.float32)
    return {"loss": loss, "top1": found, "std": jnp.sqrt(jnp.float32(e)) * views.std(axis=0).mean()}


def order(logits: Float[Array, "B 2"], backwards: Float[Array, "B"]) -> dict[str, Float[Array, ""]]:
    """How well both views of each clip tell whether it is played backwards: "order" (cross-entropy), "order_top1"."""
    targets = jnp.broadcast_to(backwards[:, None], logits.shape)
    right = ((logits > 0) == (targets > 0.5)).mean(dtype=jnp.float32)
    return {"order": optax.sigmoid_binary_cross_entropy(logits, targets).mean(), "order_top1": right}


def pretext(
    outputs: dict[str, Float[Array, "B 2 ..."]], backwards: Float[Array, "B"], config: Config
) -> dict[str, Float[Array, ""]]:
    """The loss of pretraining, and what it is made of.

    Args:
      outputs: of `PretextNet` for both views of each clip.
      backwards: 1 where a clip is played backwards, else 0.
    Returns:
      "loss", the sum; "top1" and "std" of `agreement`: the mean and the smaller one of the streams; the loss of each
      stream, as "luminous_agreement"; and what `order` gives, where clips are played backwards.
    """
    streams = {name: agreement(outputs[name], config.pretrain.temperature) for name in STREAMS if name in outputs}
    metrics = {f"{name}_agreement": found["loss"] for name, found in streams.items()}
    loss = jax.tree.reduce(jnp.add, metrics)
    if "order" in outputs:
        metrics |= order(outputs["order"], backwards)
        loss = loss + config.pretrain.order_weight * metrics["order"]
    top1, std = (jnp.stack([found[name] for found in streams.values()]) for name in ("top1", "std"))
    return {"loss": loss, "top1": top1.mean(), "std": std.min(), **metrics}
