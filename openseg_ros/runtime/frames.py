"""Letterboxed images for comparing and calibrating engines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from openseg_ros.runtime.weights import Weights, WeightsError

FRAMES_FOLDER = "frames"  # of a model: pictures of the kind that it was made for
DRAWN_FRAMES = 2  # one without and one with padding
THINGS = 9  # per drawn frame: about what stands on a table


@dataclass(frozen=True)
class Frames:
    """B images as a network takes them."""

    images: np.ndarray  # (B, H, W, 3) uint8 RGB, padding 128
    valid: np.ndarray  # (B, h, w) float32, 1 where a grid cell shows the image

    def __len__(self) -> int:
        return len(self.images)

    def split(self, every: int) -> tuple[Frames, Frames]:
        """All but each `every`-th frame, and these."""
        chosen = np.arange(len(self)) % every == every - 1
        return Frames(self.images[~chosen], self.valid[~chosen]), Frames(self.images[chosen], self.valid[chosen])

    def __add__(self, others: Frames) -> Frames:
        """These frames, then `others`."""
        return Frames(np.concatenate([self.images, others.images]), np.concatenate([self.valid, others.valid]))


def frame_files(weights: Weights) -> list[Path]:
    """The pictures that a model brings along for comparisons; none if its folder has none."""
    return sorted((weights.folder / FRAMES_FOLDER).glob("*.jpg"))


def fixed_frames(weights: Weights, input_size: tuple[int, int]) -> Frames:
    """The frames of every comparison: the model's own pictures, else `drawn_frames`.

    Drawn shapes are not what a trained network knows, and rounding moves what it is unsure of: in bf16 the masks of one
    model have an IoU of 0.98 with the exact ones in pictures of tables, and of 0.93 in drawn shapes.

    Args:
        weights: the model.
        input_size: (H, W) of the network's input, pixels; pictures of another size are resized to it.

    Raises:
        WeightsError: a picture cannot be read.
    """
    stride = weights.description.model.head_stride
    files = frame_files(weights)
    if not files:
        return drawn_frames(input_size, stride)
    return _with_padding(np.stack([_picture(file, input_size) for file in files]), stride)


def _picture(file: Path, input_size: tuple[int, int]) -> np.ndarray:
    picture = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise WeightsError(f"{file} is damaged or no picture")
    return cv2.resize(picture, (input_size[1], input_size[0]), interpolation=cv2.INTER_AREA)


def drawn_frames(input_size: tuple[int, int], stride: int) -> Frames:
    """Shaded discs and boxes on a plane, the same on every machine.

    Noise would not do, since a trained network finds nothing in it. The last frame has padding at its foot.

    Args:
        input_size: (H, W) of the network's input, pixels.
        stride: input pixels per grid cell.
    """
    random = np.random.default_rng(6)
    return _with_padding(np.stack([_drawn(random, *input_size) for _ in range(DRAWN_FRAMES)]), stride)


def _with_padding(images: np.ndarray, stride: int) -> Frames:
    """`images` (B, H, W, 3) as frames, of which the last one gets padding at its foot."""
    valid = np.ones((len(images), images.shape[1] // stride, images.shape[2] // stride), np.float32)
    padding = valid.shape[1] // 8
    if padding:
        valid[-1, -padding:] = 0
        images[-1, -padding * stride :] = 128
    return Frames(images, valid)


def _drawn(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    light = np.linspace(0.75, 1.0, height)[:, None, None]
    image = np.broadcast_to(random.integers(90, 200, 3), (height, width, 3)) * light
    image = np.ascontiguousarray(image + random.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)
    side = min(height, width)
    for _ in range(THINGS):
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        shade = tuple(value * 2 // 3 for value in colour)
        x, y = int(random.integers(0, width)), int(random.integers(height // 4, height))
        size = int(random.integers(side // 16, side // 6))
        if random.random() < 0.5:
            cv2.circle(image, (x, y), size, colour, -1, cv2.LINE_AA)
            cv2.circle(image, (x, y), size * 2 // 3, shade, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(image, (x - size, y - size), (x + size // 2, y + size), colour, -1)
            cv2.rectangle(image, (x + size // 2, y - size), (x + size, y + size), shade, -1)
    return image
