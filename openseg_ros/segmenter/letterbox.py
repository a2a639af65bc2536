"""Between the camera's pixels and the network's: fit an image into the input, and bring masks back in place.

Three grids meet here. The *image* is the camera's, of any size. The *input* is the network's, of fixed size; the image
is scaled into its upper left part, the content, and the rest is padding. The network answers on a *grid* of cells, one
per `stride` input pixels. A sample lies at the centre of its pixel or cell (half-pixel convention) in all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

PADDING = 128  # mid grey, what the network saw in training
WHOLE_FRAME_SHARE = 1 / 8  # of the frame; a larger box is cheaper as a slice of the whole, resized by OpenCV


class ImageError(ValueError):
    """The array is not an image that can be segmented; the message says why."""


@dataclass(frozen=True)
class Letterbox:
    """Geometry of one image size in one network input; immutable, cheap to make.

    The content's sides are whole multiples of the stride. So every cell shows either the image or padding, never
    both, and cropping the grid is exact. The aspect ratio is kept but for that rounding, at most half a stride.
    """

    image_size: tuple[int, int]  # (H, W) camera pixels
    input_size: tuple[int, int]  # (H, W) network input pixels, multiples of the stride
    stride: int  # input pixels per cell

    def __post_init__(self) -> None:
        if min(self.image_size) < 1:
            raise ImageError(f"an image of {self.image_size[1]}x{self.image_size[0]} pixels has no content")
        if self.stride < 1 or any(side < self.stride or side % self.stride for side in self.input_size):
            raise ValueError(f"input size {self.input_size} is not a multiple of the stride {self.stride}")

    @cached_property
    def grid_size(self) -> tuple[int, int]:
        """(h, w) cells that show the image: the upper left part of the network's grid."""
        scale = min(side / pixels for side, pixels in zip(self.input_size, self.image_size, strict=True))
        height, width = (
            min(max(round(pixels * scale / self.stride), 1), side // self.stride)
            for side, pixels in zip(self.input_size, self.image_size, strict=True)
        )
        return height, width

    @cached_property
    def content_size(self) -> tuple[int, int]:
        """(H, W) input pixels that show the image."""
        return self.grid_size[0] * self.stride, self.grid_size[1] * self.stride

    @cached_property
    def valid(self) -> np.ndarray:
        """(h, w) float32 over the whole grid: 1 where a cell shows the image, 0 in the padding."""
        valid = np.zeros((self.input_size[0] // self.stride, self.input_size[1] // self.stride), np.float32)
        valid[: self.grid_size[0], : self.grid_size[1]] = 1
        return valid

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Scale and pad an image to the network's input.

        Args:
            image: (H, W, 3) uint8 RGB of `image_size`.

        Returns:
            (H, W, 3) uint8 of `input_size`.

        Raises:
            ImageError: another shape or type.
        """
        if image.dtype != np.uint8 or image.shape != (*self.image_size, 3):
            raise ImageError(
                f"expected {(*self.image_size, 3)} uint8, not {image.shape} {image.dtype}: an RGB image is needed"
            )
        height, width = self.content_size
        shrinks = height < image.shape[0] or width < image.shape[1]
        # Area averaging when shrinking: linear sampling would skip pixels, and thin objects with them.
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        padded = np.full((*self.input_size, 3), PADDING, np.uint8)
        padded[:height, :width] = cv2.resize(image, (width, height), interpolation=method)
        return padded

    def crop(self, grids: np.ndarray) -> np.ndarray:
        """(..., h, w) of the whole grid -> the cells that show the image, a view."""
        return grids[..., : self.grid_size[0], : self.grid_size[1]]

    def restore(self, grids: np.ndarray) -> np.ndarray:
        """(N, h, w) float32 of the whole grid -> (N, H, W) float32 at the image's pixels."""
        cropped = self.crop(grids)
        restored = np.empty((len(cropped), *self.image_size), np.float32)
        for source, target in zip(cropped, restored, strict=True):
            target[:] = self._resize(source)
        return restored

    def upsample(self, grid: np.ndarray, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        """Interpolate one map at the image's pixels, bilinear, nothing shifted.

        Only for quantities (logits, probabilities); never for ids or labels, whose mean means nothing.

        Args:
            grid: (h, w) float32, the cells that show the image.
            box: x, y, width, height in camera pixels; None for the whole image. A small box costs little.

        Returns:
            (height, width) float32.
        """
        if box is None:
            return self._resize(grid)
        x, y, width, height = box
        if width * height > WHOLE_FRAME_SHARE * self.image_size[0] * self.image_size[1]:
            return self._resize(grid)[y : y + height, x : x + width]
        low, high, weight = (samples[y : y + height] for samples in self._rows)
        rows = grid[low] + (grid[high] - grid[low]) * weight[:, None]
        low, high, weight = (samples[x : x + width] for samples in self._columns)
        left = rows[:, low]
        interpolated: np.ndarray = left + (rows[:, high] - left) * weight
        return interpolated

    def box_of(self, cells: np.ndarray) -> tuple[int, int, int, int]:
        """Camera pixels that the marked cells can influence: x, y, width, height, all 0 if no cell is marked.

        A bilinear sample depends on cells less than one cell away, so a map that is positive only in `cells` is not
        positive outside the box after `upsample`.

        Args:
            cells: (h, w) bool.
        """
        rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
        if not rows.size:
            return 0, 0, 0, 0
        top, bottom = _reach(rows[0], rows[-1], self.image_size[0], self.grid_size[0])
        left, right = _reach(columns[0], columns[-1], self.image_size[1], self.grid_size[1])
        return left, top, right - left, bottom - top

    def _resize(self, grid: np.ndarray) -> np.ndarray:
        resized: np.ndarray = cv2.resize(grid, self.image_size[::-1], interpolation=cv2.INTER_LINEAR)
        return resized

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _samples(self.image_size[0], self.grid_size[0])

    @cached_property
    def _columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _samples(self.image_size[1], self.grid_size[1])


def _samples(pixels: int, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per pixel of an axis: the cell below its centre, the cell above, and the weight of the upper one."""
    position = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    low = position.astype(np.intp)
    return low, np.minimum(low + 1, cells - 1), (position - low).astype(np.float32)


def _reach(first: int, last: int, pixels: int, cells: int) -> tuple[int, int]:
    """Pixels [start, stop) of an axis whose centres lie less than one cell from cells first..last."""
    start = int(np.floor((first - 0.5) * pixels / cells - 0.5))
    stop = int(np.ceil((last + 1.5) * pixels / cells + 0.5))
    return max(start, 0), min(stop, pixels)
