"""Letterboxed images for comparing and calibrating engines."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

DRAWN_FRAMES = 2  # one without and one with padding; some hundred regions with the shipped weights
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


def drawn_frames(input_size: tuple[int, int], stride: int) -> Frames:
    """The fixed frames of every comparison: shaded discs and boxes on a plane, the same on every machine.

    Noise would not do, since a trained network finds nothing in it. The last frame has padding at its foot.

    Args:
        input_size: (H, W) of the network's input, pixels.
        stride: input pixels per grid cell.
    """
    height, width = input_size
    random = np.random.default_rng(6)
    images = np.stack([_drawn(random, height, width) for _ in range(DRAWN_FRAMES)])
    valid = np.ones((DRAWN_FRAMES, height // stride, width // stride), np.float32)
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
