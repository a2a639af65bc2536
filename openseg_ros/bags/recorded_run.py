"""What a bag tells about a run of the node: images, answers, vocabularies and masks, by the stamp of the image."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.interfaces import Connection
from rosbags.typesys.store import Typestore

from openseg_ros.bags.bag_error import BagError
from openseg_ros.bags.message_types import COMPRESSED_IMAGE, IMAGE, types_of
from openseg_ros.bags.reading import decode, header_stamp, open_bag
from openseg_ros.bags.recorded_images import camera_topics
from openseg_ros.image_messages import ImageError, decode_ids

_ACTIVE = 2  # QueryState.ACTIVE


@dataclass(frozen=True)
class PackedIds:
    """An id image, packed: those of an hour must fit into memory."""

    height: int
    width: int
    dtype: str
    content: bytes

    @classmethod
    def of(cls, ids: np.ndarray) -> PackedIds:
        """Pack (H, W) uint8 or uint16."""
        return cls(ids.shape[0], ids.shape[1], ids.dtype.name, zlib.compress(ids.tobytes(), 1))

    def ids(self) -> np.ndarray:
        """(H, W) in the type that was packed."""
        return np.frombuffer(zlib.decompress(self.content), self.dtype).reshape(self.height, self.width)


@dataclass(frozen=True)
class Answer:
    """One RegionArray."""

    stamp: int  # ns, of the image
    time: int  # ns, of its recording
    version: int  # of the vocabulary
    status: int


@dataclass(frozen=True)
class Phrase:
    """One label of a vocabulary."""

    text: str
    names: frozenset[str]  # text and aliases, case folded


@dataclass(frozen=True)
class Activation:
    """A vocabulary came into use."""

    version: int
    time: int  # ns, of its recording
    phrases: tuple[Phrase, ...]  # of label 1, 2, … K


@dataclass(frozen=True)
class RecordedRun:
    """A run of the node; everything in the order of the bag."""

    bag: Path
    camera: str | None  # topic of the processed images
    images: tuple[tuple[int, int], ...]  # stamp and recording time, ns
    answers: tuple[Answer, ...]
    activations: tuple[Activation, ...]
    queries: tuple[int, ...]  # recording times of requests, ns
    masks: dict[int, PackedIds]  # labels by stamp
    start: int  # ns
    end: int

    def phrases_at(self) -> dict[int, tuple[Phrase, ...]]:
        """By stamp of the image, the phrases of labels 1 to K that it was scored with.

        A node that is started again counts versions from the beginning: the newest activation before the answer counts,
        or the first one if the recorder was told of the answer first.
        """
        activations: dict[int, list[Activation]] = defaultdict(list)
        for activation in self.activations:
            activations[activation.version].append(activation)
        found: dict[int, tuple[Phrase, ...]] = {}
        for answer in self.answers:
            if same := activations.get(answer.version):
                newest = bisect_right(same, answer.time, key=lambda activation: activation.time) - 1
                found[answer.stamp] = same[max(0, newest)].phrases
        return found


def read_run(bag: Path, node: str, camera: str | None) -> RecordedRun:
    """Read a bag.

    Args:
        bag: bag folder or file.
        node: full name of the node, for example "/openseg"; "/openseg/wrist" for one of its several cameras.
        camera: topic of the processed images; None: the one whose stamps were answered most often.

    Raises:
        BagError: no readable bag, or no answers of that node in it.
    """
    with open_bag(bag) as reader:
        store = types_of(reader)
        topics = {connection.topic: connection for connection in reader.connections if connection.msgcount}
        regions = f"{node}/regions"
        if regions not in topics:
            raise BagError(f"'{bag}' has no answers: there is no message on {regions}. Its topics: {', '.join(topics)}")
        mask = next((name for name in (f"{node}/mask/compressed", f"{node}/mask") if name in topics), None)
        asked = node if f"{node}/query_state" in topics else node.rpartition("/")[0]  # of a camera: its node
        states, queries = f"{asked}/query_state", {f"{asked}/query", f"{asked}/query_array"} & set(topics)
        if camera is not None and camera not in topics:
            raise BagError(f"'{bag}' has no topic {camera}. Its topics: {', '.join(topics)}")
        cameras = camera_topics(reader, regions) if camera is None else [topics[camera]]
        images: dict[str, list[tuple[int, int]]] = {connection.topic: [] for connection in cameras}
        answers: list[Answer] = []
        activations: list[Activation] = []
        asked_at: list[int] = []
        masks: dict[int, PackedIds] = {}
        names = {regions, states, *queries, *images} | ({mask} if mask is not None else set())
        wanted = [topics[name] for name in names & set(topics)]
        for connection, time, content in reader.messages(wanted):
            if connection.topic in images:
                images[connection.topic].append((header_stamp(content), time))
            elif connection.topic in queries:
                asked_at.append(time)
            elif connection.topic == mask:
                masks[header_stamp(content)] = PackedIds.of(read_ids(store, connection, content))
            else:
                message = decode(store, connection, content)
                if connection.topic == states:
                    if message.status == _ACTIVE:
                        activations.append(Activation(message.version, time, _phrases(message)))
                else:
                    answers.append(Answer(header_stamp(content), time, message.vocabulary_version, message.status))
        chosen = _answered_camera(images, answers)
        return RecordedRun(
            bag=bag,
            camera=chosen,
            images=tuple(images[chosen]) if chosen is not None else (),
            answers=tuple(answers),
            activations=tuple(activations),
            queries=tuple(asked_at),
            masks=masks,
            start=reader.start_time,
            end=reader.end_time,
        )


def read_ids(store: Typestore, connection: Connection, content: bytes) -> np.ndarray:
    """The ids of an Image (mono8, 16UC1) or of a CompressedImage (PNG), (H, W) uint8 or uint16.

    Raises:
        BagError: another type or format.
    """
    message = decode(store, connection, content)
    if connection.msgtype == IMAGE:
        try:
            return decode_ids(message)
        except ImageError as error:
            raise BagError(f"{connection.topic}: {error}") from error
    if connection.msgtype != COMPRESSED_IMAGE:
        raise BagError(f"{connection.topic} has type {connection.msgtype}; ids are in {IMAGE} or {COMPRESSED_IMAGE}")
    try:
        ids = cv2.imdecode(message.data, cv2.IMREAD_UNCHANGED) if "png" in message.format else None
    except cv2.error:  # no data, or more pixels than OpenCV takes
        ids = None
    if ids is None or ids.ndim != 2:
        raise BagError(
            f"{connection.topic}: {len(message.data)} bytes of '{message.format}' are no id image, which is a PNG with "
            "one channel"
        )
    return ids


def _phrases(state: Any) -> tuple[Phrase, ...]:
    return tuple(
        Phrase(query.text, frozenset(name.casefold() for name in (query.text, *query.aliases)))
        for query in state.active
        if not query.background
    )


def _answered_camera(images: dict[str, list[tuple[int, int]]], answers: list[Answer]) -> str | None:
    stamps = {answer.stamp for answer in answers}
    common = {topic: len(stamps.intersection(stamp for stamp, _ in seen)) for topic, seen in images.items()}
    best = max(common, key=lambda topic: common[topic], default=None)
    return best if best is not None and common[best] else None
