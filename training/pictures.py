"""Pictures of masks and words while a network trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from openseg_ros.model.openseg import PIXEL_CENTRE, OpenSeg
from training.data.samples import Batch

SHOWN_IMAGES = 6
SHOWN_WORDS = 3


@torch.no_grad()
def save_pictures(path: Path, network: OpenSeg, batch: Batch, table: Tensor, words: Sequence[str]) -> None:
    """Write one row per image: the image, all masks in colours, and where its first words are found."""
    was_training = network.training
    network.eval()
    count = min(SHOWN_IMAGES, batch.images.shape[0])
    output = network(batch.images[:count], batch.valid[:count])
    network.train(was_training)
    masks = torch.sigmoid(output["mask_logits"].float()) * batch.valid[:count, None]
    regions = F.normalize(output["embeddings"].float(), dim=-1)
    height, width = batch.images.shape[-2:]
    rows = []
    for index in range(count):
        pixels = (batch.images[index].permute(1, 2, 0) * PIXEL_CENTRE + PIXEL_CENTRE).clamp(0, 255)
        image = pixels.cpu().numpy().astype(np.uint8)
        tiles = [image, _colour_masks(masks[index], (height, width))]
        present = batch.words[index][batch.word_exists[index]][:SHOWN_WORDS]
        for word in present:
            attention = (regions[index] @ table[word] / network.log_temperature.exp()).softmax(0)
            heat = (attention[:, None, None] * masks[index]).sum(0).clamp(0, 1)
            tiles.append(_heat(image, heat.cpu().numpy(), words[int(word)]))
        tiles += [np.zeros_like(image)] * (SHOWN_WORDS + 2 - len(tiles))
        rows.append(np.hstack(tiles))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def _colour_masks(masks: Tensor, size: tuple[int, int]) -> np.ndarray:
    owner = masks.argmax(0).cpu().numpy()
    covered = (masks.max(0).values > 0.5).cpu().numpy()
    palette = np.random.default_rng(7).integers(40, 255, (masks.shape[0], 3)).astype(np.uint8)
    coloured: np.ndarray = cv2.resize(palette[owner] * covered[..., None], size[::-1], interpolation=cv2.INTER_NEAREST)
    return coloured


def _heat(image: np.ndarray, heat: np.ndarray, word: str) -> np.ndarray:
    heat = cv2.resize(heat, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    shown = (image * (0.35 + 0.65 * heat)).astype(np.uint8)
    cv2.putText(shown, word, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 0), 1, cv2.LINE_AA)
    return shown
