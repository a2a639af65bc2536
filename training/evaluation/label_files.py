"""Label files as they are stored: raw values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from training.data.broken_records import DatasetError


def read_values(path: Path) -> np.ndarray:
    """The values (H, W) int32 of a one-channel label image of 8 or 16 bits.

    A palette image gives its indices, not its colours: OpenCV would give the colours of Pascal VOC's.

    Raises:
        DatasetError: the file is missing, not an image, or has colours.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P", "I", "I;16", "I;16B"):
                raise DatasetError(
                    f"{path} is an image of mode {image.mode}; labels need one channel or a palette. Colours cannot be "
                    "told from anti-aliased ones: use the official file"
                )
            values: np.ndarray = np.array(image).astype(np.int32)
    except OSError as error:
        raise DatasetError(f"{path} is missing or not an image: {error}") from error
    return values


def rows_of(values: np.ndarray, table: np.ndarray, path: Path, ignored: tuple[int, ...] = ()) -> np.ndarray:
    """Rows (H, W) int32 of label values by `table`; -1 where the table says so.

    Args:
        values: (H, W) int.
        table: (V,) int32 from `ClassList.rows_of_values`.
        path: for the message.
        ignored: values outside the table that mean "not labelled".

    Raises:
        DatasetError: a value is neither in the table nor ignored: the labels of another list, or prepared by a script.
    """
    inside = (values >= 0) & (values < len(table))
    unknown = ~inside & ~np.isin(values, ignored)
    if unknown.any():
        found = np.unique(values[unknown])[:5].tolist()
        raise DatasetError(
            f"{path} has label values {found}; this data set ends at {len(table) - 1}. These are labels of another "
            "list, or were rewritten by a preparation script; use the official download"
        )
    rows: np.ndarray = np.where(inside, table[np.where(inside, values, 0)], np.int32(-1))
    return rows


def find_root(folder: Path, names: tuple[str, ...], marker: str) -> Path:
    """`folder` or its subfolder of one of `names`, whichever holds `marker`.

    Raises:
        DatasetError: none does; the message says what was looked for.
    """
    folder = folder.expanduser()
    for root in (folder, *(folder / name for name in names)):
        if (root / marker).exists():
            return root
    looked = ", ".join(str(folder / name) for name in names)
    raise DatasetError(
        f"{folder / marker} does not exist (also looked in {looked}): give the data set's official folder"
    )
