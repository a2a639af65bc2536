"""What depth costs at 640x480: points, positions, boxes and clouds of one image, beside the network's run.

By processor time, that of all threads, which does not grow with other work on the machine.

python -m benchmark.positions --weights tabletop
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import skimage.data
import typer
from std_msgs.msg import Header

from benchmark.loaded_model import load_model
from benchmark.options import OutOption, RoundsOption, WeightsOption
from benchmark.timing import measure, report
from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.oriented_box import oriented_boxes
from openseg_ros.geometry.pinhole import Pinhole
from openseg_ros.geometry.region_surface import RegionSurfaces
from openseg_ros.nodes.point_clouds import PointClouds
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.vocabulary import Query, build_vocabulary

SIZE = (480, 640)
PHRASES = ("cup", "plate", "spoon", "table", "bowl", "napkin")
UP = np.array([0.0, -0.8, -0.6])  # a camera that looks down at a table


def table_depth(random: np.random.Generator) -> np.ndarray:
    """(H, W) float32 metres: a table seen at an angle, with noise and a tenth of holes."""
    rows = np.linspace(1.1, 0.6, SIZE[0], dtype=np.float32)[:, None]
    depth = rows + random.normal(0.0, 0.002, SIZE).astype(np.float32)
    depth[random.random(SIZE) < 0.1] = 0.0
    return depth


def main(
    weights: WeightsOption = "tabletop",
    rounds: RoundsOption = 50,
    out: OutOption = None,
) -> None:
    """Compare the network's run with every step from depth to messages, for the regions of a real photo."""
    model, encoder, engine = load_model(weights)
    image = cv2.resize(skimage.data.coffee(), SIZE[::-1], interpolation=cv2.INTER_AREA)
    segmenter = Segmenter(engine=engine, calibration=model.calibration, settings=SegmenterSettings())
    vocabulary = build_vocabulary([Query(phrase) for phrase in PHRASES], encoder, 0)
    segmentation = segmenter.segment(segmenter.propose(image), vocabulary)
    roi, masks = segmentation.regions.roi, segmentation.region_masks()
    _ = segmentation.instances, segmentation.mask, segmentation.target_mask  # made for other topics anyway
    camera = Pinhole(SIZE, 525.0, 525.0, 319.5, 239.5)
    depth = table_depth(np.random.default_rng(0))
    header = Header()

    def surfaces() -> RegionSurfaces:
        return RegionSurfaces(ImagePoints(camera, depth), roi, masks)

    def everything(up: np.ndarray | None) -> None:
        own = surfaces()
        _ = own.centroids
        oriented_boxes(own, up)

    rivals: dict[str, Callable[[], object]] = {
        "network on one image": partial(segmenter.propose, image),
        "surfaces": surfaces,
        "surfaces and centroids": lambda: surfaces().centroids,
        "surfaces, centroids, boxes, up known": partial(everything, UP),
        "surfaces, centroids, boxes, up unknown": partial(everything, None),
        "points": lambda: ImagePoints(camera, depth).xyz,
        "target cloud": lambda: PointClouds(segmentation, image, points).target(header),
        "scene minus target": lambda: PointClouds(segmentation, image, points).scene_minus_target(header),
        "whole cloud": lambda: PointClouds(segmentation, image, points).scene(header),
    }
    points = ImagePoints(camera, depth).xyz
    areas = [np.count_nonzero(mask) for mask in masks]
    report(
        f"processor time: {model.embedding_space} ({engine.name}), {len(masks)} regions, {sum(areas)} pixels",
        measure(rivals, rounds, time.process_time),
        out,
        {"rounds": rounds, "regions": len(masks)},
    )


if __name__ == "__main__":
    typer.run(main)
