"""The picture for people: regions in colour over the image, with their names and what became of each query."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from openseg_ros.segmenter.phrase_colours import Colour, phrase_colours
from openseg_ros.segmenter.segmentation import Segmentation, Status

Box = tuple[int, int, int, int]  # x y width height, pixels

REGION_STRENGTH, TARGET_STRENGTH = 0.35, 0.5  # share of the colour, the rest is the image
DIMMED = 0.7  # brightness of what is no region, if there is a target to look at
SMALLEST_TEXT, LARGEST_TEXT = 9, 48  # pixels; where the smallest does not fit, there is no room for names
MAX_NAMED_REGIONS = 40  # more names hide the image
MAX_NAME_CHARACTERS = 40


def draw_overlay(image: np.ndarray, segmentation: Segmentation) -> np.ndarray:
    """Draw a segmentation over its image.

    Args:
        image: (H, W, 3) uint8 RGB, as it was segmented; left unchanged.
        segmentation: its answer.

    Returns:
        (H, W, 3) uint8 RGB. A phrase has the same colour in every picture.

    Raises:
        ValueError: the image is of another size or type than the segmentation.
    """
    size = (segmentation.height, segmentation.width)
    if image.shape != (*size, 3) or image.dtype != np.uint8:
        raise ValueError(f"the segmentation is of {(*size, 3)} uint8, the image {image.shape} {image.dtype}")
    colours = phrase_colours(segmentation.vocabulary.phrases)
    picture = _coloured(image, segmentation, colours)
    _draw_contours(picture, segmentation, colours)
    text_size = round(min(size) / 26)
    if text_size < SMALLEST_TEXT:
        return picture
    canvas = Image.fromarray(picture)
    _draw_texts(ImageDraw.Draw(canvas, "RGBA"), segmentation, colours, min(text_size, LARGEST_TEXT))
    return np.array(canvas)


def status_line(segmentation: Segmentation) -> str:
    """What became of the queries, in words."""
    if segmentation.status == Status.NO_QUERY:
        return "no query"
    results = segmentation.query_results
    parts = []
    if segmentation.status == Status.DEGRADED:
        parts.append("degraded: the network gave invalid numbers")
    for status, words in ((Status.AMBIGUOUS, "ambiguous"), (Status.NOT_FOUND, "not found")):
        texts = [_shortened(result.text) for result in results if result.status == status]
        if texts:
            parts.append(f"{words}: {', '.join(texts)}")
    found = sum(result.region is not None for result in results)
    parts += [result.reason for result in results if result.reason]
    return "   ".join([*parts, f"{found} of {len(results)} found"])


def _coloured(image: np.ndarray, segmentation: Segmentation, colours: dict[str, Colour]) -> np.ndarray:
    """Mix each region's colour into the image, by tables over the region ids."""
    regions = segmentation.regions
    colour = np.zeros((len(regions) + 1, 3), np.float32)
    strength = np.zeros((len(regions) + 1, 1), np.float32)
    for region, phrase in zip(regions.id, regions.phrase, strict=True):
        colour[region] = colours[phrase]
        strength[region] = TARGET_STRENGTH if region == segmentation.target_region else REGION_STRENGTH
    dimmed = DIMMED if segmentation.target_region is not None else 1.0
    picture: np.ndarray = cv2.convertScaleAbs(image, alpha=dimmed)
    instances = segmentation.instances
    inside = instances > 0  # regions are mostly a small part of the image
    ids = instances[inside]
    picture[inside] = (image[inside] * (1 - strength)[ids] + (colour * strength)[ids]).round().astype(np.uint8)
    return picture


def _draw_contours(picture: np.ndarray, segmentation: Segmentation, colours: dict[str, Colour]) -> None:
    regions = segmentation.regions
    width = max(1, round(min(picture.shape[:2]) / 300))
    masks = segmentation.region_masks()
    # The target comes last: no other line crosses its own.
    order = sorted(range(len(regions)), key=lambda row: regions.id[row] == segmentation.target_region)
    for row in order:
        x, y = (int(value) for value in regions.roi[row][:2])
        outlines, _ = cv2.findContours(masks[row], cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(x, y))
        if regions.id[row] == segmentation.target_region:
            cv2.drawContours(picture, outlines, -1, (255, 255, 255), 3 * width, cv2.LINE_AA)
        cv2.drawContours(picture, outlines, -1, colours[regions.phrase[row]], width, cv2.LINE_AA)


def _draw_texts(
    draw: ImageDraw.ImageDraw, segmentation: Segmentation, colours: dict[str, Colour], text_size: int
) -> None:
    """Names beside their regions, the target's first because the first has the choice of places; a status line."""
    size = (segmentation.height, segmentation.width)
    font = _font(text_size)
    padding = max(2, text_size // 5)
    line_height = text_size + 2 * padding
    bar = (0, size[0] - line_height, size[1], line_height)
    taken: list[Box] = [bar]
    regions = segmentation.regions
    order = sorted(range(len(regions)), key=lambda row: regions.id[row] != segmentation.target_region)
    for row in order[:MAX_NAMED_REGIONS]:
        is_target = regions.id[row] == segmentation.target_region
        name = f"{_shortened(regions.phrase[row])} {regions.score[row]:.2f}"
        width = round(font.getlength(name)) + 2 * padding
        x, y, region_width, region_height = map(int, regions.roi[row])
        box = _place((width, line_height), (x, y, region_width, region_height), taken, size)
        taken.append(box)
        colour = colours[regions.phrase[row]]
        x, y = box[:2]
        draw.rectangle(
            (x, y, x + width - 1, y + line_height - 1),
            fill=(*colour, 255 if is_target else 215),
            outline=(255, 255, 255) if is_target else None,
        )
        draw.text((x + padding, y + line_height / 2), name, _readable_on(colour), font, anchor="lm")
    draw.rectangle((0, bar[1], size[1], size[0]), (0, 0, 0, 170))
    line = status_line(segmentation)
    while len(line) > 1 and font.getlength(line) > size[1] - 2 * padding:
        line = line[:-2] + "…"
    draw.text((padding, bar[1] + line_height / 2), line, (255, 255, 255), font, anchor="lm")


def _place(label: tuple[int, int], region: Box, taken: list[Box], size: tuple[int, int]) -> Box:
    """The place near a region, inside the image, that hides least of the labels placed before."""
    (width, height), (x, y, region_width, region_height) = label, region
    middle = x + (region_width - width) // 2
    candidates = (
        (x, y - height),  # above
        (middle, y + (region_height - height) // 2),  # in the middle
        (x, y + region_height),  # below
        (x, y),
        (x + region_width, y),  # beside
        (x - width, y),
        (x, y + region_height - height),
        (middle, y - 2 * height),
        (middle, y + region_height + height),
    )
    best: Box = (0, 0, width, height)
    least = float("inf")
    for left, top in candidates:
        left = max(0, min(left, size[1] - width))
        top = max(0, min(top, size[0] - height))
        box = (left, top, width, height)
        hidden = sum(_common(box, other) for other in taken)
        if hidden < least:
            best, least = box, hidden
    return best


def _common(one: Box, other: Box) -> int:
    """Number of pixels in both boxes."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(across, 0) * max(down, 0)


def _readable_on(colour: Colour) -> Colour:
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]  # ITU-R BT.601
    return (0, 0, 0) if luma > 110 else (255, 255, 255)


def _shortened(phrase: str) -> str:
    return phrase if len(phrase) <= MAX_NAME_CHARACTERS else phrase[: MAX_NAME_CHARACTERS - 1] + "…"


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)  # Pillow's own: nothing to install; Latin script only
