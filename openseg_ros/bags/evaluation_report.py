"""The report of an evaluated bag for people: one HTML file that holds its pictures and plots."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np

from openseg_ros.bags.evaluation import Bound, Evaluation
from openseg_ros.bags.ground_truth import TrueImage
from openseg_ros.bags.mask_agreement import true_labels
from openseg_ros.bags.message_types import types_of
from openseg_ros.bags.reading import open_bag
from openseg_ros.bags.recorded_images import read_image
from openseg_ros.html_page import page, table
from openseg_ros.segmenter.overlay import phrase_colours

WORST = 4  # images shown
COLOUR_SHARE = 0.55  # of the label's colour over the image
PLOT_WIDTH, PLOT_HEIGHT, MARGIN = 900, 200, 45  # pixels


@dataclass(frozen=True, eq=False)
class Comparison:
    """One image of the report."""

    caption: str
    jpeg: bytes  # image, truth and mask side by side


@dataclass(frozen=True)
class WorstImages:
    """The images with the lowest IoU, worst first."""

    comparisons: tuple[Comparison, ...] = ()
    missing: int = 0  # images as bad whose pictures are not in the bag, or damaged


def html_report(evaluation: Evaluation, bounds: Mapping[str, Bound], worst: WorstImages) -> str:
    """The whole page."""
    run, found = evaluation.run, evaluation.agreement
    title = f"Evaluation of {run.bag.name}"
    failures = evaluation.failures(bounds)
    verdict = "".join(f"<p class='bad'>{escape(failure)}</p>" for failure in failures)
    if bounds and not failures:
        verdict = "<p class='good'>All bounds are kept.</p>"
    parts = [
        f"<p>{(run.end - run.start) / 1e9:.1f} s; camera {escape(run.camera or 'not recorded')}; "
        f"truth: {escape(evaluation.truth)}.</p>",
        verdict,
        table(("figure", "value"), [(name, _shown(value)) for name, value in evaluation.figures().items()]),
        "<h2>Latency over time</h2>",
        _plot([((time - run.start) / 1e9, value * 1e3) for time, value in evaluation.timing.series], "ms"),
    ]
    if found is not None:
        times = {answer.stamp: (answer.time - run.start) / 1e9 for answer in run.answers}
        parts += [
            "<h2>IoU over time</h2>",
            _plot(
                [(times[stamp], value) for stamp, value in found.image_iou.items()], "mean IoU of the image's phrases"
            ),
            "<h2>Phrases</h2>",
            table(
                ("phrase", "IoU", "grounding IoU", "images that show it"),
                [(row.phrase, _shown(row.iou), _shown(row.grounding_iou), str(row.images)) for row in found.phrases],
            ),
        ]
    if worst.comparisons:
        parts.append("<h2>Worst images</h2><p>Image, truth, answer.</p>")
    if worst.missing:
        parts.append(f"<p>{worst.missing} of the worst images are not shown: their pictures are not in the bag.</p>")
    for comparison in worst.comparisons:
        picture = base64.b64encode(comparison.jpeg).decode()
        parts.append(
            f"<figure><img alt='image, truth and answer' src='data:image/jpeg;base64,{picture}'>"
            f"<figcaption>{escape(comparison.caption)}</figcaption></figure>"
        )
    return page(title, parts)


def worst_images(evaluation: Evaluation, truth: Mapping[int, TrueImage]) -> WorstImages:
    """The images with the lowest IoU whose pictures were recorded; none without a recorded camera.

    Raises:
        BagError: the bag is damaged.
    """
    run, found = evaluation.run, evaluation.agreement
    if found is None or run.camera is None:
        return WorstImages()
    phrases_at = run.phrases_at()
    times = {answer.stamp: answer.time for answer in run.answers}
    recorded = {stamp for stamp, _ in run.images}
    comparisons: list[Comparison] = []
    missing = 0
    with open_bag(run.bag) as reader:
        store = types_of(reader)
        cameras = [connection for connection in reader.connections if connection.topic == run.camera]
        for stamp in sorted(found.image_iou, key=lambda stamp: found.image_iou[stamp]):
            if len(comparisons) == WORST:
                break
            rgb = read_image(reader, store, cameras, stamp, times[stamp]) if stamp in recorded else None
            if rgb is None:
                missing += 1
                continue
            phrases = phrases_at[stamp]
            size = (rgb.shape[0], rgb.shape[1])
            mask = cv2.resize(run.masks[stamp].ids(), size[::-1], interpolation=cv2.INTER_NEAREST)
            colours = phrase_colours(phrase.text for phrase in phrases)
            palette = np.array([(0, 0, 0), *(colours[phrase.text] for phrase in phrases)], np.float32)
            labels = (true_labels(truth[stamp], phrases, size), np.where(mask <= len(phrases), mask, 0))
            side_by_side = np.concatenate([rgb, *(_coloured(rgb, label, palette) for label in labels)], axis=1)
            jpeg = cv2.imencode(".jpg", side_by_side[:, :, ::-1])[1].tobytes()
            at = (times[stamp] - run.start) / 1e9
            comparisons.append(Comparison(f"{at:.2f} s: mean IoU {found.image_iou[stamp]:.3f}", jpeg))
    return WorstImages(tuple(comparisons), missing)


def _coloured(rgb: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    share = np.where(labels > 0, COLOUR_SHARE, 0.0)[:, :, None]
    coloured: np.ndarray = (rgb * (1 - share) + palette[labels] * share).astype(np.uint8)
    return coloured


def _shown(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def _plot(points: Sequence[tuple[float, float]], unit: str) -> str:
    """A line over seconds as SVG, with its largest value and its duration."""
    if len(points) < 2:
        return "<p>–</p>"
    across, up = np.array(sorted(points)).T
    most, first, last = max(float(up.max()), 1e-9), float(across[0]), float(across[-1])
    x = MARGIN + (across - first) / max(last - first, 1e-9) * (PLOT_WIDTH - 2 * MARGIN)
    y = PLOT_HEIGHT - 20 - up / most * (PLOT_HEIGHT - 45)
    line = " ".join(f"{column:.1f},{row:.1f}" for column, row in zip(x, y, strict=True))
    base = PLOT_HEIGHT - 20
    return (
        f"<svg viewBox='0 0 {PLOT_WIDTH} {PLOT_HEIGHT}' role='img' aria-label='{escape(unit)} over seconds'>"
        f"<path d='M{MARGIN} 20V{base}H{PLOT_WIDTH - MARGIN}' fill='none' stroke='#999'/>"
        f"<text x='{MARGIN}' y='14' font-size='12'>{most:.3g} {escape(unit)}</text>"
        f"<text x='{MARGIN}' y='{PLOT_HEIGHT - 5}' font-size='12'>{first:.1f} s</text>"
        f"<text x='{PLOT_WIDTH - MARGIN}' y='{PLOT_HEIGHT - 5}' font-size='12' text-anchor='end'>{last:.1f} s</text>"
        f"<polyline points='{line}' fill='none' stroke='#1769aa' stroke-width='1.5'/></svg>"
    )
