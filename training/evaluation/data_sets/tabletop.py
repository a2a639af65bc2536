"""The rendered tabletop world, or any folder in its layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.pixels import read_pixels
from training.data.sources import DataSource, read_source
from training.evaluation.class_list import ClassList
from training.evaluation.data_set import AnnotatedImage, EvaluationSet, Item, label_of_segments


def open_tabletop(folder: Path) -> EvaluationSet:
    """Open `folder`: images/, panoptic/, panoptic.json. Its own categories are the classes.

    Raises:
        DatasetError: a file is missing or broken.
    """
    source = DataSource(str(folder), captions_json="")
    annotated = read_source(source)
    names = tuple(annotated.categories.values())
    rows = {category: row for row, category in enumerate(annotated.categories)}

    def read(index: int) -> AnnotatedImage:
        record = annotated.records[index]
        image, ids = read_pixels(record)
        segment_ids = np.array([segment.id for segment in record.segments], np.int32)
        segment_rows = np.array([rows[segment.category] for segment in record.segments], np.int32)
        masks = ids[None] == segment_ids[:, None, None]
        label = label_of_segments(ids, segment_ids, segment_rows)
        phrases = tuple(segment.phrase for segment in record.segments)
        return AnnotatedImage(image, label, masks, np.zeros(len(masks), bool), phrases)

    return EvaluationSet(
        name="tabletop",
        folder=folder.expanduser(),
        queries=ClassList(tuple(annotated.categories), names, names, tuple((name,) for name in names)),
        labels=names,
        label_of_query=np.arange(len(names)),
        items=tuple(
            Item(record.image_file, (record.panoptic_file,) if record.panoptic_file else ())
            for record in annotated.records
        ),
        read=read,
        tables=(folder.expanduser() / source.panoptic_json,),
    )
