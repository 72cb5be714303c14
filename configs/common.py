"""Every field of an experiment, once, with its default and its meaning.

A leaf file such as `configs/arid.py` calls `get_config(arg, ...)`.  `arg` is what follows the colon in
`--config=configs/arid.py:PRESET,key=value,...`; both parts are optional:

  preset  paper (default, the same as large), large, medium, small (N = 8, 8, 6, 4 levels),
          fast (paper with the R(2+1)D at 112x112), tiny (random initialisation, for a CPU)
  keys    n, teacher, luminous, distill, unfreeze, vit_blocks, foe, streams: they override the preset
          and give every row of the paper's Table VI
Any field can also be set as `--config.train.batch_size=16`.
"""

from ml_collections import ConfigDict

KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
KINETICS_STD = (0.22803, 0.22145, 0.216989)


def defaults() -> ConfigDict:
    """The paper's set-up (docs/paper_notes.md gives the reading behind each field)."""
    c = ConfigDict()
    c.dataset = ""  # name of the data set: for titles and results.json
    c.seed = 0  # the only source of randomness: weights, data order, augmentation

    c.data = ConfigDict()
    c.data.dir = ""  # folder written by data_prep.build
    c.data.fold = 1  # official fold in folds.json
    c.data.num_frames = 30  # T, frames of a clip
    c.data.size = 224  # px, side of the square dark frames
    c.data.val_share = 0.0  # share of the training groups kept for validation; 0 = use the last checkpoint
    c.data.cache = "none"  # "memory" keeps all decoded clips in memory: for small sets, needs workers = 0
    c.data.workers = 2  # decoding processes of each process; 0 = threads within it

    c.augment = ConfigDict()
    c.augment.flip = 0.5  # probability of a horizontal flip
    c.augment.affine = 0.5  # probability of the affine warp
    c.augment.scale = 0.1  # zoom drawn from 1 +- this
    c.augment.rotate = 10.0  # degrees, +-
    c.augment.translate = 0.06  # share of the side, +-
    c.augment.shear = 5.0  # degrees, +-
    c.augment.optical = 0.3  # probability of the optical distortion
    c.augment.optical_k = 0.15  # r -> r (1 + k r^2 + k r^4) with k +- this; r is 1 a side's length from the centre
    c.augment.elastic = 0.3  # probability of the elastic distortion
    c.augment.elastic_std = 3.0  # px at side 224 (scaled with the side): deviation of the points of a 7x7 grid
    c.augment.jitter = 0.8  # probability of the colour jitter
    c.augment.brightness = 0.2  # factors drawn from 1 +- this
    c.augment.contrast = 0.2
    c.augment.saturation = 0.2
    c.augment.hue = 0.05  # turns of the colour circle, +-
    c.augment.rain = 0.1  # probability of rain
    c.augment.rain_slant = 10.0  # degrees, +-
    c.augment.rain_length = 20.0  # px at side 224 (scaled with the side), of a streak
    c.augment.rain_speed = 30.0  # px at side 224 per frame
    c.augment.rain_darken = 0.15  # share of its light that the scene behind the rain loses
    c.augment.cutmix = 0.5  # probability that a clip gets a box of its neighbour in the batch
    c.augment.shuffle = 0.1  # probability that a clip's frames are shuffled

    c.model = ConfigDict()
    c.model.streams = "both"  # both | main | luminous
    c.model.levels = 8  # N, levels of LIFT, Critic and Fusion
    c.model.num_heads = 8  # heads of every attention after the two trunks
    c.model.critic_mlp_ratio = 4  # hidden width of the Critic's MLP, in units of E
    c.model.fusion_scale = "num_heads"  # Eq. 1 literally; "head_dim" is the usual scaling
    c.model.foe = True  # Fourier Enhancement block in every fusion

    c.model.luminous = ConfigDict()
    c.model.luminous.input = "gamma"  # gamma: the frames, lit | flow: optical flow (records built with --flow)
    c.model.luminous.gamma = 1.8  # exponent 1/gamma of the intensity correction
    c.model.luminous.size = 224  # px, side of the luminous frames
    c.model.luminous.flow_mean = 128 / 255  # of coded flow in [0, 1], every channel; 128 is no motion
    c.model.luminous.flow_std = 0.226

    c.model.teacher = ConfigDict()  # the R(2+1)D: the teacher and the luminous trunk
    c.model.teacher.name = "r2plus1d_34"  # r2plus1d_34|34_shared|18|tiny, r3d_34|18|tiny, mc3_18, hara_34
    c.model.teacher.mean = KINETICS_MEAN  # of the input in [0, 1], RGB
    c.model.teacher.std = KINETICS_STD
    c.model.teacher.bn_eps = 1e-3  # IG65M's value; 1e-5 for weights from torchvision
    c.model.teacher.bn_momentum = 0.9  # Flax convention: running = 0.9 running + 0.1 batch
    c.model.teacher.init_from = ""  # folder of converted weights (docs/weights.md); not the same as resuming

    c.model.pvit = ConfigDict()  # the main stream's partial ViT
    c.model.pvit.blocks = 5  # how many of the first blocks
    c.model.pvit.patch = 16  # px
    c.model.pvit.dim = 768
    c.model.pvit.num_heads = 12
    c.model.pvit.mlp_dim = 3072
    c.model.pvit.gelu = "exact"  # exact (PyTorch) | tanh (Google)
    c.model.pvit.ln_eps = 1e-6
    c.model.pvit.qkv_bias = True  # biases of queries, keys and values
    c.model.pvit.mean = (0.5, 0.5, 0.5)
    c.model.pvit.std = (0.5, 0.5, 0.5)
    c.model.pvit.unfreeze = "first"  # first | all | none: which blocks are trained
    c.model.pvit.init_from = ""  # folder of converted weights

    c.train = ConfigDict()
    c.train.batch_size = 32  # B over all devices
    c.train.teacher_epochs = 60
    c.train.student_epochs = 60
    c.train.learning_rate = 1e-4  # AdamW, cosine to 0
    c.train.weight_decay = 0.01
    c.train.adam_eps = 1e-8
    c.train.distill = True  # False: no teacher phase, the R(2+1)D is trained with the student
    c.train.distill_weight = 1.0  # weight of the L1 term in Eq. 6
    c.train.teacher_from = ""  # workdir of a finished run whose teacher is taken: there is no teacher phase then
    c.train.trunk = "frozen"  # frozen | finetune: the student's R(2+1)D, when distilled
    c.train.checkpoint_epochs = 1  # save every so many epochs (and always at the end)
    c.train.dtype = "float32"  # float32 | bfloat16: of the trunks' activations; everything else stays float32
    c.train.accumulate = 1  # parts that a batch is computed in, one after another; BatchNorm sees a part at a time
    c.train.profile_steps = ""  # "10:15" writes a trace of these steps of each phase

    c.train.remat = ConfigDict()  # what is computed again for the gradient instead of kept: memory for time
    c.train.remat.trunk = False  # residual blocks of the R(2+1)D
    c.train.remat.pvit = False  # blocks of the ViT
    c.train.remat.levels = False  # levels of LIFT, Critic and Fusion

    c.mesh = ConfigDict()
    c.mesh.data = -1  # devices along the batch; -1 = all that remain
    c.mesh.fsdp = 1  # devices that share the parameters of one replica
    c.mesh.heartbeat_seconds = 60  # a process that is silent for so long ends the whole run

    c.log = ConfigDict()
    c.log.every_steps = 10  # steps between lines of metrics.jsonl
    c.log.progress = True  # a progress bar where the output is a terminal
    return c


