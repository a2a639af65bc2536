"""Text encoders in torch, loaded through transformers: MiniLM, ALIGN's BERT, CLIP. What other forms are held to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from openseg_ros.text.text_encoder import MAX_TOKENS, CachingTextEncoder, TextEncoderError

Pool = Callable[[dict[str, Tensor]], Tensor]  # the tokenizer's tensors -> (P, dim)


class TransformersTextEncoder(CachingTextEncoder):
    """A text tower of transformers with a pooling rule."""

    def __init__(self, *, name: str, source: str, pool: Pool) -> None:
        """`pool` maps the tokenizer's tensors to (P, dim); `source` is where the tokenizer is."""
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(source)
        self._pool = pool
        super().__init__(name)

    @torch.inference_mode()
    def _forward(self, texts: list[str]) -> np.ndarray:
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        vectors = self._pool(dict(tokens)).float()
        unit: np.ndarray = torch.nn.functional.normalize(vectors, dim=1).numpy()
        return unit


class MeanPooledBert(nn.Module):
    """Mean over the tokens, the pooling that the sentence-transformers MiniLM was trained with."""

    def __init__(self, bert: nn.Module) -> None:
        """Pool what `bert` says of each token."""
        super().__init__()
        self.bert = bert

    @classmethod
    def load(cls, source: str) -> MeanPooledBert:
        """Load a folder or a name on the hub."""
        from transformers import AutoModel

        return cls(AutoModel.from_pretrained(source)).eval().requires_grad_(False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(P, L) int64 tokens, and 1 where they are no padding -> (P, dim)."""
        states: Tensor = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        pooled: Tensor = (states * weights).sum(1) / weights.sum(1)
        return pooled


def load_transformers_text_encoder(name: str, source: str) -> TransformersTextEncoder:
    """Load the encoder `name` from a folder or a name on the hub.

    Raises:
        TextEncoderError: it is a model of another kind.
        OSError, ValueError: no network and no local copy, or damaged files.
    """
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.disable_progress_bar()  # loading takes a fraction of a second
    kind = AutoConfig.from_pretrained(source).model_type
    if kind not in _TOWERS:
        raise TextEncoderError(f"'{name}' is a {kind} model; a bert, align or clip model is needed")
    return TransformersTextEncoder(name=name, source=source, pool=_TOWERS[kind](source))


def _bert_tower(source: str) -> Pool:
    tower = MeanPooledBert.load(source)

    def pool(tokens: dict[str, Tensor]) -> Tensor:
        pooled: Tensor = tower(tokens["input_ids"], tokens["attention_mask"])
        return pooled

    return pool


def _align_tower(source: str) -> Pool:
    """[CLS] state through ALIGN's linear projection to 640; BERT's tanh pooler is not used."""
    from transformers import AlignModel

    full = AlignModel.from_pretrained(source).eval().requires_grad_(False)
    tower, projection = full.text_model, full.text_projection

    def pool(tokens: dict[str, Tensor]) -> Tensor:
        projected: Tensor = projection(tower(**tokens).last_hidden_state[:, 0])
        return projected

    return pool


def _clip_tower(source: str) -> Pool:
    from transformers import CLIPTextModelWithProjection

    model = CLIPTextModelWithProjection.from_pretrained(source).eval().requires_grad_(False)

    def pool(tokens: dict[str, Tensor]) -> Tensor:
        embeddings: Tensor = model(**tokens).text_embeds
        return embeddings

    return pool


_TOWERS: dict[str, Callable[[str], Pool]] = {
    "bert": _bert_tower,
    "align": _align_tower,
    "clip": _clip_tower,
    "clip_text_model": _clip_tower,
}
