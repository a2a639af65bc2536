"""How close an engine is to the reference, and how close it must be to be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openseg_ros.runtime.engine import Engine, EngineError, EngineOutput
from openseg_ros.runtime.frames import Frames


class ParityError(EngineError):
    """The engine's answers are too far from the reference's; the message has the figures."""


@dataclass(frozen=True)
class Parity:
    """Agreement of two engine outputs on the same images; 1.0 is equality."""

    worst_cosine: float  # smallest cosine between corresponding region embeddings, over regions whose masks meet
    mean_cosine: float  # its mean over those with a mask in the reference, weighted by the area of the masks
    mean_mask_iou: float  # mean IoU of corresponding binary masks, weighted by their area
    pixel_agreement: float  # share of (region, cell) pairs on the same side of the threshold
    label_agreement: float | None  # share of the masks' area whose best word is the same; None: no words were given
    regions: int  # with a mask in the reference; without any, all embeddings are compared


@dataclass(frozen=True)
class ParityBounds:
    """The smallest figures with which an engine is used."""

    worst_cosine: float
    mean_cosine: float
    mean_mask_iou: float
    label_agreement: float

    def faults(self, parity: Parity) -> list[str]:
        """One text per figure of `parity` that is too small (or not a number)."""
        figures = {name: getattr(parity, name) for name in vars(self)}
        return [
            f"{name.replace('_', ' ')} {figure:.4f} < {getattr(self, name):g}"
            for name, figure in figures.items()
            if figure is not None and not figure >= getattr(self, name)
        ]


# fp32 and fp16 must be equal for every purpose. bf16 moves outlines by a cell, and the embedding of a region of a few
# cells with them (two tabletops, 439 and 422 regions: worst cosine 0.956 and 0.995, mask IoU 0.971 and 0.986,
# labels 0.988 and 0.987). int8 loses single regions of a few cells altogether (a ResNet, 906 regions: worst cosine
# -0.61, mean 0.9986, mask IoU 0.949, labels 0.961), so its worst region is not a bound.
BOUNDS: dict[str, ParityBounds] = {
    "fp32": ParityBounds(worst_cosine=0.999, mean_cosine=0.999, mean_mask_iou=0.99, label_agreement=0.99),
    "fp16": ParityBounds(worst_cosine=0.999, mean_cosine=0.999, mean_mask_iou=0.99, label_agreement=0.99),
    "bf16": ParityBounds(worst_cosine=0.9, mean_cosine=0.999, mean_mask_iou=0.97, label_agreement=0.95),
    "int8": ParityBounds(worst_cosine=-1.0, mean_cosine=0.99, mean_mask_iou=0.92, label_agreement=0.94),
}


def compare(
    reference: EngineOutput, candidate: EngineOutput, valid: np.ndarray, words: np.ndarray | None = None
) -> Parity:
    """Compare `candidate` with `reference`.

    A mask that vanished or went elsewhere (one of a single cell may) lowers the mask IoU. Its embedding is that of
    something else, and does not count as the worst one.

    Args:
        reference: what the answer should be.
        candidate: what it is.
        valid: (B, h, w), 1 for the cells that count.
        words: (K, D) float32 unit vectors, the names that regions may get.
    """
    inside = valid[:, None] > 0
    masks = (reference.mask_logits > 0) & inside, (candidate.mask_logits > 0) & inside
    intersection = np.logical_and(*masks).sum((2, 3))
    union = np.logical_or(*masks).sum((2, 3))
    present = masks[0].any((2, 3))
    area = masks[0].sum((2, 3))[present] if present.any() else np.ones(present.size)
    chosen = present if present.any() else np.ones_like(present)
    rows = [_unit(output.embeddings[chosen]) for output in (reference, candidate)]
    cosines = (rows[0] * rows[1]).sum(-1)
    meets = intersection[chosen] > 0
    labels = None
    if words is not None:
        agrees = (rows[0] @ words.T).argmax(-1) == (rows[1] @ words.T).argmax(-1)
        labels = float(np.average(agrees, weights=area))
    same = (masks[0] == masks[1]).sum() / masks[0].size
    return Parity(
        worst_cosine=float(cosines[meets].min() if meets.any() else cosines.min()),
        mean_cosine=float(np.average(cosines, weights=area)),
        mean_mask_iou=float(intersection.sum() / union.sum()) if union.sum() else 1.0,
        pixel_agreement=float(same),
        label_agreement=labels,
        regions=int(present.sum()),
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of unit length; an engine in bf16 leaves them up to 1 % longer."""
    unit: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return unit


def compare_engines(reference: Engine, candidate: Engine, frames: Frames, words: np.ndarray | None = None) -> Parity:
    """Run both on `frames`, image by image, and compare.

    Raises:
        EngineError: a run failed.
    """
    return compare(_run_singly(reference, frames), _run_singly(candidate, frames), frames.valid, words)


def require_parity(name: str, precision: str, parity: Parity) -> None:
    """Refuse an engine whose figures are below the bounds of its precision.

    Raises:
        ParityError: with every figure that is too small.
    """
    faults = BOUNDS[precision].faults(parity)
    if faults:
        raise ParityError(
            f"{name} is refused, its answers differ too much from the reference: {', '.join(faults)} "
            f"({parity.regions} regions); use another precision"
        )


def _run_singly(engine: Engine, frames: Frames) -> EngineOutput:
    outputs = [engine.infer(frames.images[i : i + 1], frames.valid[i : i + 1]) for i in range(len(frames))]
    return EngineOutput(
        np.concatenate([output.mask_logits for output in outputs]),
        np.concatenate([output.embeddings for output in outputs]),
    )
