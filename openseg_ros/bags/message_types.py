"""Definitions of the messages in bags: ROS 2's own, ours, and those of packages that are installed."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from openseg_ros.bags.bag_error import BagError
from openseg_ros.share_directory import share_directory

REGIONS = "openseg_ros/msg/RegionArray"
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
STRING = "std_msgs/msg/String"

_FIELD_TYPE = re.compile(r"^\s*([A-Za-z]\w*)/(?:msg/)?([A-Za-z]\w*)(?:\[[^\]]*\])?\s", re.MULTILINE)


def installed_types() -> Typestore:
    """ROS 2's common messages and ours."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for file in sorted((share_directory() / "msg").glob("*.msg")):
        store.register(get_types_from_msg(file.read_text(encoding="utf-8"), f"openseg_ros/msg/{file.stem}"))
    return store


def types_of(reader: Reader) -> Typestore:
    """The types of an open bag. Its own definitions of our messages win: it may be of an older version."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for connection in reader.connections:
        definition = connection.msgdef
        if connection.msgtype.startswith("openseg_ros/") and definition.format == MessageDefinitionFormat.MSG:
            recorded = get_types_from_msg(definition.data, connection.msgtype)
            store.register({name: fields for name, fields in recorded.items() if name not in store.fielddefs})
    ours = installed_types()
    store.register({name: fields for name, fields in ours.fielddefs.items() if name not in store.fielddefs})
    return store


def add_installed_type(store: Typestore, name: str) -> None:
    """Add a message type, and those that its fields need, from the packages of this ROS installation.

    Args:
        store: gets the types that it does not have yet.
        name: for example "vision_msgs/msg/Detection2DArray".

    Raises:
        BagError: no installed package has its definition.
    """
    if name in store.fielddefs:
        return
    package, _, message = name.partition("/msg/")
    relative = Path("share") / package / "msg" / f"{message}.msg"
    prefixes = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    file = next((prefix / relative for prefix in [*prefixes, Path(sys.prefix)] if (prefix / relative).is_file()), None)
    if file is None:
        raise BagError(f"no definition of {name}: {relative} is in none of the prefixes of AMENT_PREFIX_PATH")
    text = file.read_text(encoding="utf-8")
    for field_package, field_message in _FIELD_TYPE.findall(text):
        add_installed_type(store, f"{field_package}/msg/{field_message}")
    for field_message in re.findall(r"^\s*([A-Z]\w*)(?:\[[^\]]*\])?\s+\w+", text, re.MULTILINE):
        if field_message != message:
            add_installed_type(store, f"{package}/msg/{field_message}")
    store.register(get_types_from_msg(text, name))
