"""Every field of an experiment, once: its type, bound, default and meaning.  The defaults are the paper's set-up.

docs/paper_notes.md gives the reading behind each.  A config file (configs/) starts from these and changes some; a flag
`--config.train.batch_size=16` sets any.  A field that is added later, and whose default would change what an old run
computes, says what its absence meant: `Annotated[bool, Added(before=False)] = True`.  One that gets another name says
which it had, and what old values mean: `Annotated[str, Was("old", {"x": "y"})] = ""`.
"""

import dataclasses
from typing import Annotated, Literal

from lift_flax.fields import Added, Auto, Bound, Was

KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
KINETICS_STD = (0.22803, 0.22145, 0.216989)
VIT_MEAN = VIT_STD = (0.5, 0.5, 0.5)  # of Google's and timm's ViTs
VIT_LN_EPS = 1e-6

Positive = Annotated[float, Bound(gt=0)]
NotNegative = Annotated[float, Bound(ge=0)]
Probability = Annotated[float, Bound(ge=0, le=1)]
BelowOne = Annotated[float, Bound(ge=0, lt=1)]
Count = Annotated[int, Bound(gt=0)]
Stops = Annotated[float, Bound(ge=0, le=20)]
Electrons = Annotated[float, Bound(ge=1, le=1e6)]
Colour = tuple[float, ...]  # of R, G and B
Sampling = Annotated[Literal["segments", "window"], Auto()]
LuminousInput = Annotated[Literal["gamma", "flow", "both", "motion"], Auto()]


@dataclasses.dataclass(frozen=True)
class Data:
    """Where clips come from, and their size."""

    dir: str = ""  # folder written by `lift-flax build`; or several, with commas: "dark,day"
    weights: str = ""  # how often clips of each folder are drawn, "2,1"; empty = by their numbers
    balance: Literal["none", "classes"] = "none"  # classes: within a folder each is drawn as often
    fold: int = 1  # official fold in folds.json
    num_frames: Count = 30  # T, frames of a clip
    sampling: Sampling = "segments"  # T frames spread over the whole clip, or T in a row
    stride: Annotated[int, Bound(ge=1, le=10_000)] = 1  # frames from one of a window to the next
    window_seconds: Annotated[float, Bound(ge=0, le=3600), Auto()] = (
        0.0  # that a window's T frames span; 0: by `stride`
    )
    short: Literal["loop", "hold"] = "loop"  # clips shorter than a window begin again, or hold their last frame
    test_windows: Annotated[int, Bound(ge=1, le=100), Auto()] = 1  # of a test clip, whose answers are averaged
    size: Count = 224  # px, side of the square dark frames
    val_share: BelowOne = 0.0  # share of the training groups kept for validation; 0 = use the last checkpoint
    features: Literal["compute", "cache"] = "compute"  # of a frozen ViT: each time, or once and kept beside the records
    feature_views: Annotated[int, Bound(ge=0, le=10_000)] = 0  # of a training clip, fixed; 0: drawn anew each time
    cache: Annotated[Literal["none", "memory"], Auto()] = "none"  # memory: all decoded clips; needs workers = 0
    workers: Annotated[int, Bound(ge=0)] = 2  # decoding processes of each process; 0 = threads within it


