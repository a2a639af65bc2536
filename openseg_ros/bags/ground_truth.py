"""True objects per image: from ground-truth topics of a bag, or from the answers of a reference run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from openseg_ros.bags.bag_error import BagError
from openseg_ros.bags.message_types import STRING, types_of
from openseg_ros.bags.reading import decode, header_stamp, open_bag
from openseg_ros.bags.recorded_run import PackedIds, RecordedRun, read_ids

INSTANCES_TOPIC = "/ground_truth/instances/compressed"
NAMES_TOPIC = "/ground_truth/names"

Names = dict[int, frozenset[str]]  # per id what the object may be called, case folded


@dataclass(frozen=True)
class TrueImage:
    """The true objects of one image."""

    ids: PackedIds
    names: Names


def has_truth(bag: Path) -> bool:
    """Whether a bag has ground truth on the usual topics.

    Raises:
        BagError: no readable bag.
    """
    with open_bag(bag) as reader:
        return INSTANCES_TOPIC in {connection.topic for connection in reader.connections}


def truth_of_topics(bag: Path) -> dict[int, TrueImage]:
    """Read ground truth, by stamp of the image.

    INSTANCES_TOPIC has id images (Image mono8 or 16UC1, or PNG) with the stamps of the camera's images; NAMES_TOPIC has
    std_msgs/String with JSON, id to name or list of names: {"3": ["cup", "mug"]}. The newest one counts, so that it may
    be sent once or with every image.

    Raises:
        BagError: a topic is missing, or its content is not as described.
    """
    instances, names = INSTANCES_TOPIC, NAMES_TOPIC
    with open_bag(bag) as reader:
        store = types_of(reader)
        topics = {connection.topic: connection for connection in reader.connections if connection.msgcount}
        missing = [topic for topic in (instances, names) if topic not in topics]
        if missing:
            raise BagError(f"'{bag}' has no ground truth on {', '.join(missing)}. Its topics: {', '.join(topics)}")
        if topics[names].msgtype != STRING:
            raise BagError(f"{names} has type {topics[names].msgtype}, not {STRING}")
        images: list[tuple[int, int, PackedIds]] = []
        described: list[tuple[int, Names]] = []
        for connection, time, content in reader.messages([topics[instances], topics[names]]):
            if connection.topic == instances:
                ids = PackedIds.of(read_ids(store, connection, content))
                images.append((header_stamp(content), time, ids))
            else:
                message = decode(store, connection, content)
                described.append((time, _parsed(message.data, names)))
    # The names of an image may be recorded a little after it; with equal times the order in the bag is open.
    times = np.array([time for time, _ in described])
    newest = np.searchsorted(times, [time for _, time, _ in images], side="right") - 1
    return {
        stamp: TrueImage(ids, described[max(0, row)][1]) for (stamp, _, ids), row in zip(images, newest, strict=True)
    }


def truth_of_run(reference: RecordedRun) -> dict[int, TrueImage]:
    """The masks of another run, by stamp; its phrases are the names."""
    phrases = reference.phrases_at()
    return {
        stamp: TrueImage(ids, {label: phrase.names for label, phrase in enumerate(phrases[stamp], start=1)})
        for stamp, ids in reference.masks.items()
        if stamp in phrases
    }


def _parsed(text: str, topic: str) -> Names:
    try:
        content = json.loads(text)
        return {
            int(number): frozenset(name.casefold() for name in ([names] if isinstance(names, str) else names))
            for number, names in content.items()
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise BagError(f'{topic}: not JSON such as {{"3": ["cup", "mug"]}}: {text[:60]!r} ({error})') from error
