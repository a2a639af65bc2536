"""The numbers of a training run. Defaults are the paper's (4.1); where it is silent, the reason is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from openseg_ros.model.config import ModelConfig
from training.data.augmentation import AugmentationConfig
from training.data.coco import CocoSource
from training.data.words import WordRule


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights are updated."""

    kind: Literal["sgd", "adamw"] = "sgd"  # paper silent; SGD with momentum is its framework's (research A3)
    learning_rate: float = 0.005  # paper 4.1, for a backbone initialised from ALIGN
    momentum: float = 0.9  # framework default
    weight_decay: float = 1e-5  # paper 4.1; on weights of convolutions and linear layers only
    warmup_steps: int = 500  # framework default; paper silent
    clip_norm: float = 10.0  # framework's EfficientNet-B7 segmentation configuration; paper silent


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    name: str = "openseg"
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    text_encoder: str = "align"  # paper 4.1
    sources: tuple[CocoSource, ...] = ()
    words: WordRule = field(default_factory=WordRule)
    keep_probability: float = 0.75  # kp: app. H's best rows; section 4.1 says 0.5 (research A7)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    segmentation_weight: float = 1.0  # alpha of eq. 5; not given in the paper
    grounding_weight: float = 1.0  # 1 in eq. 5; 0 trains the teacher of 3.3, or a first stage that only learns masks
    batch: int = 16  # images per process; local batch of the paper, 64 processes give its 1024
    steps: int = 30_000  # paper 4.1, COCO
    precision: Literal["bf16", "no"] = "bf16"  # the framework's on TPU
    workers: int = 1  # data loading processes
    init: str = ""  # model folder to start from; tensors that fit in name and shape are taken
    log_every: int = 20  # steps
    checkpoint_every: int = 500  # steps
    picture_every: int = 1000  # steps
