"""From a camera image to the network's input, with the paper's scale jitter and mild photometric changes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

PADDING = 128  # becomes 0 after normalisation, as in the released model


@dataclass(frozen=True)
class AugmentationConfig:
    """How strongly training images are varied."""

    scale: tuple[float, float] = (0.8, 1.2)  # uniform; paper 4.1
    flip_probability: float = 0.5  # paper silent; on in all configurations of the authors' framework (research A3)
    brightness: float = 0.0  # paper has no photometric change; 0.2 = factor in [0.8, 1.2]
    contrast: float = 0.0
    white_balance: float = 0.0  # independent factor per channel; keep small, captions name colours
    noise: float = 0.0  # largest standard deviation of Gaussian sensor noise, of 255


def augment(
    image: np.ndarray,
    ids: np.ndarray,
    size: tuple[int, int],
    config: AugmentationConfig,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale, crop or pad (bottom, right), flip and recolour one sample.

    Args:
        image: (H, W, 3) uint8.
        ids: (H, W) int32 segment ids.
        size: (height, width) of the network's input.
        config: strengths.
        random: the sample's own generator.

    Returns:
        image (height, width, 3) uint8 padded with 128, ids (height, width) int32 padded with 0,
        valid (height, width) bool.
    """
    height, width = size
    factor = min(height / image.shape[0], width / image.shape[1]) * random.uniform(*config.scale)
    scaled = max(1, round(image.shape[0] * factor)), max(1, round(image.shape[1] * factor))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    image = cv2.resize(image, scaled[::-1], interpolation=interpolation)
    ids = cv2.resize(ids, scaled[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    top = random.integers(0, max(0, scaled[0] - height) + 1)
    left = random.integers(0, max(0, scaled[1] - width) + 1)
    image, ids = (array[top : top + height, left : left + width] for array in (image, ids))
    if random.random() < config.flip_probability:
        image, ids = image[:, ::-1], ids[:, ::-1]
    image = _recolour(image, config, random)
    rows, columns = ids.shape
    padded = np.full((height, width, 3), PADDING, np.uint8)
    padded[:rows, :columns] = image
    padded_ids = np.zeros((height, width), np.int32)
    padded_ids[:rows, :columns] = ids
    valid = np.zeros((height, width), bool)
    valid[:rows, :columns] = True
    return padded, padded_ids, valid


def _recolour(image: np.ndarray, config: AugmentationConfig, random: np.random.Generator) -> np.ndarray:
    if not (config.brightness or config.contrast or config.white_balance or config.noise):
        return image
    gain = 1 + random.uniform(-config.contrast, config.contrast)
    offset = 128 * (1 - gain)
    factor = 1 + random.uniform(-config.brightness, config.brightness)
    channels = 1 + random.uniform(-config.white_balance, config.white_balance, 3)
    changed = image.astype(np.float32) * (factor * gain * channels).astype(np.float32) + np.float32(offset)
    if config.noise:
        deviation = 255 * random.uniform(0, config.noise)
        changed += deviation * random.standard_normal(image.shape, np.float32)
    clipped: np.ndarray = np.clip(changed, 0, 255).astype(np.uint8)
    return clipped
