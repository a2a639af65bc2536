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
def draw_masks_and_words(network: OpenSeg, batch: Batch, table: Tensor, words: Sequence[str]) -> np.ndarray:
    """One row per image: the image, all masks in colours, and where its first words are found.

    Args:
        network: its mode (training or evaluation) is left as it was.
        batch: the first images are drawn.
        table: (W, D) embeddings of `words`.
        words: what `batch.words` counts.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    batch = _first_images(batch)
    was_training = network.training
    network.eval()
    output = network(batch.images, batch.valid)
    network.train(was_training)
    masks = torch.sigmoid(output["mask_logits"].float()) * batch.valid[:, None]
    regions = F.normalize(output["embeddings"].float(), dim=-1)
    rows = []
    for index, image in enumerate(_pixels(batch)):
        tiles = [image, _colour_masks(masks[index], image.shape[:2])]
        present = batch.words[index][batch.word_exists[index]][:SHOWN_WORDS]
        for word in present:
            attention = (regions[index] @ table[word] / network.log_temperature.exp()).softmax(0)
            heat = (attention[:, None, None] * masks[index]).sum(0).clamp(0, 1)
            tiles.append(_heat(image, heat.cpu().numpy(), words[int(word)]))
        tiles += [np.zeros_like(image)] * (SHOWN_WORDS + 2 - len(tiles))
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


@torch.no_grad()
def draw_classes(network: OpenSeg, batch: Batch, table: Tensor, names: Sequence[str]) -> np.ndarray:
    """For LSeg+, one row per image: the image, its labels, the class of every grid cell, the names of the labels.

    Args:
        network: its mode (training or evaluation) is left as it was.
        batch: the first images are drawn.
        table: (K, D) embeddings of `names`.
        names: of the classes.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    batch = _first_images(batch)
    was_training = network.training
    network.eval()
    pixels = F.normalize(network.pixel_embeddings(batch.images).float(), dim=-1)
    network.train(was_training)
    found = (pixels @ table.T).argmax(-1).unflatten(1, batch.classes.shape[1:])
    palette = _palette(len(names) + 1)
    palette[-1] = 0  # unlabelled
    rows = []
    for index, image in enumerate(_pixels(batch)):
        truth = batch.classes[index].cpu().numpy()
        shown = [truth, np.where(truth < 0, -1, found[index].cpu().numpy())]
        size = image.shape[1::-1]
        maps = [cv2.resize(palette[classes], size, interpolation=cv2.INTER_NEAREST) for classes in shown]
        legend = np.zeros_like(image)
        for line, name in enumerate(np.unique(truth[truth >= 0])):
            _write(legend, names[name], 14 + 16 * line, palette[name].tolist())
        rows.append(np.hstack([image, *maps, legend]))
    return np.vstack(rows)


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB picture as PNG.

    Raises:
        OSError: the disk is full or not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())


def _first_images(batch: Batch) -> Batch:
    return Batch(**{name: value[:SHOWN_IMAGES] for name, value in vars(batch).items()})


def _pixels(batch: Batch) -> list[np.ndarray]:
    pixels = (batch.images.permute(0, 2, 3, 1) * PIXEL_CENTRE + PIXEL_CENTRE).clamp(0, 255)
    return list(pixels.cpu().numpy().astype(np.uint8))


def _palette(count: int) -> np.ndarray:
    return np.random.default_rng(7).integers(40, 255, (count, 3)).astype(np.uint8)


def _colour_masks(masks: Tensor, size: tuple[int, ...]) -> np.ndarray:
    owner = masks.argmax(0).cpu().numpy()
    covered = (masks.max(0).values > 0.5).cpu().numpy()
    palette = _palette(masks.shape[0])
    coloured: np.ndarray = cv2.resize(palette[owner] * covered[..., None], size[::-1], interpolation=cv2.INTER_NEAREST)
    return coloured


def _heat(image: np.ndarray, heat: np.ndarray, word: str) -> np.ndarray:
    heat = cv2.resize(heat, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    shown = (image * (0.35 + 0.65 * heat)).astype(np.uint8)
    _write(shown, word, 14, (255, 255, 0))
    return shown


def _write(image: np.ndarray, text: str, y: int, colour: Sequence[int]) -> None:
    cv2.putText(image, text, (4, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, tuple(colour), 1, cv2.LINE_AA)