@dataclasses.dataclass(frozen=True)
class Augment:
    """Augmentations of the training clips: the probability of each, followed by its ranges."""

    flip: Probability = 0.5  # horizontal flip
    affine: Probability = 0.5  # affine warp
    scale: BelowOne = 0.1  # zoom drawn from 1 +- this
    rotate: Annotated[float, Bound(ge=0, lt=360)] = 10.0  # degrees, +-
    translate: BelowOne = 0.06  # share of the side, +-
    shear: Annotated[float, Bound(ge=0, lt=90)] = 5.0  # degrees, +-
    optical: Probability = 0.3  # optical distortion
    optical_k: Annotated[float, Bound(ge=0, lt=0.36)] = 0.15  # r -> r (1 + k r^2 + k r^4), k +- this; r in sides
    elastic: Probability = 0.3  # elastic distortion
    elastic_std: NotNegative = 3.0  # px at side 224 (scaled with the side): deviation of the points of a 7x7 grid
    jitter: Probability = 0.8  # colour jitter
    brightness: BelowOne = 0.2  # factor drawn from 1 +- this
    contrast: BelowOne = 0.2  # factor of the distance to the clip's mean level, 1 +- this
    saturation: BelowOne = 0.2  # factor of the distance to the pixel's own grey, 1 +- this
    hue: BelowOne = 0.05  # turns of the colour circle, +-
    exposure: Probability = 0.0  # photographed again in other light, with a sensor's noise
    exposure_darker: Stops = 5.0  # stops, at most
    exposure_lighter: Stops = 4.0  # stops, at most
    exposure_well: Electrons = 5000.0  # that saturate a pixel, at least; the fewer, the more noise
    exposure_wells: Annotated[float, Bound(ge=1, le=1000)] = 8.0  # times as many at most
    exposure_read_noise: Annotated[float, Bound(ge=0, le=1e4)] = 4.0  # electrons, at most
    rain: Probability = 0.1  # streaks of rain
    rain_slant: Annotated[float, Bound(ge=0, lt=90)] = 10.0  # degrees, +-
    rain_length: NotNegative = 20.0  # px at side 224 (scaled with the side), of a streak
    rain_speed: NotNegative = 30.0  # px at side 224 per frame
    rain_darken: BelowOne = 0.15  # share of its light that the scene behind the rain loses
    cutmix: Probability = 0.5  # a clip gets a box of its neighbour in the batch
    shuffle: Probability = 0.1  # a clip's frames are shuffled


@dataclasses.dataclass(frozen=True)
class Luminous:
    """The input of the R(2+1)D."""

    input: LuminousInput = "gamma"  # lit frames; stored flow; the two; differences in time
    gamma: Positive = 1.8  # exponent 1/gamma of the intensity correction
    gamma_target: Annotated[float, Bound(ge=0, lt=255)] = 0.0  # mean luma, by each clip's own gamma; 0 = one gamma
    size: Count = 224  # px, side of the luminous frames
    tokens: Literal["frames", "steps", "places"] = "frames"  # of the last map: T, one a step of time, one a place
    flow_mean: float = 128 / 255  # of coded flow in [0, 1], every channel; 128 is no motion
    flow_std: Annotated[float, Bound(gt=0), Auto()] = 0.226  # of coded flow, every channel

    @property
    def takes_flow(self) -> bool:
        """Whether it reads the optical flow of the records (--flow)."""
        return self.input in ("flow", "both")

    @property
    def channels(self) -> int:
        """How many channels the R(2+1)D sees."""
        return 5 if self.input == "both" else 3


@dataclasses.dataclass(frozen=True)
class Teacher:
    """The R(2+1)D: the teacher, and the trunk of the student's luminous stream."""

    name: Literal[  # which video ResNet
        "r2plus1d_34", "r2plus1d_34_shared", "r2plus1d_18", "r2plus1d_tiny",
        "r3d_34", "r3d_18", "r3d_tiny", "mc3_18", "hara_34",
    ] = "r2plus1d_34"  # fmt: skip
    mean: Colour = KINETICS_MEAN  # of the input in [0, 1], is subtracted
    std: Annotated[Colour, Bound(gt=0)] = KINETICS_STD  # of the input in [0, 1], divides
    bn_eps: Annotated[float, Bound(ge=0), Added(before=1e-3)] = 0.0  # of every BatchNorm; 0 = that of public weights
    bn_momentum: Probability = 0.9  # Flax convention: running = 0.9 running + 0.1 batch
    init_from: str = ""  # folder of converted weights (docs/weights.md); not the same as resuming