def tiny(c: ConfigDict) -> None:
    """Both trunks small and from random initialisation: minutes on a laptop, for demonstration and tests."""
    c.data.num_frames, c.data.size, c.data.workers, c.data.cache = 12, 64, 0, "memory"
    c.model.levels, c.model.num_heads = 2, 4
    c.model.luminous.size = 64
    c.model.teacher.name = "r2plus1d_tiny"
    c.model.pvit.update(blocks=3, patch=16, dim=96, num_heads=3, mlp_dim=384, unfreeze="all")
    c.train.batch_size, c.train.learning_rate = 8, 1e-3
    c.train.teacher_epochs, c.train.student_epochs = 20, 8
    c.augment.affine, c.augment.jitter = 0.5, 0.5
    # Off: eight epochs of a student from random weights are too few for these, and the demo was tuned without them.
    c.augment.optical = c.augment.elastic = c.augment.rain = c.augment.cutmix = c.augment.shuffle = 0.0


def _levels(n: int):
    def preset(c: ConfigDict) -> None:
        c.model.levels = n

    return preset


def _fast(c: ConfigDict) -> None:
    c.model.luminous.size = 112


PRESETS = {
    "paper": _levels(8),
    "large": _levels(8),
    "medium": _levels(6),
    "small": _levels(4),
    "fast": _fast,
    "tiny": tiny,
}

_YES_NO = {"yes": True, "no": False}
KEYS = {  # key of the string argument -> (path of the field, how its text is read)
    "n": ("model.levels", int),
    "teacher": ("model.teacher.name", str),
    "luminous": ("model.luminous.input", str),
    "distill": ("train.distill", _YES_NO.__getitem__),
    "unfreeze": ("model.pvit.unfreeze", str),
    "vit_blocks": ("model.pvit.blocks", int),
    "foe": ("model.foe", _YES_NO.__getitem__),
    "streams": ("model.streams", str),
}


def get_config(arg: str | None, *, preset: str = "paper", **overrides) -> ConfigDict:
    """Defaults, then the preset (`preset` unless `arg` names one), then `overrides` (dotted names), then `arg`'s keys.

    Raises:
      ValueError: an unknown preset or key, or a value that the key does not take; the message lists what is known.
    """
    words = [word for word in (arg or "").split(",") if word]
    if words and "=" not in words[0]:
        preset = words.pop(0)
    if preset not in PRESETS:
        raise ValueError(f"unknown preset '{preset}' in the config's argument; known: {', '.join(PRESETS)}")
    c = defaults()
    PRESETS[preset](c)
    c.update_from_flattened_dict(overrides)
    for word in words:
        key, _, text = word.partition("=")
        if key not in KEYS:
            raise ValueError(f"unknown key '{key}' in the config's argument; known: {', '.join(KEYS)}")
        path, read = KEYS[key]
        try:
            c.update_from_flattened_dict({path: read(text)})
        except (KeyError, ValueError):
            raise ValueError(f"key '{key}' in the config's argument does not take '{text}'") from None
        if key == "teacher" and text not in ("r2plus1d_34", "r2plus1d_tiny"):
            c.model.teacher.bn_eps = 1e-5  # these follow torchvision
    return c.lock()
