"""The systems that `--system` knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openseg_ros.runtime.engine import EngineError, create_engine
from openseg_ros.runtime.weights import load_weights
from openseg_ros.text.text_encoder import TextEncoder, load_text_encoder
from training.evaluation.openseg_system import OpenSegSystem
from training.evaluation.pixel_features import FeatureNetwork
from training.evaluation.pixel_systems import NoProposalSystem, TrueMaskSystem
from training.evaluation.system import System


class SystemChoiceError(ValueError):
    """There is no such system, or not with these options; the message says what there is."""


@dataclass(frozen=True)
class SystemOptions:
    """What the command line says about the system."""

    weights: str = "tabletop"  # model folder or shipped model
    backend: str = "auto"
    precision: str = "auto"
    device: str = "cpu"


@dataclass(frozen=True)
class LoadedSystem:
    """A system with what its report says of it."""

    system: System
    weights: str  # "tabletop/5aa2bec2bef7"
    sha256: str  # of the tensor file
    engine: str  # "openvino bf16 CPU"


def load_system(name: str, options: SystemOptions) -> LoadedSystem:
    """Load a system.

    Raises:
        SystemChoiceError: an unknown name, or options that the system does not take.
        WeightsError, EngineError, TextEncoderError: its parts cannot be loaded.
    """
    if name not in SYSTEMS:
        raise SystemChoiceError(f"unknown system '{name}'; there are {', '.join(SYSTEMS)}")
    return SYSTEMS[name](options)


def _openseg(options: SystemOptions) -> LoadedSystem:
    weights = load_weights(options.weights)
    engine = create_engine(weights, options.backend, precision=options.precision, device=options.device)
    encoder = load_text_encoder(weights.description.text_encoder)
    system = OpenSegSystem(engine, encoder, weights.description.calibration)
    return LoadedSystem(system, weights.embedding_space, weights.sha256, engine.name)


def _no_proposals(options: SystemOptions) -> LoadedSystem:
    return _on_features(NoProposalSystem, options)


def _true_masks(options: SystemOptions) -> LoadedSystem:
    return _on_features(TrueMaskSystem, options)


def _on_features(kind: Callable[[FeatureNetwork, TextEncoder], System], options: SystemOptions) -> LoadedSystem:
    if options.backend == "openvino" or options.precision == "bf16":
        raise SystemChoiceError(
            f"backend {options.backend} and precision {options.precision} do not go with this system: only the torch "
            "network in fp32 gives features of pixels"
        )
    weights = load_weights(options.weights)
    encoder = load_text_encoder(weights.description.text_encoder)
    try:
        network = FeatureNetwork(weights.build_network(), options.device)
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"torch cannot use device '{options.device}': {str(error).splitlines()[0]}") from error
    return LoadedSystem(kind(network, encoder), weights.embedding_space, weights.sha256, f"torch fp32 {options.device}")


SYSTEMS: dict[str, Callable[[SystemOptions], LoadedSystem]] = {
    "openseg": _openseg,
    "openseg_no_proposals": _no_proposals,
    "openseg_true_masks": _true_masks,
}
