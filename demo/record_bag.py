"""Record the demo's bag: a camera that moves round a rendered table, with the true masks beside it.

    python -m demo.record_bag --seed 82            # rewrites demo/table_bag

The scene's seed is not among those of the training or validation sets (training/EXPERIMENTS.md lists them).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.progress import track

from openseg_ros.bags.ground_truth import INSTANCES_TOPIC, NAMES_TOPIC
from openseg_ros.bags.message_types import COMPRESSED_IMAGE, STRING, installed_types
from openseg_ros.bags.writing import BagWriter
from training.world.scene import Scene, Sources
from training.world.sequence import film

BAG = Path(__file__).parent / "table_bag"
IMAGE_TOPIC = "/camera/image_raw/compressed"
FRAME_ID = "camera_color_optical_frame"
RATE_HZ = 10.0
FRAMES = 50
KINDS = ("cup", "banana", "bowl", "book", "tape roll", "apple")  # a cup to pick, and no scissors
JPEG_QUALITY = 90  # what cameras' compressed transports send
EPOCH_NS = 1_700_000_000 * 10**9  # any fixed time: the same arguments then give the same bag


def main(
    seed: Annotated[int, typer.Option(help="Seed of the scene.")] = 82,
    out: Annotated[Path, typer.Option(help="Bag folder; an existing one is replaced.")] = BAG,
) -> None:
    """Render the scene and write the bag."""
    shutil.rmtree(out, ignore_errors=True)
    store = installed_types()
    types = store.types
    world = Scene(seed, 0, Sources(), height=480, width=640, kinds=KINDS)
    frames = film(world, height=480, width=640, frames=FRAMES, rate=RATE_HZ)
    with BagWriter(out) as bag:
        images = bag.add_topic(IMAGE_TOPIC, COMPRESSED_IMAGE)
        truths = bag.add_topic(INSTANCES_TOPIC, COMPRESSED_IMAGE)
        names = bag.add_topic(NAMES_TOPIC, STRING)
        for frame in track(frames, "rendering", total=FRAMES):
            stamp = EPOCH_NS + round(frame.time * 1e9)
            header = types["std_msgs/msg/Header"](
                types["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9), FRAME_ID
            )
            view = frame.view
            bgr = view.rgb[..., ::-1]
            jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].ravel()
            png = cv2.imencode(".png", view.instances.astype(np.uint16))[1].ravel()
            described = {segment.id: [segment.name, *segment.nouns] for segment in view.segments}
            contents = (
                (images, types[COMPRESSED_IMAGE](header, "rgb8; jpeg compressed bgr8", jpeg), COMPRESSED_IMAGE),
                (truths, types[COMPRESSED_IMAGE](header, "16UC1; png compressed ", png), COMPRESSED_IMAGE),
                (names, types[STRING](json.dumps(described)), STRING),
            )
            for connection, message, message_type in contents:
                bag.write(connection, stamp, store.serialize_cdr(message, message_type))
    size = sum(file.stat().st_size for file in out.iterdir())
    typer.echo(f"{out}: {FRAMES} frames, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
