"""The network of pretraining: the parts that training takes from it, and heads that it leaves behind.

`trunk` and `main` have the paths that they have in LIFT-Net (lift_flax/models/lift_net.py).
"""

import jax
from flax import nnx
from jaxtyping import Array, Float

from lift_flax.config import Config
from lift_flax.models.build import make_main_stream, make_teacher
from lift_flax.models.functional import Network, Tree
from lift_flax.models.inputs import Streams, student_inputs
from lift_flax.models.layers.dense import Linear
from lift_flax.models.layers.precision import exact
from lift_flax.models.lift_net import Head, MainStream, luminous_tokens
from lift_flax.models.video_resnet import TRUNKS, VideoResNet

WIDTH = 128  # of an embedding, as in SimCLR (Chen et al., ICML 2020)
STREAMS = ("luminous", "main")


class PretextNet(nnx.Module):
    """The R(2+1)D and the main stream, each with a head that maps a clip to an embedding.

    Args:
      trunk: the R(2+1)D without its classifier; None where there is none.
      main: the main stream; None where it is not trained from scratch.
      dim: channels of both streams' tokens.
      order: whether a head on the R(2+1)D says if a clip is played backwards.
    """

    def __init__(self, trunk: VideoResNet | None, main: MainStream | None, dim: int, *, order: bool, rngs: nnx.Rngs):
        self.trunk: VideoResNet | None = nnx.data(trunk)
        self.main: MainStream | None = nnx.data(main)
        self.luminous_projector: Head | None = nnx.data(Head(dim, WIDTH, rngs=rngs) if trunk else None)
        self.main_projector: Head | None = nnx.data(Head(dim, WIDTH, rngs=rngs) if main else None)
        self.order: Linear | None = nnx.data(Linear(dim, 1, rngs=rngs) if trunk and order else None)

    @exact
    def __call__(
        self, dark: Float[Array, "N T H W 3"], luminous: Float[Array, "N T h w C"], *, train: bool
    ) -> dict[str, Array]:
        """Embeds normalised clips.

        Returns:
          "luminous" and "main" [N, WIDTH], the embedding of each stream that is there, and "order" [N], the logit of
          being played backwards; all float32.
        """
        out = {}
        if self.trunk is not None and self.luminous_projector is not None:
            with jax.named_scope("trunk"):
                features = self.trunk(luminous, train=train)["features"]  # [N, t, h, w, E]
            tokens = luminous_tokens(features, luminous.shape[1], "steps")  # [N, t, E]
            with jax.named_scope("head"):
                out["luminous"] = self.luminous_projector(tokens, train=train)
                if self.order is not None:
                    out["order"] = self.order(tokens.mean(axis=1))[:, 0]
        if self.main is not None and self.main_projector is not None:
            main = self.main(dark)
            with jax.named_scope("head"):
                out["main"] = self.main_projector(main, train=train)
        return out


def trained_streams(config: Config) -> tuple[str, ...]:
    """Those of `STREAMS` that pretraining trains: the R(2+1)D wherever a run has one, the main stream from scratch."""
    model = config.model
    has_trunk = model.streams != "main" or config.train.distill
    from_scratch = model.streams != "luminous" and model.pvit.unfreeze == "all" and not model.pvit.init_from
    return tuple(name for name, is_there in zip(STREAMS, (has_trunk, from_scratch), strict=True) if is_there)


def make_pretext(config: Config, rngs: nnx.Rngs) -> PretextNet:
    """The network of `config`, freshly initialised."""
    dim, streams = TRUNKS[config.model.teacher.name].widths[-1], trained_streams(config)
    trunk = make_teacher(config, None, rngs) if "luminous" in streams else None
    main = make_main_stream(config, dim, rngs) if "main" in streams else None
    return PretextNet(trunk, main, dim, order=config.pretrain.order_weight > 0, rngs=rngs)


def pretext_outputs(network: Network, config: Config, params: Tree, stats: Tree, streams: Streams, *, train: bool):
    """(outputs, new statistics) of the network on the dark and luminous streams of N clips."""
    return network.apply(params, stats, *student_inputs(config, streams), train=train)
