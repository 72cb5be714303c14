"""Converts a ViT, by the layout that the names of its tensors show; what is no such ViT is refused by name.

As a rule only the first blocks are kept: LIFT-Net reads the class token after them (paper section III-C).  The norm
after the last block is kept with all of them.
"""

import re
from typing import Any

import numpy as np
from flax import nnx

from lift_flax.errors import UserError
from lift_flax.models.functional import flatten, trees_of
from lift_flax.models.vit import PViT
from lift_flax.weights.converted import ConvertedWeights, Entry
from lift_flax.weights.copies import BESIDE
from lift_flax.weights.read_tensors import Tensors
from lift_flax.weights.vits import google, timm, transformers
from lift_flax.weights.vits.sizes import SIZES, agreed_heads

SETTINGS = ("gelu", "ln_eps", "qkv_bias", "pre_norm")  # of a PViT, beside its sizes
_READERS = {  # how the names begin that only this layout has -> its reader
    "patch_embed.": timm.read,
    "embeddings.patch_embeddings.": transformers.read,
    "embeddings.patch_embedding.": transformers.read_clip,
}
_DINO_V3 = "is DINOv3, whose positions are rotations: give DINOv2 without registers"
_REGISTERS = r"(^|\.)(reg_token|register_tokens?)$"
_REFUSED = (  # a name that shows another network -> what it is, and what to do
    (r"(^|\.)(rope_embeddings\.|layer\.0\.attention\.q_proj\.)", _DINO_V3),
    (_REGISTERS, "has register tokens: give the DINOv2 without them"),
    (
        r"(^|\.)(dist_token|distillation_token)$",
        "is a distilled DeiT, with two class tokens: give one that is not distilled, as deit_base_patch16_224",
    ),
    (r"\.mlp\.(w12|w3|weights_in|weights_out)\.", "has SwiGLU in its MLPs, as DINOv2's giant: give a smaller one"),
    (r"(^|\.)visual\.transformer\.resblocks\.", "is CLIP in the spelling of OpenAI: give that of transformers or timm"),
    (r"(^|\.)encoder_layer_0\.", "is a ViT in the spelling of torchvision: give that of timm, transformers or Google"),
    (r"(^|\.)(features\.|layer)[1-4]\.\d+\.", "looks like a video ResNet: convert it with `convert r2plus1d`"),
)


def convert(tensors: Tensors, blocks: int, num_heads: int | None = None, gelu: str | None = None) -> ConvertedWeights:
    """Renames the embeddings and the first `blocks` blocks to our names.

    Args:
      num_heads: of every attention; Google's tensors and DINOv2's width show it, others do not.
      gelu: that of the blocks; None takes the layout's own.

    Raises:
      UserError: no ViT that is known, fewer blocks, a tensor that is missing or has another shape, no number of heads
        or one that does not fit, or no GELU for a CLIP.
    """
    _refuse_others(tensors)
    try:
        read = next((_READERS[begin] for begin in _READERS if any(n.startswith(begin) for n in tensors)), google.read)
        sources, facts, shown, folded = read(tensors, blocks)
        facts["num_heads"] = agreed_heads(facts["dim"], shown, num_heads)
    except KeyError as error:
        raise UserError(
            f"the file lacks {error.args[0]}: is it a ViT with a class token and at least {blocks} blocks? It holds "
            f"{', '.join(sorted(tensors)[:3])}, ..."
        ) from error
    except (ValueError, IndexError, TypeError) as error:  # a transposition or reshaping of another rank or size
        raise UserError(f"the file names its tensors like a ViT, but their shapes are not a ViT's ({error})") from error
    facts["gelu"] = _agreed_gelu(facts["gelu"], gelu)
    shapes = abstract_pvit(facts, final_norm="params/norm/scale" in sources)
    wrong = [
        f"{theirs} gives {array.shape} instead of {shapes[ours]}"
        for ours, (theirs, array) in sources.items()
        if array.shape != shapes[ours]
    ]
    if wrong:
        raise UserError(f"shapes disagree for {ours_of(facts)}: {'; '.join(wrong[:3])}: is the file whole?")
    used = {theirs.split("[")[0] for theirs, _ in sources.values()}
    left = {name: folded.get(name) or _why_ignored(name, blocks) for name in tensors if name not in used}
    return ConvertedWeights(
        kind="vit",
        arrays={ours: array for ours, (_, array) in sources.items()},
        entries=[Entry(ours, theirs, _stage(ours)) for ours, (theirs, _) in sources.items()],
        ignored=left | _rest(tensors, blocks),
        new={},
        facts=facts,
    )


