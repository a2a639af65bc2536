"""Camera images between two processes with Fast DDS's own settings and with config/fastdds_shm.xml.

python -m benchmark.dds_profile --images 150

A camera process publishes at 30 Hz, best effort as cameras do; another counts what arrives, and how long after its
stamp. The sides take turns, each time with new processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Annotated

import numpy as np
import rclpy
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from benchmark.options import OutOption
from benchmark.timing import report
from demo.isolation import isolate
from openseg_ros.cli.run import FAST_DDS_PROFILE_VARIABLES
from openseg_ros.nodes.image_codec import encode_image
from openseg_ros.nodes.qos import camera_qos
from openseg_ros.nodes.stamp import nanoseconds

TOPIC, RATE_HZ = "/camera", 30.0
SIZES = {"640x480": (480, 640), "1280x720": (720, 1280)}
DISCOVERY_S, QUIET_S = 20.0, 2.0


def publish(height: int, width: int, images: int) -> None:
    """Be the camera: publish once somebody listens."""
    rclpy.init()
    node = rclpy.create_node("bench_camera")
    publisher = node.create_publisher(Image, TOPIC, camera_qos())
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    end = time.monotonic() + DISCOVERY_S
    while publisher.get_subscription_count() == 0 and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.5)  # the other side learns of us a moment later
    start = time.monotonic()
    for number in range(images):
        time.sleep(max(0.0, start + number / RATE_HZ - time.monotonic()))
        publisher.publish(encode_image(rgb, "rgb8", Header(stamp=node.get_clock().now().to_msg())))
    time.sleep(0.5)  # so that the last one is taken before its memory goes


def receive(images: int) -> None:
    """Print the latencies in seconds as JSON, once all `images` have come or none comes any more."""
    rclpy.init()
    node = rclpy.create_node("bench_listener")
    latencies: list[float] = []
    end = time.monotonic() + DISCOVERY_S

    def on_image(message: Image) -> None:
        nonlocal end
        latencies.append((node.get_clock().now().nanoseconds - nanoseconds(message.header.stamp)) * 1e-9)
        end = time.monotonic() + QUIET_S

    node.create_subscription(Image, TOPIC, on_image, camera_qos())
    while len(latencies) < images and time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    typer.echo(json.dumps(latencies))


def transfer(size: tuple[int, int], images: int, environment: dict[str, str]) -> list[float]:
    """Latencies of the images that arrived between two processes in `environment`."""
    program = [sys.executable, "-m", "benchmark.dds_profile", f"--images={images}"]
    listener = subprocess.Popen([*program, "--role=listener"], env=environment, stdout=subprocess.PIPE)
    camera = subprocess.Popen([*program, "--role=camera", f"--height={size[0]}", f"--width={size[1]}"], env=environment)
    printed, _ = listener.communicate()
    camera.wait()
    latencies: list[float] = json.loads(printed)
    return latencies


def main(
    images: Annotated[int, typer.Option(min=1, help="Images of one turn.")] = 150,
    turns: Annotated[int, typer.Option(min=1, help="Turns of every side.")] = 2,
    out: OutOption = None,
    role: Annotated[str, typer.Option(hidden=True)] = "",
    height: Annotated[int, typer.Option(hidden=True)] = 0,
    width: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Compare the two profiles."""
    if role == "camera":
        return publish(height, width, images)
    if role == "listener":
        return receive(images)
    isolate()
    ours = dict(os.environ)
    default = {name: value for name, value in ours.items() if name not in FAST_DDS_PROFILE_VARIABLES}
    sides = {
        f"{name}, {profile}": (size, environment)
        for name, size in SIZES.items()
        for profile, environment in (("Fast DDS's own", default), ("ours", ours))
    }
    arrived: dict[str, list[float]] = {name: [] for name in sides}
    for name in track(list(sides) * turns, "measuring", console=Console(stderr=True)):
        arrived[name] += transfer(sides[name][0], images, sides[name][1])
    lost = {name: 1.0 - len(latencies) / (images * turns) for name, latencies in arrived.items()}
    report(
        f"rgb8 images at {RATE_HZ:.0f} Hz between two processes: stamp to arrival",
        {name: np.array(latencies) for name, latencies in arrived.items() if latencies},
        out,
        {"images": images * turns, "lost": lost},
    )
    table = Table("", "lost", title="Images that never arrived")
    for name, share in lost.items():
        table.add_row(name, f"{share:.1%}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
