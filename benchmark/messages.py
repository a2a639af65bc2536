"""Building and serialising messages: arrays that rclpy takes as they are, against lists and nested messages.

python -m benchmark.messages
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import typer
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Float32MultiArray, Header

from benchmark.options import OutOption, RoundsOption
from benchmark.timing import measure, report
from openseg_ros.msg import RegionArray
from openseg_ros.nodes.image_codec import encode_image
from openseg_ros.nodes.message_conversion import flat_vectors

REGIONS, DIMENSION = 32, 384
SIZE = (480, 640)


def main(
    rounds: RoundsOption = 50,
    out: OutOption = None,
) -> None:
    """Compare ways to fill messages."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(REGIONS, DIMENSION)).astype(np.float32)
    ids = random.integers(0, 255, SIZE, dtype=np.uint8)
    header = Header(frame_id="camera")

    def nested() -> list[bytes]:
        return [serialize_message(Float32MultiArray(data=row.tolist())) for row in vectors]

    def image_from_list() -> bytes:
        message = Image(header=header, height=SIZE[0], width=SIZE[1], encoding="mono8", step=SIZE[1])
        message.data = ids.ravel().tolist()
        return bytes(serialize_message(message))

    rivals: dict[str, Callable[[], object]] = {
        "embeddings: flat array": lambda: serialize_message(RegionArray(embeddings=flat_vectors(vectors))),
        "embeddings: flat list": lambda: serialize_message(RegionArray(embeddings=vectors.ravel().tolist())),
        "embeddings: a message each": nested,
        "mask: array": lambda: serialize_message(encode_image(ids, "mono8", header)),
        "mask: list": image_from_list,
    }
    report(
        f"{REGIONS} embeddings of {DIMENSION}, and a mask of {SIZE[1]}x{SIZE[0]}",
        measure(rivals, rounds),
        out,
        {"rounds": rounds},
    )


if __name__ == "__main__":
    typer.run(main)
