"""numpy arrays to sensor_msgs images; the way back, which needs no ROS, is `openseg_ros.image_messages`.

The data is assigned as `array.array`, the one type that rclpy does not check byte by byte.
"""

from __future__ import annotations

import array
import sys

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

JPEG_QUALITY = 90  # of overlays, which are for people; labels are never JPEG


def encode_image(pixels: np.ndarray, encoding: str, header: Header) -> Image:
    """An Image without padding, in native byte order.

    Args:
        pixels: (H, W) or (H, W, C), uint8 or uint16 as `encoding` says.
        encoding: "mono8", "16UC1" or "rgb8".
        header: used as it is.
    """
    pixels = np.ascontiguousarray(pixels)
    message = Image(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=sys.byteorder == "big",
        step=pixels.nbytes // max(pixels.shape[0], 1),
    )
    message.data = byte_array(pixels)
    return message


def encode_png(ids: np.ndarray, encoding: str, header: Header) -> CompressedImage:
    """A lossless PNG of a (H, W) mono8 or 16UC1 id image, with the format string of compressed_image_transport."""
    # Level 1: labels are flat areas, higher levels cost several times the time for a few per cent of the size.
    _, data = cv2.imencode(".png", ids, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    message = CompressedImage(header=header, format=f"{encoding}; png compressed ")
    message.data = byte_array(data)
    return message


def encode_jpeg(rgb: np.ndarray, header: Header) -> CompressedImage:
    """A JPEG of a (H, W, 3) uint8 RGB picture for people, with the format string of compressed_image_transport."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    message = CompressedImage(header=header, format="rgb8; jpeg compressed bgr8")
    message.data = byte_array(data)
    return message


def byte_array(pixels: np.ndarray) -> array.array[int]:
    """The bytes of a C-contiguous array, in the one type that rclpy takes as it is."""
    data = array.array("B")
    data.frombytes(pixels.data.cast("B") if pixels.size else b"")
    return data
