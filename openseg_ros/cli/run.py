"""`openseg run`: the node with the options of the launch file, for an installation with pip alone."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from openseg_ros.share_directory import share_file

# Fast DDS 2 (Humble, Jazzy) reads the first, Fast DDS 3 (Kilted and later) the second.
FAST_DDS_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


class ImageTransport(enum.Enum):
    """How images arrive."""

    RAW = "raw"
    COMPRESSED = "compressed"


class LogLevel(enum.Enum):
    """Least severity that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    FATAL = "fatal"


def run(
    namespace: Annotated[str, typer.Option(help="Namespace of the node and of all its topics.")] = "",
    name: Annotated[str, typer.Option(help="Name of the node.")] = "openseg",
    params_file: Annotated[
        Path | None, typer.Option(help="ROS 2 parameter file (YAML).", exists=True, dir_okay=False)
    ] = None,
    cameras: Annotated[
        str,
        typer.Option(
            help='Names of several cameras, "wrist, front". The three topics below are then those of each camera: '
            "below its name, or {camera} in them stands for it."
        ),
    ] = "",
    image: Annotated[str, typer.Option(help="Topic of the camera's images.")] = "image",
    camera_info: Annotated[str, typer.Option(help="Topic of the camera's intrinsics, for 3D.")] = "camera_info",
    depth: Annotated[
        str, typer.Option(help="Topic of depth images that are registered to the camera's, for 3D.")
    ] = "depth_registered/image_rect",
    use_3d: Annotated[bool | None, typer.Option(help="Positions and point clouds from depth.")] = None,
    backend: Annotated[str | None, typer.Option(help="Engine: auto, openvino, tensorrt or torch.")] = None,
    device: Annotated[str | None, typer.Option(help="Device of the engine: cpu, cuda:0.")] = None,
    weights: Annotated[str | None, typer.Option(help="Name of a shipped model, or a folder with one.")] = None,
    image_transport: Annotated[
        ImageTransport | None, typer.Option(help="Subscribe to raw or to compressed images.")
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(help='What to look for from the start: "red mug; bowl" or "pick the cup".'),
    ] = None,
    overlay: Annotated[bool, typer.Option(help="Offer the picture for people on ~/overlay.")] = True,
    autostart: Annotated[
        bool, typer.Option(help="Configure and activate; off: leave that to a lifecycle manager.")
    ] = True,
    use_sim_time: Annotated[bool, typer.Option(help="Take the time from /clock, as bags and simulators do.")] = False,
    log_level: Annotated[LogLevel, typer.Option(help="Least severity that is logged.")] = LogLevel.INFO,
) -> None:
    """Run the node: images and queries in, masks and regions out.

    Options that are not given leave the value of the parameter file, or else the node's default.
    """
    phrases = [phrase.strip() for phrase in (queries or "").split(";") if phrase.strip()]
    names = [name.strip() for name in cameras.split(",") if name.strip()]
    given = {
        "backend": backend,
        "device": device,
        "weights": weights,
        "image_transport": image_transport.value if image_transport is not None else None,
        "cameras": names or None,
        "use_3d": use_3d,
        "default_queries": phrases or None,
        "overlay_rate_hz": None if overlay else 0.0,
        "use_sim_time": True if use_sim_time else None,
    }
    topics = input_topics(names, image, camera_info, depth)
    use_large_shared_memory()
    try:
        from openseg_ros.nodes.openseg_node import run_node
    except ImportError as error:
        typer.echo(
            f"openseg run needs ROS 2 (rclpy and our messages): {error}. See 'Use it on a robot' in the README.",
            err=True,
        )
        raise typer.Exit(1) from error

    raise typer.Exit(
        run_node(
            ros_arguments(
                namespace=namespace,
                name=name,
                params_file=params_file,
                topics=topics,
                log_level=log_level.value,
            ),
            parameters={key: value for key, value in given.items() if value is not None},
            autostart=autostart,
        )
    )


def input_topics(cameras: Sequence[str], image: str, camera_info: str, depth: str) -> dict[str, str]:
    """The node's own names of its inputs, of each of `cameras` if there are any, to the topics that the options say."""
    # The compressed topic lies beside the raw one (image_transport's convention).
    topics = {
        "image": image,
        "image/compressed": f"{image}/compressed",
        "camera_info": camera_info,
        "depth_registered/image_rect": depth,
    }
    if not cameras:
        return topics
    return {f"{camera}/{own}": topic_of(camera, topic) for camera in cameras for own, topic in topics.items()}


def topic_of(camera: str, topic: str) -> str:
    """An option that names a topic of every camera, for one of them.

    Raises:
        typer.BadParameter: it is the same for all.
    """
    if "{camera}" in topic:
        return topic.replace("{camera}", camera)
    if topic.startswith("/"):
        raise typer.BadParameter(f"every camera would have the topic {topic}: write {{camera}} where its name belongs")
    return f"{camera}/{topic}"


def ros_arguments(
    *, namespace: str, name: str, params_file: Path | None, topics: Mapping[str, str], log_level: str
) -> list[str]:
    """The command line for rclpy: remappings (`topics`: the node's name to another), parameter file and log level."""
    arguments = ["openseg", "--ros-args", "--remap", f"__node:={name}"]
    if namespace:
        arguments += ["--remap", f"__ns:=/{namespace.strip('/')}"]
    for own, other in topics.items():
        if own != other:
            arguments += ["--remap", f"{own}:={other}"]
    if params_file is not None:
        arguments += ["--params-file", str(params_file)]
    return [*arguments, "--log-level", log_level]


def use_large_shared_memory() -> None:
    """Give Fast DDS the profile with room for images, unless the user has chosen one (see the README)."""
    if not any(variable in os.environ for variable in FAST_DDS_PROFILE_VARIABLES):
        profile = str(share_file("config/fastdds_shm.xml"))
        os.environ.update(dict.fromkeys(FAST_DDS_PROFILE_VARIABLES, profile))
