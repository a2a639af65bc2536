"""The variant that measures at the network's scale instead of the annotation's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from openseg_ros.segmenter.letterbox import Letterbox
from training.evaluation.data_set import AnnotatedImage

SIDE = 640  # of the authors' released model


def at_letterbox_scale(annotated: AnnotatedImage, side: int = SIDE) -> AnnotatedImage:
    """The image and its truth scaled so that the longer side has `side` pixels.

    The letterbox's padding is left out instead of predicted: its pixels have no label, so they count in neither way.
    Labels take the value of the nearest pixel.
    """
    letterbox = Letterbox((annotated.image.shape[0], annotated.image.shape[1]), (side, side), 1)
    height, width = letterbox.content_size
    rows, columns = (
        np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(np.intp)
        for new, old in zip((height, width), letterbox.image_size, strict=True)
    )
    return replace(
        annotated,
        image=letterbox.apply(annotated.image)[:height, :width],
        label=annotated.label[rows][:, columns],
        masks=annotated.masks[:, rows][:, :, columns],
    )
