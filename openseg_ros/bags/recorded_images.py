"""Finds the camera image of a given stamp in a bag."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.typesys.store import Typestore

from openseg_ros.bags.bag_error import BagError
from openseg_ros.bags.message_types import COMPRESSED_IMAGE, IMAGE, types_of
from openseg_ros.bags.reading import connections_of, decode, header_stamp
from openseg_ros.image_messages import ImageError, decode_compressed, decode_image

# Seconds before its regions were recorded in which an image may lie: what a fast node needs, then what a slow one does.
BEFORE = (0.5, 10.0)
AFTER = 1.0  # s; where the recorder was told of the regions first


def picture_topics(reader: Reader) -> list[Connection]:
    """Topics of pictures: those whose first image is one, not a depth or label image."""
    store = types_of(reader)
    found = []
    for connection in connections_of(reader, IMAGE) + connections_of(reader, COMPRESSED_IMAGE):
        first = next(reader.messages([connection]), None)
        if first is not None and decode_picture(store, connection, first[2]) is not None:
            found.append(connection)
    return found


def camera_topics(reader: Reader, regions_topic: str) -> list[Connection]:
    """Topics of pictures that may be the node's camera: all but those in the node's own namespace."""
    own = regions_topic.rpartition("/")[0] + "/"
    return [connection for connection in picture_topics(reader) if not connection.topic.startswith(own)]


def read_image(
    reader: Reader, store: Typestore, cameras: Sequence[Connection], stamp: int, time: int
) -> np.ndarray | None:
    """The picture with a stamp.

    Args:
        reader: open bag.
        store: its types.
        cameras: topics to look in; what is no picture there is passed over.
        stamp: of the image, ns.
        time: when its regions were recorded, ns.

    Returns:
        (H, W, 3) uint8 RGB; None if no topic has a picture with this stamp.
    """
    for before in BEFORE if cameras else ():
        window = (time - round(before * 1e9), time + round(AFTER * 1e9))
        for connection, _, content in reader.messages(cameras, *window):
            if header_stamp(content) == stamp:
                picture = decode_picture(store, connection, content)
                if picture is not None:
                    return picture
    return None


def decode_picture(store: Typestore, connection: Connection, content: bytes) -> np.ndarray | None:
    """The pixels of an image message, (H, W, 3) uint8 RGB; None if it is no picture (depth, 16 bits) or damaged."""
    try:
        message = decode(store, connection, content)
        return decode_image(message) if connection.msgtype == IMAGE else decode_compressed(message)
    except (BagError, ImageError):
        return None
