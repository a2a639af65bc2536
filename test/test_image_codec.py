"""The image codec: every encoding and padding gives the same pixels; nothing that arrives can crash it."""

from __future__ import annotations

import array
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="the image codec needs the ROS 2 message packages")

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from openseg_ros.image_messages import MAX_SIDE, ImageError, ImageFault, decode_compressed, decode_ids, decode_image
from openseg_ros.nodes.image_codec import encode_image, encode_jpeg, encode_png

sizes = st.tuples(st.integers(1, 17), st.integers(1, 19))


def message_of(pixels: np.ndarray, encoding: str, padding: int = 0, last_row_padded: bool = True) -> Image:
    """An Image of (H, W, C) uint8 `pixels` whose rows end with `padding` bytes of 0xA5."""
    rows = pixels.reshape(pixels.shape[0], -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xA5)
    data = padded.tobytes()
    if not last_row_padded and padding:
        data = data[:-padding]
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=padded.shape[1])
    message.data = array.array("B", data)
    return message


def random_rgb(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@given(size=sizes, padding=st.integers(0, 9), last=st.booleans(), big=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_encodings_and_steps_give_the_same_rgb(
    size: tuple[int, int], padding: int, last: bool, big: bool, seed: int
) -> None:
    rgb = random_rgb(size, seed)
    alpha = np.full((*size, 1), 7, np.uint8)
    variants = {
        "rgb8": rgb,
        "bgr8": rgb[..., ::-1],
        "rgba8": np.concatenate([rgb, alpha], -1),
        "bgra8": np.concatenate([rgb[..., ::-1], alpha], -1),
    }
    for encoding, pixels in variants.items():
        message = message_of(pixels, encoding, padding, last)
        message.is_bigendian = big
        decoded = decode_image(message)
        assert decoded.dtype == np.uint8 and decoded.flags.c_contiguous
        np.testing.assert_array_equal(decoded, rgb, err_msg=encoding)
    grey = rgb[..., :1]
    np.testing.assert_array_equal(decode_image(message_of(grey, "mono8", padding, last)), np.repeat(grey, 3, -1))


@given(size=sizes, padding=st.integers(0, 4), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_ids_survive_raw_png_and_big_endian(size: tuple[int, int], padding: int, seed: int) -> None:
    ids16 = np.random.default_rng(seed).integers(0, 65536, size, dtype=np.uint16)
    ids8 = (ids16 >> 8).astype(np.uint8)
    for ids, encoding in ((ids16, "16UC1"), (ids8, "mono8")):
        np.testing.assert_array_equal(decode_ids(encode_image(ids, encoding, Header())), ids)
        packed = encode_png(ids, encoding, Header())
        assert packed.format == f"{encoding}; png compressed "
        unpacked = cv2.imdecode(np.frombuffer(packed.data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert unpacked.dtype == ids.dtype
        np.testing.assert_array_equal(unpacked, ids)
    swapped = message_of(ids16.astype(">u2").view(np.uint8).reshape(*size, 2), "16UC1", padding)
    swapped.is_bigendian = True
    np.testing.assert_array_equal(decode_ids(swapped), ids16)


@given(
    height=st.integers(0, 2**32 - 1) | st.integers(0, 6),
    width=st.integers(0, 2**32 - 1) | st.integers(0, 6),
    step=st.integers(0, 2**32 - 1) | st.integers(0, 40),
    encoding=st.sampled_from(["rgb8", "bgra8", "mono8", "16UC1", "bayer_rggb8", ""]) | st.text(max_size=60),
    data=st.binary(max_size=200),
    big=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_image_decodes_or_names_its_fault(
    height: int, width: int, step: int, encoding: str, data: bytes, big: bool
) -> None:
    message = Image(height=height, width=width, step=step, is_bigendian=big)
    message.encoding = encoding.replace("\0", "")
    message.data = array.array("B", data)
    for decode, shape in ((decode_image, (height, width, 3)), (decode_ids, (height, width))):
        try:
            decoded = decode(message)
        except ImageError as error:
            assert isinstance(error.fault, ImageFault) and str(error)
        else:
            assert decoded.shape == shape


@given(
    data=st.binary(max_size=300),
    image_format=st.sampled_from(["jpeg", "rgb8; jpeg compressed bgr8", "png", ""]),
)
@settings(max_examples=200, deadline=None)
def test_any_compressed_bytes_name_their_fault(data: bytes, image_format: str) -> None:
    for prefix in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"):
        message = CompressedImage(format=image_format, data=array.array("B", prefix + data))
        with pytest.raises(ImageError):
            decode_compressed(message)


@given(cut=st.integers(1, 400), kind=st.sampled_from(["jpeg", "png"]))
@settings(max_examples=60, deadline=None)
def test_a_cut_off_file_is_refused(cut: int, kind: str) -> None:
    rgb = random_rgb((24, 32))
    whole = encode_jpeg(rgb, Header()) if kind == "jpeg" else encode_png(rgb[..., 0], "mono8", Header())
    data = bytes(whole.data)
    whole.data = array.array("B", data[: max(len(data) - cut - 8, 0)])  # 8: PNG's last chunk ends with its checksum
    with pytest.raises(ImageError) as caught:
        decode_compressed(whole)
    assert caught.value.fault in (ImageFault.SHORT_DATA, ImageFault.ENCODING)


def test_compressed_colours_are_not_swapped() -> None:
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[..., 0] = 200
    decoded = decode_compressed(encode_jpeg(rgb, Header()))
    assert abs(int(decoded[..., 0].mean()) - 200) < 4 and decoded[..., 2].mean() < 4
    _, png = cv2.imencode(".png", rgb[..., ::-1])
    message = CompressedImage(format="rgb8; png compressed bgr8", data=array.array("B", png.tobytes()))
    np.testing.assert_array_equal(decode_compressed(message), rgb)


def test_a_small_file_cannot_claim_gigabytes() -> None:
    """A PNG of 60 bytes that announces 60000 x 60000 pixels must be refused before it is decoded."""
    header = b"IHDR" + (60000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    data = (
        b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    ) + b"\0\0\0\0IEND\xaeB`\x82"
    message = CompressedImage(format="png", data=array.array("B", data))
    with pytest.raises(ImageError) as caught:
        decode_compressed(message)
    assert caught.value.fault is ImageFault.SIZE


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"encoding": "bayer_rggb8"}, ImageFault.ENCODING),
        ({"encoding": "32FC1"}, ImageFault.ENCODING),
        ({"height": 0}, ImageFault.SIZE),
        ({"width": MAX_SIDE + 1}, ImageFault.SIZE),
        ({"step": 29}, ImageFault.STEP),
        ({"height": 9}, ImageFault.SHORT_DATA),
    ],
)
def test_faults_are_told_apart(change: dict[str, object], fault: ImageFault) -> None:
    message = message_of(random_rgb((8, 10)), "rgb8")
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(ImageError) as caught:
        decode_image(message)
    assert caught.value.fault is fault


def test_a_depth_png_is_not_taken_for_a_picture() -> None:
    depth = encode_png(np.full((4, 4), 1000, np.uint16), "16UC1", Header())
    with pytest.raises(ImageError) as caught:
        decode_compressed(depth)
    assert caught.value.fault is ImageFault.ENCODING


def test_header_is_passed_through() -> None:
    header = Header(frame_id="camera_color_optical_frame")
    header.stamp.sec, header.stamp.nanosec = 12, 345678901
    for message in (
        encode_image(np.zeros((2, 2), np.uint8), "mono8", header),
        encode_png(np.zeros((2, 2), np.uint8), "mono8", header),
        encode_jpeg(np.zeros((2, 2, 3), np.uint8), header),
    ):
        assert message.header == header
