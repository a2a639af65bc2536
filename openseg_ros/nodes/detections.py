"""The topics of vision_msgs: names of the labels, boxes in the image, boxes in space.

vision_msgs is optional: this module is imported only where it is installed, see `optional_packages`.
"""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseWithCovariance, Quaternion, Vector3
from std_msgs.msg import Header
from vision_msgs.msg import (
    BoundingBox2D,
    BoundingBox3D,
    Detection2D,
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    LabelInfo,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    Point2D,
    Pose2D,
    VisionClass,
)

from openseg_ros.geometry.oriented_box import oriented_boxes
from openseg_ros.geometry.rigid_transform import quaternions
from openseg_ros.nodes.regions_in_space import RegionsInSpace
from openseg_ros.nodes.target_frame import OutputFrame
from openseg_ros.segmenter.segmentation import Segmentation
from openseg_ros.text.vocabulary import Vocabulary


def label_info_message(vocabulary: Vocabulary, header: Header, threshold: float) -> LabelInfo:
    """What the numbers in ~/mask mean; besides the vocabulary 0, "other", and the largest one, "unlabelled".

    Args:
        vocabulary: that the masks are scored with.
        header: stamp of the change.
        threshold: the parameter score_threshold.
    """
    names = {0: "other", **dict(enumerate(vocabulary.phrases, 1)), vocabulary.unlabelled: "unlabelled"}
    classes = [VisionClass(class_id=number, class_name=name) for number, name in names.items()]
    return LabelInfo(header=header, class_map=classes, threshold=threshold)


def detection_2d_array_message(segmentation: Segmentation, header: Header) -> Detection2DArray:
    """The boxes of the regions, in pixels.

    class_id is the phrase: unlike a number, it means the same after the queries have changed.
    """
    regions = segmentation.regions
    detections = [
        Detection2D(
            header=header,
            results=[ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(class_id=phrase, score=score))],
            bbox=BoundingBox2D(
                center=Pose2D(position=Point2D(x=x + width / 2, y=y + height / 2)),
                size_x=float(width),
                size_y=float(height),
            ),
            id=track_id,
        )
        for phrase, score, (x, y, width, height), track_id in zip(
            regions.phrase, regions.score.tolist(), regions.roi.tolist(), regions.track_id, strict=True
        )
    ]
    return Detection2DArray(header=header, detections=detections)


def detection_3d_array_message(
    segmentation: Segmentation, space: RegionsInSpace, frame: OutputFrame
) -> Detection3DArray:
    """The oriented boxes of the regions with measured points, in metres; the hypothesis' position is the centroid.

    Regions without a measured point are left out.

    Args:
        segmentation: the answer for the image.
        space: its regions in space.
        frame: of the message.
    """
    regions = segmentation.regions
    boxes, middles = oriented_boxes(space.matched, frame.up), space.matched.centroids
    if frame.from_camera is not None:
        boxes, middles = boxes.moved(frame.from_camera), frame.from_camera.apply(middles)
    measured = np.flatnonzero(np.isfinite(boxes.size[:, 0]))
    detections = []
    for row, turn in zip(measured.tolist(), quaternions(boxes.rotation[measured]).tolist(), strict=True):
        orientation = Quaternion(**dict(zip("xyzw", turn, strict=True)))
        hypothesis = ObjectHypothesis(class_id=regions.phrase[row], score=float(regions.score[row]))
        pose = Pose(position=_point(middles[row]), orientation=orientation)
        size = dict(zip("xyz", boxes.size[row].tolist(), strict=True))
        detections.append(
            Detection3D(
                header=frame.header,
                results=[ObjectHypothesisWithPose(hypothesis=hypothesis, pose=PoseWithCovariance(pose=pose))],
                bbox=BoundingBox3D(
                    center=Pose(position=_point(boxes.centre[row]), orientation=orientation), size=Vector3(**size)
                ),
                id=regions.track_id[row],
            )
        )
    return Detection3DArray(header=frame.header, detections=detections)


def _point(xyz: np.ndarray) -> Point:
    x, y, z = xyz.tolist()
    return Point(x=x, y=y, z=z)
