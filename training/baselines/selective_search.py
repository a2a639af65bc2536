"""Selective search (Uijlings et al., IJCV 2013): classical proposals, for the recall of table 1."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from openseg_ros.runtime.engine import EngineError
from training.evaluation.class_list import ClassList

COUNT = 128  # proposals of every method in table 1


class SelectiveSearchSystem:
    """Boxes of segments that were merged by colour, texture, size and fill, by OpenCV's contrib modules.

    OpenCV gives the boxes of its segments and not the segments, so a proposal here is a full rectangle: it can hardly
    meet a mask that is not one. What is measured is a lower bound of the method's recall.
    """

    name = "selective_search"

    def __init__(self, count: int = COUNT) -> None:
        """Give at most `count` proposals.

        Raises:
            EngineError: this OpenCV has no contrib modules.
        """
        contrib = getattr(cv2, "ximgproc", None)
        if contrib is None:
            raise EngineError(
                f"{self.name} needs OpenCV's contrib modules: install opencv-contrib-python-headless in place of "
                "opencv-python-headless (both are the package cv2)"
            )
        self._segmentation = contrib.segmentation
        self._count = count

    def set_classes(self, classes: ClassList) -> None:
        """It has no words: nothing is encoded."""

    def predict(self, image: np.ndarray, truth: np.ndarray | None = None) -> BoxPrediction:
        """Search (H, W, 3) uint8 RGB in the fast mode; `truth` is not looked at."""
        search = self._segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))  # BGR
        search.switchToSelectiveSearchFast()
        boxes = np.asarray(search.process(), np.int64).reshape(-1, 4)
        return BoxPrediction(choose_boxes(boxes, self._count), (image.shape[0], image.shape[1]))


class BoxPrediction:
    """Rectangles without names."""

    def __init__(self, boxes: np.ndarray, image_size: tuple[int, int]) -> None:
        """`boxes` (N, 4) int: x, y, width, height; `image_size` (H, W), pixels."""
        rows, columns = np.arange(image_size[0]), np.arange(image_size[1])
        x, y, width, height = (boxes[:, column, None] for column in range(4))
        inside_rows = (rows >= y) & (rows < y + height)
        inside_columns = (columns >= x) & (columns < x + width)
        self.proposals: np.ndarray = inside_rows[:, :, None] & inside_columns[:, None, :]

    def segment(self, rows: np.ndarray) -> None:
        """None: the method has no words."""


def choose_boxes(boxes: np.ndarray, count: int) -> np.ndarray:
    """The first `count` boxes in the method's order (its section 3.3): place in the hierarchy times a random number.

    OpenCV's own order comes from C's rand(), which no seed of ours reaches, and its boxes do not say their place in the
    hierarchy: the place among all boxes from large to small stands for it. The random numbers are torch's.

    Args:
        boxes: (M, 4) int, x, y, width, height.
        count: most boxes to keep.

    Returns:
        (N, 4) int.
    """
    x, y, width, height = boxes.T
    large_first = boxes[np.lexsort((x, y, width, height, -width * height))]
    rank = torch.rand(len(boxes)).numpy() * np.arange(1, len(boxes) + 1)
    chosen: np.ndarray = large_first[np.argsort(rank, kind="stable")[:count]]
    return chosen
