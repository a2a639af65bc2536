"""From a camera image to the network's input, with the paper's scale jitter and mild photometric changes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

PADDING = 128  # becomes 0 after normalisation, as in the released model
NO_BLUR = 0.2  # pixels of standard deviation below which a blur changes next to nothing
NO_LOSS = 100  # JPEG quality that stands for no compression


@dataclass(frozen=True)
class AugmentationConfig:
    """How strongly training images are varied."""

    scale: tuple[float, float] = (0.8, 1.2)  # uniform; paper 4.1
    flip_probability: float = 0.5  # paper silent; on in all configurations of the authors' framework
    brightness: float = 0.0  # paper has no photometric change; 0.2 = factor in [0.8, 1.2]
    contrast: float = 0.0
    white_balance: float = 0.0  # independent factor per channel; keep small, captions name colours
    noise: float = 0.0  # largest standard deviation of Gaussian sensor noise, of 255
    low_light: float = 0.0  # probability of a picture in 1/4 to 3/4 of the light, with thrice the noise
    blur: float = 0.0  # largest standard deviation of a Gaussian blur, pixels of the input: defocus and small motion
    jpeg_quality: int = 100  # lowest quality of JPEG compression, drawn up to 100; 100: none


@dataclass(frozen=True)
class Placement:
    """Where an image lies in the network's input: scaled, cropped or padded at the bottom and the right, mirrored."""

    image_size: tuple[int, int]  # (H, W) pixels of the image
    scaled_size: tuple[int, int]  # (H, W) of the whole image after scaling
    corner: tuple[int, int]  # (top, left) of the crop in the scaled image
    mirrored: bool
    input_size: tuple[int, int]  # (H, W) of the network's input

    @cached_property
    def shown_size(self) -> tuple[int, int]:
        """(rows, columns) of the input that show the image; the rest is padding."""
        rows, columns = (min(self.input_size[axis], self.scaled_size[axis] - self.corner[axis]) for axis in (0, 1))
        return rows, columns

    @cached_property
    def rows(self) -> np.ndarray:
        """Image row at the centre of each shown input row, int64."""
        return self._nearest(0)

    @cached_property
    def columns(self) -> np.ndarray:
        """Image column at the centre of each shown input column, int64; falling if mirrored."""
        columns = self._nearest(1)
        return columns[::-1] if self.mirrored else columns

    def valid(self, stride: int) -> np.ndarray:
        """(h, w) float32: share of each grid cell of `stride` pixels that shows the image."""
        rows, columns = (
            np.clip(shown / stride - np.arange(side // stride), 0, 1)
            for shown, side in zip(self.shown_size, self.input_size, strict=True)
        )
        return np.outer(rows, columns).astype(np.float32)

    def scale_and_crop(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (rows, columns, 3) uint8, without the padding."""
        shrinks = self.scaled_size[0] < self.image_size[0]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        scaled = cv2.resize(image, self.scaled_size[::-1], interpolation=interpolation)
        (top, left), (rows, columns) = self.corner, self.shown_size
        cropped: np.ndarray = scaled[top : top + rows, left : left + columns]
        return cropped[:, ::-1] if self.mirrored else cropped

    def _nearest(self, axis: int) -> np.ndarray:
        """Nearest image pixel of each shown input pixel; half-pixel convention, in whole numbers."""
        position = 2 * (self.corner[axis] + np.arange(self.shown_size[axis])) + 1
        nearest: np.ndarray = position * self.image_size[axis] // (2 * self.scaled_size[axis])
        return nearest


def draw_placement(
    image_size: tuple[int, int], input_size: tuple[int, int], config: AugmentationConfig, random: np.random.Generator
) -> Placement:
    """Draw scale, crop and mirroring: the image fits the input times the drawn scale (paper 4.1)."""
    factor = min(side / pixels for side, pixels in zip(input_size, image_size, strict=True))
    factor *= random.uniform(*config.scale)
    scaled = max(1, round(image_size[0] * factor)), max(1, round(image_size[1] * factor))
    top, left = (int(random.integers(0, max(0, scaled[axis] - input_size[axis]) + 1)) for axis in (0, 1))
    return Placement(image_size, scaled, (top, left), bool(random.random() < config.flip_probability), input_size)


def augment(
    image: np.ndarray, input_size: tuple[int, int], config: AugmentationConfig, random: np.random.Generator
) -> tuple[np.ndarray, Placement]:
    """Scale, crop or pad, mirror and recolour one image.

    Args:
        image: (H, W, 3) uint8.
        input_size: (height, width) of the network's input.
        config: strengths.
        random: the sample's own generator.

    Returns:
        (height, width, 3) uint8 padded with 128, and where the image lies in it, for its labels.
    """
    placement = draw_placement((image.shape[0], image.shape[1]), input_size, config, random)
    rows, columns = placement.shown_size
    padded = np.full((*input_size, 3), PADDING, np.uint8)
    padded[:rows, :columns] = _recolour(placement.scale_and_crop(image), config, random)
    return padded, placement


def _recolour(image: np.ndarray, config: AugmentationConfig, random: np.random.Generator) -> np.ndarray:
    """What light, lens, sensor and transport do to a picture, in this order; (H, W, 3) uint8."""
    gain = 1 + random.uniform(-config.contrast, config.contrast)
    offset = 128 * (1 - gain)
    factor = 1 + random.uniform(-config.brightness, config.brightness)
    channels = 1 + random.uniform(-config.white_balance, config.white_balance, 3)
    noise = config.noise
    if config.low_light and random.random() < config.low_light:
        factor, noise = factor * random.uniform(0.25, 0.75), 3 * noise
    changed = image.astype(np.float32) * (factor * gain * channels).astype(np.float32) + np.float32(offset)
    if config.blur and (sigma := random.uniform(0, config.blur)) > NO_BLUR:
        changed = np.asarray(cv2.GaussianBlur(changed, (0, 0), sigma))
    if noise:
        changed += 255 * random.uniform(0, noise) * random.standard_normal(image.shape, np.float32)
    recoloured: np.ndarray = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    if config.jpeg_quality < NO_LOSS:
        quality = int(random.integers(config.jpeg_quality, NO_LOSS + 1))
        _, packed = cv2.imencode(".jpg", recoloured, [cv2.IMWRITE_JPEG_QUALITY, quality])
        recoloured = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    return recoloured