@dataclasses.dataclass(frozen=True)
class PViT:
    """The main stream's partial ViT."""

    blocks: Count = 5  # how many of the first blocks
    patch: Count = 16  # px, side of a square patch
    dim: Count = 768  # channels of a token
    num_heads: Count = 12  # heads of each block's attention
    mlp_dim: Count = 3072  # hidden width of each block's MLP
    gelu: Literal["exact", "tanh", "quick"] = "exact"  # exact is PyTorch's, tanh is Google's, quick is OpenAI's CLIP's
    ln_eps: Positive = VIT_LN_EPS  # of every LayerNorm, added to the variance
    qkv_bias: bool = True  # biases of queries, keys and values
    pre_norm: bool = False  # a LayerNorm before the first block, as CLIP has
    final_norm: bool = False  # a LayerNorm after the last block
    output: Literal["class", "class+mean"] = "class"  # of a frame: the class token; the mean of the patches beside it
    mean: Colour = VIT_MEAN  # of the input in [0, 1], is subtracted
    std: Annotated[Colour, Bound(gt=0)] = VIT_STD  # of the input in [0, 1], divides
    unfreeze: Literal["first", "all", "none"] = "first"  # which blocks are trained
    init_from: str = ""  # folder of converted weights

    @property
    def width(self) -> int:
        """How many numbers it makes of a frame."""
        return self.dim * (1 if self.output == "class" else 2)


@dataclasses.dataclass(frozen=True)
class Model:
    """LIFT-Net: two trunks, and N levels that fuse them."""

    streams: Literal["both", "main", "luminous"] = "both"  # which trunks answer
    main_input: Literal["frames", "lit", "motion"] = "frames"  # of the PViT: as filmed; lit; lit grey, its differences
    levels: Count = 8  # N, levels of LIFT, Critic and Fusion
    num_heads: Count = 8  # heads of every attention after the two trunks
    positions: Literal["none", "learnt"] = "none"  # of the tokens along time, added to both streams
    critic_mlp: Annotated[int, Bound(ge=1, le=2)] = 2  # linear maps in the Critic's MLP
    critic_mlp_ratio: Count = 4  # hidden width of the Critic's MLP, in units of E, where it has two
    fusion_scale: Literal["num_heads", "head_dim"] = "num_heads"  # Eq. 1 literally; head_dim is the usual scaling
    fusion_residual: Literal["luminous", "main", "both", "gate"] = "luminous"  # what Eq. 2 adds the attention to
    foe: bool = True  # Fourier Enhancement block in every fusion
    foe_norm: Annotated[  # what the LayerNorm of its spectrum takes mean and variance over
        Literal["plane", "branch", "after", "row"], Added(before="row")
    ] = "plane"
    pool: Literal["mean", "attention"] = "mean"  # of the fused tokens, before the head
    output: Literal["levels", "late", "levels+late"] = "levels"  # late: the streams' own logits, summed, no levels
    luminous: Luminous = Luminous()
    teacher: Teacher = Teacher()
    pvit: PViT = PViT()

    @property
    def main_is_lit(self) -> bool:
        """Whether the main stream reads lit frames, by the gamma of `luminous`."""
        return self.main_input != "frames" and self.streams != "luminous"


@dataclasses.dataclass(frozen=True)
class Remat:
    """What is computed again for the gradient instead of kept: memory for time."""

    trunk: bool = False  # residual blocks of the R(2+1)D
    pvit: bool = False  # blocks of the ViT
    levels: bool = False  # levels of LIFT, Critic and Fusion


