"""Pictures for the report: the image, its truth, and what was predicted, in colours with names."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from openseg_ros.segmenter.phrase_colours import phrase_colours
from training.evaluation.data_set import NO_LABEL

STRENGTH = 0.6  # share of the colour, the rest is the image
UNLABELLED = 0.35  # brightness of pixels that do not count
LONGER_SIDE = 480  # pixels of one of the three pictures
TEXT = 13  # pixels
SMALLEST_NAMED = 0.003  # of the picture; smaller areas have no room for a name


def triptych(image: np.ndarray, label: np.ndarray, prediction: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Image, truth and prediction side by side.

    Args:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) int, rows of `names`, NO_LABEL where nothing counts: dark in both pictures.
        prediction: (H, W) int, rows of `names`.
        names: of all classes. A class has one colour in both pictures.

    Returns:
        (h, 3 * w, 3) uint8 RGB.
    """
    scale = min(1.0, LONGER_SIDE / max(label.shape))
    size = max(1, round(label.shape[1] * scale)), max(1, round(label.shape[0] * scale))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    label, prediction = (
        cv2.resize(rows.astype(np.int32), size, interpolation=cv2.INTER_NEAREST) for rows in (label, prediction)
    )
    counts = label != NO_LABEL
    shown = np.union1d(label[counts], prediction[counts])
    colours = phrase_colours(names[row] for row in shown)
    palette = np.zeros((len(names), 3), np.float32)
    palette[shown] = np.array([colours[names[row]] for row in shown], np.float32).reshape(-1, 3)
    pictures = [_coloured(image, rows, counts, palette, names) for rows in (label, prediction)]
    return np.hstack([image, *pictures])


def _coloured(
    image: np.ndarray, rows: np.ndarray, counts: np.ndarray, palette: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    picture = image * UNLABELLED
    picture[counts] = image[counts] * (1 - STRENGTH) + palette[rows[counts]] * STRENGTH
    canvas = Image.fromarray(picture.round().astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(TEXT)
    for row in np.unique(rows[counts]):
        area = (rows == row) & counts
        if area.mean() < SMALLEST_NAMED:
            continue
        # The name stands where the class is widest, so that it lies in the area and not between two parts of it.
        depth = cv2.distanceTransform(np.pad(area, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        half = font.getlength(names[row]) / 2 + 2
        x = np.clip(x, half, max(half, canvas.width - half))
        y = np.clip(y, TEXT / 2, max(TEXT / 2, canvas.height - TEXT / 2))
        draw.text((float(x), float(y)), names[row], (255, 255, 255), font, "mm", stroke_width=2, stroke_fill=(0, 0, 0))
    return np.array(canvas)
