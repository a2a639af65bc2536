"""The numbers of a training run. Defaults are the paper's (4.1); where it is silent, the reason is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from openseg_ros.configuration import ConfigurationError, build_config, read_yaml
from openseg_ros.model.config import ModelConfig
from training.data.augmentation import AugmentationConfig
from training.data.sources import DataSource
from training.data.words import WordRule


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights are updated."""

    kind: Literal["sgd", "adamw"] = "sgd"  # paper silent; SGD with momentum is its framework's
    learning_rate: float = 0.005  # paper 4.1, for a backbone initialised from ALIGN; peak of the cosine schedule
    # The backbone's rate is this times the others'. 1 is the paper's one rate for all; a pretrained backbone behind
    # random heads keeps more of what it knows with less (DETR's is 0.1). 0: it stays as it is, but for the
    # statistics of its BatchNorms.
    backbone_factor: float = 1.0
    momentum: float = 0.9  # framework default
    weight_decay: float = 1e-5  # paper 4.1; on weights of convolutions and linear layers only
    warmup_steps: int = 500  # framework default; paper silent
    clip_norm: float = 10.0  # framework's EfficientNet-B7 segmentation configuration; paper silent


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    name: str = "openseg"
    method: Literal["openseg", "lseg"] = "openseg"  # lseg: the paper's baseline LSeg+ (4.3), per-pixel class names
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    text_encoder: str = "align"  # paper 4.1
    sources: tuple[DataSource, ...] = ()  # drawn with equal probability, paper 4.1
    words: WordRule = field(default_factory=WordRule)
    keep_probability: float = 0.75  # kp: app. H's best rows; section 4.1 says 0.5
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    segmentation_weight: float = 1.0  # alpha of eq. 5; not given in the paper
    grounding_weight: float = 1.0  # 1 in eq. 5; 0 trains the teacher of 3.3, or a first stage that only learns masks
    # Regions that words may choose in eq. 2. "all": every proposal (3.2). "labelled": of an image with masks only the
    # proposals that eq. 1 picks for them; else, where few kinds of images train, proposals that no mask holds in place
    # become detectors of the whole scene, and "floor" is found anywhere but on the floor (EXPERIMENTS.md).
    grounding_regions: Literal["all", "labelled"] = "all"
    grounding_sync: bool = False  # eq. 4 over each process's own batch (4.1); true: over all of them (app. F)
    # tau of eq. 2 is learned; the paper gives no bounds. 0.01 is CLIP's (a scale of 100), below it one region takes all
    # of a word and the loss overflows in bf16; 1 is where transformers' ALIGN starts and is as good as no softmax.
    temperature_bounds: tuple[float, float] = (0.01, 1.0)
    sync_batch_norm: bool = True  # on in the framework's B7 configurations; needs GPUs and more than one process
    activation_checkpointing: bool = False  # of the two heads: a quarter more work, for memory
    batch: int = 16  # images per process and backward pass; local batch of the paper, 64 processes give its 1024
    accumulation: int = 1  # backward passes per step: 8 processes need 8 of 16 images for the paper's 1024
    steps: int = 30_000  # paper 4.1, COCO
    # auto: bf16, the framework's on TPU, where the device computes in it, else fp32. A CPU without it takes eight times
    # as long in bf16 as in fp32.
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    workers: int = 1  # data loading processes for each training process
    init: str = ""  # model folder or pretrained backbone to start from (training/initialisation.py)
    log_every: int = 20  # steps
    checkpoint_every: int = 500  # steps
    picture_every: int = 1000  # steps
    tensorboard: bool = True  # scalars and pictures for TensorBoard in the output folder, beside log.jsonl

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        for name in ("batch", "accumulation", "steps", "log_every", "checkpoint_every", "picture_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' is {getattr(self, name)}; it must be at least 1")
        low, high = self.temperature_bounds
        if not 0 < low <= self.model.temperature <= high:
            raise ValueError(
                f"'model.temperature' is {self.model.temperature}; it must be positive and in 'temperature_bounds' "
                f"{low} .. {high}"
            )
        if not 0 < self.keep_probability <= 1:
            raise ValueError(f"'keep_probability' is {self.keep_probability}; it must be in (0, 1]")


def load_train_config(path: Path, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """Read a configuration: the file that its key `base` names (relative to it), its own keys, then `overrides`.

    Mappings are merged key by key; a list replaces the list below it.

    Raises:
        ConfigurationError: a file is missing or not YAML, bases form a circle, a key or value is wrong.
    """
    values = _merge(_read_with_base(path, ()), overrides or {})
    try:
        return build_config(TrainConfig, values)
    except ValueError as error:  # also from __post_init__ of a part
        raise ConfigurationError(f"{path}: {error}") from error


def parse_overrides(assignments: Sequence[str]) -> dict[str, Any]:
    """Turn `model.hidden_dim=64` into `{"model": {"hidden_dim": 64}}`; the value is YAML.

    Raises:
        ConfigurationError: an assignment without `=`, or a value that is not YAML.
    """
    merged: dict[str, Any] = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key:
            raise ConfigurationError(f"'{assignment}' is not of the form key=value, for example model.hidden_dim=64")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigurationError(f"the value of '{assignment}' is not YAML: {error}") from error
        for part in reversed(key.split(".")):
            value = {part: value}
        merged = _merge(merged, value)
    return merged


def _read_with_base(path: Path, readers: tuple[Path, ...]) -> dict[str, Any]:
    resolved = path.resolve()
    if resolved in readers:
        raise ConfigurationError(f"{path} is its own base, through {' -> '.join(p.name for p in readers)}")
    values = read_yaml(path)
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ConfigurationError(f"{path}: 'base' must name a YAML file, not {base!r}")
    return _merge(_read_with_base(path.parent / base, (*readers, resolved)), values)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(merged.get(key), Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged
