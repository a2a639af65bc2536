"""Grounding loss: captions' words meet regions (paper 3.2, eq. 2 to 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.distributed import Gather


def caption_similarities(
    regions: Tensor, words: Tensor, word_exists: Tensor, temperature: Tensor, region_exists: Tensor | None = None
) -> Tensor:
    """G(I, C) of eq. 3 for every image with every caption.

    Args:
        regions: (B, N, D) region embeddings z, any length.
        words: (C, K, D) word embeddings, any length.
        word_exists: (C, K) bool.
        temperature: scalar tau of eq. 2.
        region_exists: (B, N) bool, at least one true in each image; None: all take part.

    Returns:
        (B, C); 0 for a caption without words.
    """
    regions = F.normalize(regions.float(), dim=-1)
    words = F.normalize(words.float(), dim=-1)
    # Only existing words are compared: captions differ much in length.
    caption_of_word, position = word_exists.nonzero(as_tuple=True)
    cosines = regions @ words[caption_of_word, position].T  # (B, N, W): region n of an image to word w
    logits = cosines / temperature
    if region_exists is not None:
        logits = logits.masked_fill(~region_exists[:, :, None], -torch.inf)
    attention = logits.softmax(dim=1)  # eq. 2 over the regions of one image
    per_word = (attention * cosines).sum(1)  # (B, W)
    counts = word_exists.sum(1).clamp(min=1).to(per_word.dtype)
    sums = per_word.new_zeros(per_word.shape[0], words.shape[0]).index_add(1, caption_of_word, per_word)
    return sums / counts


def grounding_loss(
    regions: Tensor,
    words: Tensor,
    word_exists: Tensor,
    temperature: Tensor,
    gather: Gather | None = None,
    region_exists: Tensor | None = None,
) -> Tensor:
    """L_G of eq. 4: the sum of both directions, caption to images and image to captions.

    Image b belongs to caption b. A caption without words, and its image, are left out of both softmaxes.

    Args:
        regions: (B, N, D).
        words: (B, K, D); K may differ between processes.
        word_exists: (B, K) bool.
        temperature: scalar tau, also that of the softmax over the batch (one symbol in eq. 2 to 4).
        gather: other processes whose images and captions take part ("sync" in app. F); None: this process's alone.
        region_exists: (B, N) bool, as for `caption_similarities`.

    Returns:
        A scalar, equal on all processes with `gather`; 0 (with gradient) when no caption has a word.
    """
    if gather is not None:
        # Frozen word vectors travel, and one row of G per image comes back: region features, the large tensors, stay.
        words, word_exists = gather.padded_rows(words), gather.padded_rows(word_exists)
    similarity = caption_similarities(regions, words, word_exists, temperature, region_exists)
    if gather is not None:
        similarity = gather.rows(similarity)
    captioned = word_exists.any(1)
    logits = similarity[captioned][:, captioned] / temperature
    own = torch.arange(logits.shape[0], device=logits.device)
    if not len(own):
        return similarity.sum() * 0.0
    return F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)
