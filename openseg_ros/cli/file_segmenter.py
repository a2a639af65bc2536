"""Segments image files: a model and a vocabulary, and per file the record and the pictures that are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from openseg_ros.cli.image_file import read_image
from openseg_ros.runtime.engine import Engine, create_engine
from openseg_ros.runtime.weights import Weights, load_weights, write_atomically
from openseg_ros.segmenter.overlay import draw_overlay
from openseg_ros.segmenter.segmentation import Segmentation
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.command import parse_query_text
from openseg_ros.text.text_encoder import load_text_encoder
from openseg_ros.text.vocabulary import Query, QueryError, Vocabulary, build_vocabulary

Record = dict[str, Any]  # content of regions.json

RECORD_FILE = "regions.json"


@dataclass(frozen=True)
class FileSegmenter:
    """A loaded model that looks for one vocabulary."""

    weights: Weights
    engine: Engine
    segmenter: Segmenter
    vocabulary: Vocabulary
    notes: tuple[str, ...]  # what was made of the queries, for the person who asked

    def segment(self, path: Path) -> tuple[Record, Segmentation, np.ndarray]:
        """Segment one file: the record, the segmentation, and the image (H, W, 3) uint8 RGB that it is of.

        Raises:
            ImageFileError: the file cannot be read as an image.
            EngineError: the network's run failed.
        """
        image = read_image(path)
        segmentation = self.segmenter.segment(self.segmenter.propose(image), self.vocabulary)
        return self._record(path, segmentation), segmentation, image

    def _record(self, path: Path, segmentation: Segmentation) -> Record:
        regions = segmentation.regions
        return {
            "image": {"path": str(path), "width": segmentation.width, "height": segmentation.height},
            "weights": self.weights.name,
            "embedding_space": self.weights.embedding_space,
            "engine": self.engine.name,
            "status": segmentation.status.name,
            "target_region": segmentation.target_region,
            "unlabelled": self.vocabulary.unlabelled,
            "queries": [
                {
                    "text": result.text,
                    "label": label,
                    "status": result.status.name,
                    "reason": result.reason,
                    "region": result.region,
                    "score": _rounded(result.score),
                }
                for label, result in enumerate(segmentation.query_results, start=1)
            ],
            "rejected": list(self.vocabulary.rejected),
            "regions": [
                {
                    "id": int(regions.id[row]),
                    "label": int(regions.label[row]),
                    "phrase": regions.phrase[row],
                    "score": _rounded(regions.score[row]),
                    "margin": _rounded(regions.margin[row]),
                    "mask_quality": _rounded(regions.mask_quality[row]),
                    "roi": dict(zip(("x", "y", "width", "height"), map(int, regions.roi[row]), strict=True)),
                    "area": int(regions.area[row]),
                }
                for row in range(len(regions))
            ],
        }


def load_file_segmenter(weights: str, backend: str, texts: Sequence[str], threshold: float) -> FileSegmenter:
    """Load everything that segmenting needs.

    Args:
        weights: name of a shipped model, or its folder.
        backend: see `create_engine`.
        texts: phrases and commands.
        threshold: probability from which a region is reported.

    Raises:
        QueryError: none of the texts names anything to look for.
        WeightsError, TextEncoderError, EngineError: a part of the model cannot be loaded.
    """
    queries: list[Query] = []
    notes: list[str] = []
    for text in texts:
        parsed = parse_query_text(text)
        queries += parsed.queries or [Query(text)]  # a blank one is named among the rejected
        notes += [parsed.message] if parsed.message else []
    if not queries:
        raise QueryError("nothing to look for: give at least one --query")
    model = load_weights(weights)
    encoder = load_text_encoder(model.description.text_encoder, backend)
    vocabulary = build_vocabulary(queries, encoder, version=1)
    engine = create_engine(model, backend)
    settings = SegmenterSettings(score_threshold=threshold)
    segmenter = Segmenter(engine=engine, calibration=model.calibration, settings=settings)
    notes += [f"not looked for: {rejected}" for rejected in vocabulary.rejected]
    return FileSegmenter(model, engine, segmenter, vocabulary, tuple(notes))


def write_results(folder: Path, record: Record, segmentation: Segmentation, image: np.ndarray) -> None:
    """Write mask.png, instances.png, overlay.png and, when these are complete, regions.json.

    All or nothing: if one cannot be written, those of this image that were already written are removed.

    Raises:
        OSError: no space, no permission.
    """
    contents = {
        "mask.png": _png(segmentation.mask),
        "instances.png": _png(segmentation.instances),
        "overlay.png": _png(draw_overlay(image, segmentation)[:, :, ::-1]),
        RECORD_FILE: (json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    # A record of an earlier run must never lie beside pictures of this one.
    (folder / RECORD_FILE).unlink(missing_ok=True)
    written: list[Path] = []
    try:
        for name, content in contents.items():
            write_atomically(folder / name, content)
            written.append(folder / name)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _png(picture: np.ndarray) -> bytes:
    _, encoded = cv2.imencode(".png", picture)
    return bytes(encoded)


def _rounded(number: float) -> float:
    return round(float(number), 6)
