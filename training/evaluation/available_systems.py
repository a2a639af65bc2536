"""The systems that `--system` knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2

from openseg_ros.runtime.engine import EngineError, create_engine
from openseg_ros.runtime.weights import load_weights
from openseg_ros.text.text_encoder import TextEncoder, load_text_encoder
from training.baselines import align, clipseg, groupvit
from training.baselines.align import Align
from training.baselines.align_proposals import AlignProposalsSystem
from training.baselines.clipseg import ClipSegSystem
from training.baselines.groupvit import GroupVitSystem
from training.baselines.selective_search import SelectiveSearchSystem
from training.evaluation.openseg_system import OpenSegSystem
from training.evaluation.pixel_features import CentredFeatures, FeatureNetwork, UnitFeatures
from training.evaluation.pixel_systems import NoProposalSystem, TrueMaskSystem
from training.evaluation.system import System

OURS = "tabletop"  # what is measured when nothing is said
Loaded = TypeVar("Loaded")


class SystemChoiceError(ValueError):
    """There is no such system, or not with these options; the message says what there is."""


@dataclass(frozen=True)
class SystemOptions:
    """What the command line says about the system."""

    weights: str | None = None  # model folder, shipped model, transformers folder or hub name; None = the system's own
    backend: str = "auto"
    precision: str = "auto"
    device: str = "cpu"
    align: str | None = None  # ALIGN beside our weights: transformers folder or hub name
    image_size: int | None = None  # longer side of the input of a compared system, pixels; None = its default


@dataclass(frozen=True)
class LoadedSystem:
    """A system with what its report says of it."""

    system: System
    weights: str  # "tabletop/5aa2bec2bef7"
    sha256: str  # of the tensor file; of a compared system, of its tensors
    engine: str  # "openvino bf16 CPU"


def load_system(name: str, options: SystemOptions) -> LoadedSystem:
    """Load a system.

    Raises:
        SystemChoiceError: an unknown name, or options that the system does not take.
        WeightsError, EngineError, TextEncoderError: its parts cannot be loaded.
    """
    if name not in SYSTEMS:
        raise SystemChoiceError(f"unknown system '{name}'; there are {', '.join(SYSTEMS)}")
    for option, systems in TAKEN_BY.items():
        if getattr(options, option) is not None and name not in systems:
            raise SystemChoiceError(
                f"--{option.replace('_', '-')} does not go with {name}; it is for {', '.join(systems)}"
            )
    return SYSTEMS[name](options)


def _openseg(options: SystemOptions) -> LoadedSystem:
    return _on_proposals(options)


def _openseg_attention(options: SystemOptions) -> LoadedSystem:
    return _on_proposals(options, by_attention=True)


def _on_proposals(options: SystemOptions, *, by_attention: bool = False) -> LoadedSystem:
    weights = load_weights(options.weights or OURS)
    engine = create_engine(weights, options.backend, precision=options.precision, device=options.device)
    encoder = load_text_encoder(weights.description.text_encoder)
    temperature = float(weights.state["log_temperature"].exp()) if by_attention else None
    system = OpenSegSystem(engine, encoder, weights.calibration, temperature)
    return LoadedSystem(system, weights.embedding_space, weights.sha256, engine.name)


def _no_proposals(options: SystemOptions) -> LoadedSystem:
    return _on_features(_system_without_proposals, options)


def _true_masks(options: SystemOptions) -> LoadedSystem:
    return _on_features(_system_of_true_masks, options)


def _lseg(options: SystemOptions) -> LoadedSystem:
    return _on_features(_cosine_system, options)


def _system_without_proposals(network: FeatureNetwork, encoder: TextEncoder) -> System:
    return NoProposalSystem(CentredFeatures(network) if network.centres_regions else network, encoder)


def _system_of_true_masks(network: FeatureNetwork, encoder: TextEncoder) -> System:
    return TrueMaskSystem(network, encoder, centred=network.centres_regions)


def _cosine_system(network: FeatureNetwork, encoder: TextEncoder) -> System:
    return NoProposalSystem(UnitFeatures(network), encoder, "lseg")


def _on_features(kind: Callable[[FeatureNetwork, TextEncoder], System], options: SystemOptions) -> LoadedSystem:
    _torch_only(options)
    weights = load_weights(options.weights or OURS)
    encoder = load_text_encoder(weights.description.text_encoder)
    try:
        network = FeatureNetwork(weights.build_network(), options.device)
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"torch cannot use device '{options.device}': {str(error).splitlines()[0]}") from error
    return LoadedSystem(kind(network, encoder), weights.embedding_space, weights.sha256, f"torch fp32 {options.device}")


def _align_cam(options: SystemOptions) -> LoadedSystem:
    source = options.weights or align.HUB_NAME
    loaded = _pretrained(Align.load, source, options)
    return _in_torch(
        NoProposalSystem(UnitFeatures(loaded), loaded.encoder, "align_cam"), source, loaded.sha256, options
    )


def _align_proposals(options: SystemOptions) -> LoadedSystem:
    weights = load_weights(options.weights or OURS)
    engine = create_engine(weights, options.backend, precision=options.precision, device=options.device)
    source = options.align or align.HUB_NAME
    loaded = _pretrained(Align.load, source, options)
    return LoadedSystem(
        AlignProposalsSystem(engine, loaded),
        f"{weights.embedding_space} + {_space(source, loaded.sha256)}",
        f"{weights.sha256} + {loaded.sha256}",
        f"{engine.name} + torch fp32 {options.device}",
    )


def _groupvit(options: SystemOptions) -> LoadedSystem:
    source = options.weights or groupvit.HUB_NAME
    system = _pretrained(GroupVitSystem.load, source, options)
    return _in_torch(system, source, system.sha256, options)


def _clipseg(options: SystemOptions) -> LoadedSystem:
    source = options.weights or clipseg.HUB_NAME
    system = _pretrained(ClipSegSystem.load, source, options)
    return _in_torch(system, source, system.sha256, options)


def _selective_search(options: SystemOptions) -> LoadedSystem:
    return LoadedSystem(SelectiveSearchSystem(), "no weights", "", f"opencv {cv2.__version__}")


def _pretrained(load: Callable[..., Loaded], source: str, options: SystemOptions) -> Loaded:
    size = {} if options.image_size is None else {"image_size": options.image_size}
    try:
        return load(source, options.device, **size)
    except ValueError as error:
        raise SystemChoiceError(str(error)) from error


def _in_torch(system: System, source: str, sha256: str, options: SystemOptions) -> LoadedSystem:
    _torch_only(options)
    return LoadedSystem(system, _space(source, sha256), sha256, f"torch fp32 {options.device}")


def _space(source: str, sha256: str) -> str:
    return f"{Path(source).resolve().name if Path(source).is_dir() else source}/{sha256[:12]}"


def _torch_only(options: SystemOptions) -> None:
    if options.backend == "openvino" or options.precision == "bf16":
        raise SystemChoiceError(
            f"backend {options.backend} and precision {options.precision} do not go with this system: it needs the "
            "torch network in fp32"
        )


SYSTEMS: dict[str, Callable[[SystemOptions], LoadedSystem]] = {
    "openseg": _openseg,
    "openseg_attention": _openseg_attention,
    "openseg_no_proposals": _no_proposals,
    "openseg_true_masks": _true_masks,
    "lseg": _lseg,
    "align_cam": _align_cam,
    "align_proposals": _align_proposals,
    "groupvit": _groupvit,
    "clipseg": _clipseg,
    "selective_search": _selective_search,
}
TAKEN_BY = {  # option: the systems that it is for
    "weights": tuple(name for name in SYSTEMS if name != "selective_search"),
    "align": ("align_proposals",),
    "image_size": ("align_cam", "align_proposals", "groupvit", "clipseg"),
}
