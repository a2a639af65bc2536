"""An image as a pretrained network takes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from openseg_ros.segmenter.letterbox import Letterbox


def fit_longer_side(image: np.ndarray, side: int, multiple: int) -> tuple[Letterbox, np.ndarray]:
    """Scale an image so that its longer side has `side` pixels and both are multiples of `multiple`, without padding.

    Padding would be seen: by ALIGN's squeeze-and-excitation, which averages over the whole input, and by attention.

    Args:
        image: (H, W, 3) uint8 RGB.
        side: a multiple of `multiple`, pixels.
        multiple: pixels per cell of the network's answer.

    Returns:
        The geometry of answers, whose grids have no padding either, and (h, w, 3) uint8.
    """
    letterbox = Letterbox((image.shape[0], image.shape[1]), (side, side), multiple)
    height, width = letterbox.content_size
    return letterbox, letterbox.apply(image)[:height, :width]


def to_tensor(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float], device: str) -> Tensor:
    """(H, W, 3) uint8 to (1, 3, H, W) float32: pixels in [0, 1], minus `mean`, over `std`, per colour."""
    scaled = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(2, 0, 1)[None].float() / 255
    centre, spread = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (mean, std))
    return (scaled - centre) / spread


def check_multiple(side: int, multiple: int) -> int:
    """Return `side`.

    Raises:
        ValueError: it is not a positive multiple of `multiple`.
    """
    if side < multiple or side % multiple:
        raise ValueError(
            f"image size {side} is not a multiple of {multiple} pixels; the nearest is {_near(side, multiple)}"
        )
    return side


def _near(side: int, multiple: int) -> int:
    return max(1, round(side / multiple)) * multiple
