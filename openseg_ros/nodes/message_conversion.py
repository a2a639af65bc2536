"""Between the segmenter's arrays and our messages."""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Header

from openseg_ros.msg import Query as QueryMessage
from openseg_ros.msg import QueryArray, QueryState, Region, RegionArray
from openseg_ros.nodes.image_codec import encode_image
from openseg_ros.nodes.query_worker import QueryReport
from openseg_ros.nodes.regions_in_space import RegionsInSpace
from openseg_ros.segmenter.segmentation import Regions, Segmentation
from openseg_ros.text.vocabulary import Query

NO_POSITION = float("nan")
ID_ENCODINGS = {np.dtype(np.uint8): "mono8", np.dtype(np.uint16): "16UC1"}


def queries_from_message(message: QueryArray) -> tuple[Query, ...]:
    """The typed queries of a request."""
    return tuple(
        Query(
            text=query.text,
            aliases=tuple(query.aliases),
            threshold=query.threshold,
            is_target=query.is_target,
            background=query.background,
        )
        for query in message.queries
    )


def query_state_message(report: QueryReport, stamp: Time, text_encoder: str) -> QueryState:
    """What the node looks for and what it made of the last request."""
    return QueryState(
        header=Header(stamp=stamp),
        version=report.vocabulary.version,
        status=int(report.status),
        active=[
            QueryMessage(
                text=query.text,
                aliases=list(query.aliases),
                threshold=query.threshold,
                is_target=query.is_target,
                background=query.background,
            )
            for query in report.vocabulary.queries
        ],
        parsed_phrases=list(report.parsed_phrases),
        rejected=list(report.rejected),
        message=report.message,
        text_encoder=text_encoder,
    )


def region_array_message(
    segmentation: Segmentation,
    header: Header,
    *,
    embedding_space: str,
    embeddings: str,
    masks: bool,
    space: RegionsInSpace | None = None,
) -> RegionArray:
    """The regions of one image.

    Args:
        segmentation: the answer for the image.
        header: of the processed image, used as it is.
        embedding_space: name of the space of the embeddings.
        embeddings: the parameter publish_embeddings: "off", "matched" or "all".
        masks: the parameter publish_region_masks.
        space: the regions in space, in the frame of `header`; None without depth.
    """
    regions = [segmentation.regions]
    if embeddings == "all":
        regions.append(segmentation.unmatched)
    if space is None:
        middles = np.full((sum(map(len, regions)), 3), NO_POSITION)
    else:
        parts = [space.matched, space.unmatched] if embeddings == "all" else [space.matched]
        middles = np.concatenate([part.centroids for part in parts])
    target = segmentation.vocabulary.target
    message = RegionArray(
        header=header,
        height=segmentation.height,
        width=segmentation.width,
        vocabulary_version=segmentation.vocabulary.version,
        query="" if target is None else segmentation.vocabulary.queries[target].text,
        target_id=segmentation.target_region or 0,
        status=int(segmentation.status),
        embedding_space=embedding_space,
        regions=[region for part in regions for region in _region_messages(part, middles[part.id - 1])],
    )
    if masks:
        crops = segmentation.region_masks() + (segmentation.unmatched_masks() if embeddings == "all" else [])
        for region, crop in zip(message.regions, crops, strict=True):
            region.mask = encode_image(crop, "mono8", header)
    if embeddings != "off":
        vectors = np.concatenate([part.embeddings for part in regions]).astype(np.float32, copy=False)
        message.embedding_dim = vectors.shape[1]
        message.embeddings = flat_vectors(vectors)
    return message


def flat_vectors(vectors: np.ndarray) -> array.array[float]:
    """(N, D) float32 row by row, in the one type that rclpy takes as it is; a list is checked number by number."""
    flat = array.array("f")
    flat.frombytes(vectors.tobytes())
    return flat


def ids_image(pixels: np.ndarray, header: Header) -> Image:
    """An image of (H, W) uint8 or uint16 ids."""
    return encode_image(pixels, ID_ENCODINGS[pixels.dtype], header)


def _region_messages(regions: Regions, middles: np.ndarray) -> list[Region]:
    rows = zip(
        regions.id.tolist(),
        regions.label.tolist(),
        regions.phrase,
        regions.score.tolist(),
        regions.margin.tolist(),
        regions.mask_quality.tolist(),
        regions.roi.tolist(),
        regions.area.tolist(),
        middles.tolist(),
        regions.track_id,
        strict=True,
    )
    return [
        Region(
            id=number,
            label=label,
            phrase=phrase,
            score=score,
            margin=margin,
            mask_quality=quality,
            roi=RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height),
            area=area,
            centroid=Point(x=right, y=down, z=forward),
            track_id=track_id,
        )
        for (
            number,
            label,
            phrase,
            score,
            margin,
            quality,
            (x, y, width, height),
            area,
            (right, down, forward),
            track_id,
        ) in rows
    ]
