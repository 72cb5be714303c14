"""Students that read the paper otherwise, or see more than it: together they use every field that says so."""

from lift_flax import presets

READINGS = {
    "any": {**presets.ANY_LIGHT, "model.levels": 2},
    "gate": {
        "model.fusion_residual": "gate",
        "model.pool": "attention",
        "model.positions": "learnt",
        "model.critic_mlp": 1,
        "model.foe_norm": "after",
        "model.levels": 2,
    },
    "places": {
        "model.pvit.output": "class+mean",
        "model.pvit.final_norm": True,
        "data.num_frames": 9,
        "model.luminous.tokens": "places",
        "model.positions": "learnt",
        "model.foe_norm": "branch",
        "model.levels": 2,
        "model.luminous.input": "both",
        "model.luminous.gamma_target": 58.0,
    },
    "steps of light": {
        "data.num_frames": 9,
        "model.luminous.tokens": "steps",
        "model.streams": "luminous",
        "model.positions": "learnt",
        "model.luminous.input": "motion",
        "model.main_input": "motion",  # which nothing reads
    },
    "late": {
        "model.output": "late",
        "model.main_input": "lit",
        "model.luminous.gamma_target": 58.0,
        "train.main_weight": 0.5,
        "train.distill_term": "kl",
    },
    "all heads": {
        "model.output": "levels+late",
        "model.main_input": "motion",
        "model.luminous.input": "motion",
        "model.fusion_residual": "both",
        "train.ema": 0.9,
        "train.clip_norm": 1.0,
        "train.label_smoothing": 0.1,
    },
}