def _refuse_others(tensors: Tensors) -> None:
    has_positions = any("pos" in name for name in tensors)
    for pattern, what in _REFUSED:
        if name := next((name for name in tensors if re.search(pattern, name)), None):
            is_v3 = pattern == _REGISTERS and not has_positions  # it has registers, too
            raise UserError(f"the file holds {name}: it {_DINO_V3 if is_v3 else what}")


def _agreed_gelu(usual: str | None, named: str | None) -> str:
    if not (gelu := named or usual):
        raise UserError(
            "the file is a CLIP, and its tensors do not show its GELU: add --gelu=quick (OpenAI's and MetaCLIP's) or "
            "--gelu=exact (LAION's and DataComp's)"
        )
    return gelu


def abstract_pvit(facts: dict[str, Any], *, final_norm: bool = False) -> dict[str, tuple[int, ...]]:
    """{"params/...": shape} of the PViT that `facts` describe."""
    params, _ = trees_of(nnx.eval_shape(lambda: pvit_of(facts, final_norm=final_norm)))
    return {f"params/{name}": leaf.shape for name, leaf in flatten(params).items()}


def pvit_of(facts: dict[str, Any], *, final_norm: bool = False) -> PViT:
    """The PViT that `facts` describe, freshly initialised.  Facts of earlier versions lack what CLIP needs."""
    sizes = [facts[name] for name in ("blocks", "patch", "dim", "num_heads", "mlp_dim")]
    options = {name: facts[name] for name in SETTINGS if name in facts}
    return PViT(facts["grid"] * facts["patch"], *sizes, **options, final_norm=final_norm, rngs=nnx.Rngs(0))


def ours_of(facts: dict[str, Any]) -> str:
    """The usual name of a ViT's sizes."""
    letters = {size.dim: size.letter for size in SIZES.values()}
    return f"ViT-{letters.get(facts['dim'], facts['dim'])}/{facts['patch']}"


def _stage(ours: str) -> str:
    parts = ours.split("/")
    if parts[1] == "blocks":
        return f"block {int(parts[2]) + 1}"
    return "last norm" if parts[1] == "norm" else "embeddings"


def _rest(tensors: dict[str, np.ndarray], blocks: int) -> dict[str, str]:
    """The later blocks of tensors that stack all blocks (scanned layers), as ignored parts of these tensors."""
    scanned = [name for name in tensors if "encoderblock/" in name and len(tensors[name]) > blocks]
    return {f"{name}[{blocks}:{len(tensors[name])}]": f"blocks after the first {blocks}" for name in scanned}


def _why_ignored(name: str, blocks: int) -> str:
    if name.startswith("opt/state"):
        return BESIDE
    if re.match(r"params/(txt/|t$|b$)", name):
        return "the text side of a two-tower network"
    if block := re.search(r"encoderblock_(\d+)/|^blocks\.(\d+)\.|^encoder\.layers?\.(\d+)\.", name):
        if int(next(filter(None, block.groups()))) >= blocks:
            return f"blocks after the first {blocks}"
    elif re.search(r"(^|/)(encoder_norm|norm|fc_norm|layernorm|post_layernorm)[./]", name):
        return "the norm after the last block"
    elif re.search(r"(^|/)(head|head_dist|pre_logits|classifier|pooler)[./]", name):
        return "the classifier"
    elif re.search(r"(^|\.)mask_token$", name):
        return "for pretraining, where patches are hidden"
    elif name.endswith("position_ids"):
        return "numbers of the positions"
    raise UserError(f"the file holds {name}, which is no part of a plain ViT: is it a file of another network?")
