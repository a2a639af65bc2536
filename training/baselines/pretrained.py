"""Weights of a compared system: a folder as transformers saves it, or a name on the Hugging Face hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from openseg_ros.runtime.engine import EngineError
from openseg_ros.runtime.weights import WeightsError


def load_pretrained(kind: type[Any], source: str, device: str = "cpu") -> Any:
    """Load a model in evaluation mode, float32, without gradients.

    Args:
        kind: a model class of transformers.
        source: folder, or "owner/name" on the hub.
        device: a torch device.

    Raises:
        WeightsError: no such folder, no network, another kind of model, damaged or incomplete files.
        EngineError: torch does not have the device.
    """
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    wanted = kind.config_class.model_type
    with reading(source):
        found = AutoConfig.from_pretrained(source).model_type
        if found != wanted:
            raise WeightsError(f"{source} is a {found} model; the system needs {wanted}")
        model, report = kind.from_pretrained(
            source, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
    missing = sorted(report["missing_keys"])
    if missing:  # transformers would go on with random numbers in their place
        raise WeightsError(f"{source} lacks {len(missing)} tensors of the model, for example {missing[0]}")
    try:
        return model.to(device).eval().requires_grad_(False)
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"torch cannot use device '{device}': {str(error).splitlines()[0]}") from error


def image_normalisation(source: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per colour (pixels in [0, 1]) that the model of `source` was trained with.

    Raises:
        WeightsError: the source does not say.
    """
    from transformers import AutoImageProcessor

    with reading(source):
        processor = AutoImageProcessor.from_pretrained(source)
    if not processor.image_mean or not processor.image_std:
        raise WeightsError(f"the preprocessor_config.json of {source} lacks image_mean or image_std")
    return tuple(processor.image_mean), tuple(processor.image_std)


def text_pool(text_features: Callable[..., Any], device: str) -> Callable[[dict[str, Tensor]], Tensor]:
    """What `TransformersTextEncoder` calls: a model's own text features, (P, D) float32, back on the CPU."""

    def pool(tokens: dict[str, Tensor]) -> Tensor:
        # No token types: CLIP's kin have none, and ALIGN's are 0 for a single sentence.
        given = {name: tokens[name].to(device) for name in ("input_ids", "attention_mask")}
        features: Tensor = text_features(**given).pooler_output
        return features.cpu()

    return pool


def tensor_hash(model: nn.Module) -> str:
    """sha256 over names, shapes and values of all tensors; the hub and a folder with the same weights agree."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Whatever transformers raises while it reads `source` becomes a sentence about it.

    Raises:
        WeightsError: no such folder, no network, damaged files.
    """
    if not Path(source).is_dir() and (source.count("/") != 1 or source.startswith(("/", ".", "~"))):
        raise WeightsError(f"there is no folder '{source}', and a name on the Hugging Face hub has the form owner/name")
    try:
        yield
    except WeightsError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(_sentence(source, error)) from error


def _sentence(source: str, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    if Path(source).is_dir():
        return f"cannot load the model in {source}: {reason}"
    return f"cannot load {source} from the Hugging Face hub ({reason}); without a network, give a folder with its files"
