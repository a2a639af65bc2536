"""A contact sheet: one small picture per sighting, with the found region's box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

TILE_WIDTH, TILE_HEIGHT, CAPTION = 320, 240, 24  # pixels
COLUMNS = 4
BOX_COLOUR = (255, 210, 0)  # red green blue


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture."""

    picture: np.ndarray  # (H, W, 3) uint8 RGB
    roi: tuple[int, int, int, int]  # x y width height, pixels of the picture
    caption: str


def contact_sheet(tiles: Sequence[Tile]) -> np.ndarray:
    """Arrange pictures in rows of four, each fitted into 320x240 above its caption.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    columns = min(COLUMNS, max(1, len(tiles)))
    rows = max(1, -(-len(tiles) // columns))
    sheet = Image.new("RGB", (columns * TILE_WIDTH, rows * (TILE_HEIGHT + CAPTION)), "black")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(CAPTION // 2 + 2)
    for number, tile in enumerate(tiles):
        left, top = number % columns * TILE_WIDTH, number // columns * (TILE_HEIGHT + CAPTION)
        fitted = _fitted(tile)
        sheet.paste(Image.fromarray(fitted), (left + (TILE_WIDTH - fitted.shape[1]) // 2, top))
        draw.text((left + 6, top + TILE_HEIGHT + 3), tile.caption, fill="white", font=font)
    return np.array(sheet)


def _fitted(tile: Tile) -> np.ndarray:
    height, width = tile.picture.shape[:2]
    scale = min(TILE_WIDTH / width, TILE_HEIGHT / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    fitted = cv2.resize(tile.picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x, y, box_width, box_height = tile.roi
    corner = (round(x * scale), round(y * scale))
    opposite = (round((x + box_width) * scale) - 1, round((y + box_height) * scale) - 1)
    return cv2.rectangle(fitted, corner, opposite, BOX_COLOUR, 2)
