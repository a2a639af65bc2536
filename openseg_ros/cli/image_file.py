"""Reads any common image file as what the segmenter takes: upright, RGB, 8 bits."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_MEGAPIXELS = 100  # of the largest cameras; a few GB of memory while it is segmented
_BLACK_TO_WHITE_16_BIT = 257  # 65535 / 255


class ImageFileError(Exception):
    """A file cannot be read as an image; the message is the reason, without the path."""


def read_image(path: Path) -> np.ndarray:
    """Read an image file.

    The camera's orientation (EXIF) is applied, transparent pixels become white, 16 bits are scaled to 8 over their full
    range. Of a file with several pictures the first is taken.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageFileError: no such file, not an image, damaged, or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warning about size; the limit here is our own
            with Image.open(path) as image:
                if image.width * image.height > MAX_MEGAPIXELS * 1e6:
                    raise ImageFileError(
                        f"{image.width}x{image.height} pixels; at most {MAX_MEGAPIXELS} megapixels are read"
                    )
                return _rgb(ImageOps.exif_transpose(image))
    except ImageFileError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"too large; at most {MAX_MEGAPIXELS} megapixels are read") from error
    except UnidentifiedImageError as error:
        reason = "the file is empty" if path.stat().st_size == 0 else "not an image in a known format"
        raise ImageFileError(reason) from error
    except Exception as error:  # decoders meet damaged data with exceptions of every kind
        if isinstance(error, OSError) and error.strerror:
            raise ImageFileError(error.strerror) from error
        raise ImageFileError(f"damaged ({error or type(error).__name__})") from error


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow gives as 16 or as 32
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ImageFileError(f"grey values from {values.min()} to {values.max()}; 8 or 16 bits are needed")
        grey = ((values + _BLACK_TO_WHITE_16_BIT // 2) // _BLACK_TO_WHITE_16_BIT).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ImageFileError("floating-point values, of which white is unknown; 8 or 16 bits are needed")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        coloured = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
    return np.array(image.convert("RGB"))
