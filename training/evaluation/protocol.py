"""Measures a system's masks and words image by image (paper 4.2, 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluation.confusion import ConfusionMatrix, mean_iou
from training.evaluation.data_set import NO_LABEL, AnnotatedImage, EvaluationSet
from training.evaluation.intervals import PerImageCounts, share
from training.evaluation.phrase_hits import phrase_hits
from training.evaluation.proposal_recall import THRESHOLDS, ProposalRecall
from training.evaluation.system import PhrasePrediction, Prediction

Figure = int | float | None  # None = not measured: the system or the data set has nothing to measure it on


@dataclass(frozen=True)
class ClassFigures:
    """One row of the per-class table; None where a class does not occur."""

    name: str
    iou: Figure
    grounding_iou: Figure
    pixels: int  # labelled
    images: int  # that show it


@dataclass(frozen=True)
class Measured:
    """One image's own figures, to find the worst."""

    prediction: np.ndarray | None  # (H, W) int32, rows of the data set's labels; None = the system has no words
    mean_iou: float  # over the classes labelled in this image; NaN if there are none, or no words


class Evaluation:
    """Collects mIoU, Grounding mIoU, proposal recall and phrase hits.

    Both mIoU are of one confusion matrix over all images. For Grounding mIoU a system is asked, image by image, for the
    classes labelled in it and no others; images of one class stay in, though every pixel is right there.
    """

    def __init__(self, data: EvaluationSet) -> None:
        """Measure on the labels of `data`."""
        self._data = data
        count = len(data.labels)
        self._all_rows = np.arange(len(data.queries))
        self.all_classes, self.grounding = ConfusionMatrix(count), ConfusionMatrix(count)
        self.recall = ProposalRecall()
        self.hits: list[bool] = []
        self._per_image = {name: PerImageCounts() for name in ("miou", "grounding_miou", "phrase_top1", *THRESHOLDS)}
        self.images = 0
        self._images_of_class = np.zeros(count, np.int64)
        self._recall_measured = True

    def add(self, annotated: AnnotatedImage, prediction: Prediction) -> Measured:
        """Count one image.

        Raises:
            ValueError: the prediction has another size, or a class that was not asked for.
        """
        measured = self._add_words(annotated.label, prediction)
        proposals = prediction.proposals
        if proposals is None:
            self._recall_measured = False
        else:
            best = self.recall.add(proposals, annotated.masks[~annotated.crowd])
            for name, threshold in THRESHOLDS.items():
                self._count(name, ((best >= threshold).sum(), len(best)))
        if annotated.phrases and isinstance(prediction, PhrasePrediction):
            hits = phrase_hits(prediction, annotated.masks, annotated.phrases)
            self.hits += hits
            self._count("phrase_top1", (sum(hits), len(hits)))
        self.images += 1
        return measured

    def result(self) -> dict[str, Figure]:
        """All figures by name; mIoU by both rules for absent classes."""
        recall = self.recall.result() if self._recall_measured else dict.fromkeys(self.recall.result())
        figures: dict[str, Figure] = {
            "miou": self.all_classes.mean_iou(),
            "miou_of_union": self.all_classes.mean_iou_of_union(),
            "grounding_miou": self.grounding.mean_iou(),
            "grounding_miou_of_union": self.grounding.mean_iou_of_union(),
            "phrase_top1": float(np.mean(self.hits)) if self.hits else None,
            **recall,
        }
        return {"images": self.images, **{name: _finite(value) for name, value in figures.items()}}

    def intervals(self, seed: int = 0) -> dict[str, tuple[float, float]]:
        """95 % intervals of the figures that have one, by name: images are drawn again with replacement."""
        found = {
            name: counts.interval(mean_iou if name.endswith("miou") else share, seed)
            for name, counts in self._per_image.items()
            if self._recall_measured or name not in THRESHOLDS
        }
        return {name: interval for name, interval in found.items() if interval is not None}

    def per_class(self) -> list[ClassFigures]:
        """The per-class table, in the order of the data set's labels."""
        iou, grounding, pixels = self.all_classes.iou(), self.grounding.iou(), self.all_classes.counts.sum(1)
        return [
            ClassFigures(
                name,
                _finite(float(iou[row])),
                _finite(float(grounding[row])),
                int(pixels[row]),
                int(self._images_of_class[row]),
            )
            for row, name in enumerate(self._data.labels)
        ]

    def _add_words(self, label: np.ndarray, prediction: Prediction) -> Measured:
        present = np.unique(label[label != NO_LABEL])
        self._images_of_class[present] += 1
        best = prediction.segment(self._all_rows)
        if best is None:
            return Measured(None, float("nan"))
        answer, own = self._labels_of(best), ConfusionMatrix(len(self._data.labels))
        own.add(label, answer)
        self.all_classes.counts += own.counts
        self._count("miou", own.pixels())
        rows = np.flatnonzero(np.isin(self._data.label_of_query, present))
        best_present = prediction.segment(rows) if len(present) else None
        if best_present is not None:
            asked = ConfusionMatrix(len(self._data.labels))
            asked.add(label, self._labels_of(best_present))
            self.grounding.counts += asked.counts
            self._count("grounding_miou", asked.pixels())
        return Measured(answer, own.mean_iou())

    def _count(self, name: str, counts: Sequence[int] | np.ndarray) -> None:
        self._per_image[name].rows.append(np.asarray(counts))

    def _labels_of(self, rows: np.ndarray) -> np.ndarray:
        """Labels (H, W) int32 of predicted query rows."""
        if rows.min() < 0 or rows.max() >= len(self._all_rows):
            raise ValueError(
                f"rows {rows.min()} .. {rows.max()} were predicted, there are {len(self._all_rows)} classes"
            )
        labels: np.ndarray = self._data.label_of_query[rows].astype(np.int32)
        return labels


def _finite(value: Figure) -> Figure:
    """None for NaN, which JSON does not have."""
    return None if value is None or not np.isfinite(value) else value