@dataclasses.dataclass(frozen=True)
class Train:
    """The two phases of training."""

    batch_size: Count = 32  # B over all devices
    teacher_epochs: Count = 60  # passes over the training clips in the first phase
    student_epochs: Count = 60  # passes over the training clips in the second phase
    teacher_least_steps: Annotated[int, Bound(ge=0)] = 0  # a small set gets more epochs, until these steps are made
    student_least_steps: Annotated[int, Bound(ge=0)] = 0  # the same of the second phase
    patience: Annotated[int, Bound(ge=0)] = 0  # validations, none of them better, that end a phase; 0 = never
    best_by: Literal["top1", "loss"] = "top1"  # of the validation clips: by what the best checkpoint is chosen
    learning_rate: Positive = 1e-4  # AdamW, cosine to 0
    weight_decay: NotNegative = 0.01  # AdamW's, of every trained parameter
    adam_eps: Positive = 1e-8  # AdamW's, added to the root of the second moment
    warmup: BelowOne = 0.0  # share of a phase's steps in which the learning rate rises from 0, in a line
    clip_norm: NotNegative = 0.0  # gradients of a larger norm over all parameters are scaled down to it; 0 = never
    class_weights: Literal["none", "inverse"] = "none"  # of clips in the loss; inverse: rare classes count for more
    label_smoothing: BelowOne = 0.0  # share of each target that is spread over all classes
    ema: BelowOne = 0.0  # decay of a moving average of the weights, which then answers; 0 = the weights themselves
    distill: bool = True  # False: no teacher phase, the R(2+1)D is trained with the student
    distill_weight: NotNegative = 1.0  # weight of the distillation term in Eq. 6
    distill_term: Annotated[  # Eq. 6's distances of logits, their mean or sum over classes; or KL of softened answers
        Literal["l1_mean", "l1_sum", "kl"], Added(before="l1_sum")
    ] = "l1_mean"
    temperature: Annotated[float, Bound(ge=0.01, le=1000)] = 4.0  # divides the logits of both networks in the KL term
    init_from: Annotated[str, Auto()] = ""  # a run or package: what has its path and shape starts there, else anew
    teacher_from: str = ""  # workdir of a finished run whose teacher is taken: there is no teacher phase then
    main_weight: NotNegative = 0.0  # weight of the cross-entropy of the main stream's own head
    trunk: Literal["frozen", "finetune"] = "frozen"  # the student's R(2+1)D, when distilled
    checkpoint_epochs: Count = 1  # validate and save every so many epochs (and always at the end)
    precision: Annotated[  # of the two trunks' products; bfloat16 of their activations too; all else is float32
        Literal["float32", "tf32", "bfloat16"], Was("dtype", {"float32": "tf32"})
    ] = "tf32"
    accumulate: Count = 1  # parts that a batch is computed in, one after another; BatchNorm sees a part at a time
    profile_steps: str = ""  # "10:15" writes a trace of these steps of each phase
    remat: Remat = Remat()


@dataclasses.dataclass(frozen=True)
class Pretrain:
    """Learning from clips without their labels (`lift-flax pretrain`); all else is as `Train` says."""

    clips: Literal["train", "train+other"] = "train"  # of the fold; other: those that it neither trains nor tests on
    epochs: Count = 60  # passes over the clips
    least_steps: Annotated[int, Bound(ge=0)] = 0  # few clips get more epochs, until these steps are made
    temperature: Annotated[float, Bound(ge=0.01, le=100)] = 0.2  # divides the similarities of views
    order_weight: NotNegative = 1.0  # weight of telling whether a clip is played backwards; 0 = none is


@dataclasses.dataclass(frozen=True)
class Mesh:
    """How devices share the work."""

    data: int = -1  # devices along the batch; -1 = all that remain
    fsdp: Count = 1  # devices that share the parameters of one replica
    heartbeat_seconds: Count = 60  # a process that is silent for so long ends the whole run


@dataclasses.dataclass(frozen=True)
class Log:
    """What a run writes while it trains."""

    every_steps: Count = 10  # steps between lines of metrics.jsonl
    progress: bool = True  # a progress bar where the output is a terminal
    light_curve: bool = False  # after training the test clips are scored in nine exposures, too


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment."""

    dataset: str = ""  # name of the data set, for titles and results.json; empty: the name of the clips' folder
    auto: str = ""  # names of fields, with commas, that are chosen from the records; or set those to auto
    seed: Annotated[int, Bound(ge=0)] = 0  # the only source of randomness: weights, data order, augmentation
    data: Data = Data()
    augment: Augment = Augment()
    model: Model = Model()
    train: Train = Train()
    pretrain: Pretrain = Pretrain()
    mesh: Mesh = Mesh()
    log: Log = Log()


# The augmentations: the probabilities among the fields of Augment; its other fields are ranges.
AUGMENTATIONS = tuple(name for name, hint in Augment.__annotations__.items() if hint is Probability)
