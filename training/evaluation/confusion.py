"""Mean IoU from one confusion matrix over a whole split."""

from __future__ import annotations

import numpy as np


class ConfusionMatrix:
    """Counts pixels of (label, prediction) pairs; pixels with another label are ignored."""

    def __init__(self, classes: int) -> None:
        """`classes`: labels and predictions are 0 .. classes - 1."""
        self.classes = classes
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, label: np.ndarray, prediction: np.ndarray) -> None:
        """Count one image: two integer arrays of one shape. Labels outside 0 .. classes - 1 are ignored.

        Raises:
            ValueError: the shapes differ, or the prediction of a labelled pixel is no class.
        """
        if label.shape != prediction.shape:
            raise ValueError(f"the label has shape {label.shape}, the prediction {prediction.shape}")
        kept = (label >= 0) & (label < self.classes)
        predicted = prediction[kept].astype(np.int64)  # so that no unsigned type turns the sum below into floats
        if predicted.size and not (predicted.min() >= 0 and predicted.max() < self.classes):
            # It would be counted, in the cell of another pair.
            raise ValueError(
                f"predictions {predicted.min()} .. {predicted.max()} are not all in 0 .. {self.classes - 1}"
            )
        pairs = label[kept].astype(np.int64) * self.classes + predicted
        self.counts += np.bincount(pairs, minlength=self.classes**2).reshape(self.classes, self.classes)

    def pixels(self) -> np.ndarray:
        """Pixels that are right, labelled and predicted, of each class: (3 classes,)."""
        return np.concatenate([np.diag(self.counts), self.counts.sum(1), self.counts.sum(0)])

    def iou(self) -> np.ndarray:
        """IoU per class, (classes,); NaN where a class has neither labelled nor predicted pixels."""
        correct = np.diag(self.counts).astype(np.float64)
        union = self.counts.sum(0) + self.counts.sum(1) - correct
        with np.errstate(invalid="ignore"):
            return correct / union

    def mean_iou(self) -> float:
        """Mean over the classes that have labelled pixels: detectron2's rule, our default."""
        return float(mean_iou(self.pixels()[None])[0])

    def mean_iou_of_union(self) -> float:
        """Mean over classes labelled or predicted anywhere: mmsegmentation's rule, lower on large vocabularies."""
        values = self.iou()
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def mean_iou(sums: np.ndarray) -> np.ndarray:
    """(R, 3 C) pixels right, labelled, predicted, of each class -> (R,) mean IoU of the labelled classes, or NaN."""
    right, labelled, predicted = np.split(sums, 3, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = right / (labelled + predicted - right)
        result: np.ndarray = np.where(labelled > 0, iou, 0).sum(1) / (labelled > 0).sum(1)
    return result
