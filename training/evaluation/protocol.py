"""Runs a network over an annotated data set and measures masks and words (paper 4.2, 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from openseg_ros.runtime.engine import Engine
from openseg_ros.segmenter.letterbox import Letterbox
from openseg_ros.text.text_encoder import TextEncoder
from training.data.coco import CocoPanoptic, Record, read_pixels
from training.evaluation.confusion import ConfusionMatrix
from training.evaluation.proposal_recall import ProposalRecall


@dataclass(frozen=True)
class Prediction:
    """Network output for one annotated image, masks at the image's resolution."""

    mask_logits: np.ndarray  # (N, H, W) float32
    embeddings: np.ndarray  # (N, D) float32, unit length
    labels: np.ndarray  # (M, H, W) bool, one mask per annotated segment
    categories: np.ndarray  # (M,) row of the class list
    phrases: tuple[str, ...]  # (M,)


def predict(record: Record, rows: Mapping[int, int], engine: Engine) -> Prediction:
    """Run `engine` on one annotated image; `rows` maps category ids to rows of the class list."""
    image, ids = read_pixels(record)
    letterbox = Letterbox(image.shape[:2], engine.input_size, engine.stride)
    output = engine.infer(letterbox.apply(image)[None], letterbox.valid[None])
    segment_ids = np.array([segment.id for segment in record.segments], np.int32)
    return Prediction(
        letterbox.restore(output.mask_logits[0]),
        output.embeddings[0],
        ids[None] == segment_ids[:, None, None],
        np.array([rows[segment.category] for segment in record.segments]),
        tuple(segment.phrase for segment in record.segments),
    )


def segment_pixels(prediction: Prediction, class_embeddings: np.ndarray) -> np.ndarray:
    """Class of every pixel by eq. 6: argmax over k of <w_k, z> . s, summed over all N proposals.

    Args:
        prediction: the network's output.
        class_embeddings: (K, D) unit rows.

    Returns:
        (H, W) rows of `class_embeddings`.
    """
    masks = 1 / (1 + np.exp(-prediction.mask_logits))
    count, height, width = masks.shape
    scores = (class_embeddings @ prediction.embeddings.T) @ masks.reshape(count, -1)
    return scores.argmax(0).reshape(height, width)


class Evaluation:
    """Collects mIoU, Grounding mIoU and proposal recall image by image.

    Predictions are made at the letterboxed size, restored to the annotation's size, and counted there.
    """

    def __init__(self, data: CocoPanoptic, encoder: TextEncoder) -> None:
        """Measure on the categories of `data`, each named as the data set names it."""
        self.names = tuple(data.categories.values())
        self._rows = {category: row for row, category in enumerate(data.categories)}
        self._encoder = encoder
        self._classes = encoder.encode(self.names)
        self.all_classes, self.grounding = ConfusionMatrix(len(self.names)), ConfusionMatrix(len(self.names))
        self.recall = ProposalRecall()
        self.hits: list[bool] = []
        self.images = 0

    def add(self, record: Record, engine: Engine) -> None:
        """Predict and count one image."""
        prediction = predict(record, self._rows, engine)
        self.recall.add(prediction.mask_logits > 0, prediction.labels)
        label = np.full(prediction.mask_logits.shape[1:], -1)
        for mask, category in zip(prediction.labels, prediction.categories, strict=True):
            label[mask] = category
        self.all_classes.add(label, segment_pixels(prediction, self._classes))
        present = np.unique(prediction.categories)
        self.grounding.add(label, present[segment_pixels(prediction, self._classes[present])])
        self.hits += phrase_hits(prediction, self._encoder)
        self.images += 1

    def result(self) -> dict[str, int | float | dict[str, float]]:
        """All figures; "grounding_iou_per_class" holds the classes that appear."""
        iou = self.grounding.iou()
        return {
            "images": self.images,
            "miou": self.all_classes.mean_iou(),
            "miou_of_union": self.all_classes.mean_iou_of_union(),
            "grounding_miou": self.grounding.mean_iou(),
            "phrase_top1": float(np.mean(self.hits)) if self.hits else float("nan"),
            **self.recall.result(),
            "grounding_iou_per_class": {
                name: round(float(value), 3) for name, value in zip(self.names, iou, strict=True) if np.isfinite(value)
            },
        }


def phrase_hits(prediction: Prediction, encoder: TextEncoder) -> list[bool]:
    """For every phrase that names one segment of the image: does the best proposal meet that segment (IoU >= 0.5)?"""
    unique = [index for index, phrase in enumerate(prediction.phrases) if prediction.phrases.count(phrase) == 1]
    if not unique:
        return []
    words = encoder.encode([prediction.phrases[index] for index in unique])
    best = (words @ prediction.embeddings.T).argmax(1)
    masks = prediction.mask_logits[best] > 0
    labels = prediction.labels[unique]
    intersection = (masks & labels).sum((1, 2))
    union = (masks | labels).sum((1, 2))
    return list(intersection >= 0.5 * np.maximum(union, 1))
