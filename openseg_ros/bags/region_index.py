"""The index of a bag for searching: vectors, boxes and times of all recorded regions, kept in the cache folder.

Reading an hour of messages takes a while, once. Afterwards a search maps the index into memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from openseg_ros.bags.bag_error import BagError
from openseg_ros.bags.message_types import REGIONS, types_of
from openseg_ros.bags.reading import connections_of, decode, files_of, open_bag
from openseg_ros.runtime.engine_cache import cache_folder
from openseg_ros.runtime.weights import Weights, write_atomically

FORMAT = "2"  # counts up when the content of an index changes
KEPT = 8  # newest indices; an hour with ten regions in each of ten images per second takes 0.6 GB

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class RegionIndex:
    """All regions of a bag whose vectors are of one embedding space: R regions of F images, in the order of the bag."""

    embeddings: torch.Tensor  # (R, D) float32, unit length, mapped from the file
    mask_quality: np.ndarray  # (R,) float32
    cohort_score: np.ndarray  # (R,) float32, of the model's calibration
    region: np.ndarray  # (R,) int32, the region's id in its image
    roi: np.ndarray  # (R, 4) int32 x y width height, pixels
    image: np.ndarray  # (R,) int64, rising: row of the four below
    stamp: np.ndarray  # (F,) int64 ns, of the image
    time: np.ndarray  # (F,) int64 ns, when the regions were recorded
    topic: np.ndarray  # (F,) int64, index into topics
    topics: tuple[str, ...]
    start: int  # ns, of the bag
    left_out: int  # images whose vectors are of another space
    all_regions: bool  # regions that answered no query were recorded too

    def __len__(self) -> int:
        """R."""
        return len(self.mask_quality)


def load_index(bag: Path, model: Weights, track: Callable[[int], None]) -> RegionIndex:
    """The bag's index, from the cache if the bag has not changed since.

    Args:
        bag: bag folder or file.
        model: the one whose vectors are wanted; the hash of its weights decides.
        track: told the number of messages read so far, only while an index is made.

    Raises:
        BagError: no readable bag, no regions or vectors in it, or only those of other spaces.
    """
    if not bag.exists():
        raise BagError(f"there is no bag '{bag}'")
    file = cache_folder() / f"bag_index_{_key(bag, model)}.safetensors"
    index = _read(file)
    if index is None:
        index = _make(bag, model, track)
        _write(file, index)
    return index


def space_hash(embedding_space: str) -> str:
    """The part that decides whether vectors compare: a model folder may have been renamed."""
    return embedding_space.rpartition("/")[2]


def _key(bag: Path, model: Weights) -> str:
    cohort = hashlib.sha256(model.calibration.words.tobytes()).hexdigest()
    facts = [FORMAT, space_hash(model.embedding_space), cohort, str(bag.resolve())]
    for file in files_of(bag):
        state = file.stat()
        facts += [file.name, str(state.st_size), str(state.st_mtime_ns)]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:32]


def _make(bag: Path, model: Weights, track: Callable[[int], None]) -> RegionIndex:
    wanted, dim = space_hash(model.embedding_space), model.description.model.embedding_dim
    other_spaces: dict[str, int] = {}
    without_vectors = 0
    all_regions = False
    vectors = bytearray()  # of float32, copied one by one: a view would keep its whole message, masks and all
    cohort_scores: list[np.ndarray] = []
    rows: list[tuple[float, int, int, int, int, int]] = []  # quality, id, x, y, width, height
    counts: list[int] = []  # regions per image
    frames: list[tuple[int, int, int]] = []  # stamp, time, topic
    with open_bag(bag) as reader:
        connections = connections_of(reader, REGIONS)
        if not connections:
            raise BagError(f"'{bag}' has no message of type {REGIONS}; record the node's topic ~/regions")
        topics = [connection.topic for connection in connections]
        store = types_of(reader)
        for number, (connection, time, content) in enumerate(reader.messages(connections), start=1):
            track(number)
            message = decode(store, connection, content)
            if not message.regions:
                continue
            if not message.embedding_dim:
                without_vectors += 1
                continue
            if space_hash(message.embedding_space) != wanted:
                other_spaces[message.embedding_space] = other_spaces.get(message.embedding_space, 0) + 1
                continue
            if message.embeddings.size != len(message.regions) * dim:
                raise BagError(
                    f"'{bag}', {connection.topic}: {message.embeddings.size} numbers are no vectors of "
                    f"{len(message.regions)} regions, {dim} each; the message is damaged"
                )
            embeddings = message.embeddings.reshape(len(message.regions), dim).astype(np.float32, copy=False)
            vectors += embeddings.tobytes()
            cohort_scores.append(model.calibration.cohort_score(embeddings))
            rows += [
                (r.mask_quality, r.id, r.roi.x_offset, r.roi.y_offset, r.roi.width, r.roi.height)
                for r in message.regions
            ]
            all_regions = all_regions or any(region.label == 0 for region in message.regions)
            counts.append(len(message.regions))
            stamp = message.header.stamp
            frames.append((stamp.sec * 10**9 + stamp.nanosec, time, topics.index(connection.topic)))
        start = reader.start_time
    if not frames:
        raise BagError(_why_nothing(bag, model.embedding_space, other_spaces, without_vectors))
    quality, numbers = np.array([row[0] for row in rows], np.float32), np.array([row[1:] for row in rows], np.int32)
    stamps, times, topic = np.array(frames, np.int64).T
    return RegionIndex(
        embeddings=torch.frombuffer(vectors, dtype=torch.float32).reshape(-1, dim),
        mask_quality=quality,
        cohort_score=np.concatenate(cohort_scores),
        region=numbers[:, 0],
        roi=numbers[:, 1:],
        image=np.repeat(np.arange(len(frames)), counts),
        stamp=stamps,
        time=times,
        topic=topic,
        topics=tuple(topics),
        start=start,
        left_out=sum(other_spaces.values()),
        all_regions=all_regions,
    )


def _why_nothing(bag: Path, embedding_space: str, other_spaces: dict[str, int], without_vectors: int) -> str:
    if other_spaces:
        found = ", ".join(f"{space} ({count} images)" for space, count in other_spaces.items())
        return (
            f"the vectors in '{bag}' are of another embedding space than the weights here: {found}, not "
            f"{embedding_space}. Vectors of two networks do not compare; give the folder of the model that was "
            "recorded with --weights"
        )
    if without_vectors:
        return (
            f"the regions in '{bag}' were recorded without vectors; set the node's parameter publish_embeddings to "
            "'all' before recording"
        )
    return f"none of the images recorded in '{bag}' has a region"


_ARRAYS = ("mask_quality", "cohort_score", "region", "roi", "image", "stamp", "time", "topic")


def _write(file: Path, index: RegionIndex) -> None:
    tensors = {name: torch.from_numpy(np.ascontiguousarray(getattr(index, name))) for name in _ARRAYS}
    facts = {
        "topics": list(index.topics),
        "start": index.start,
        "left_out": index.left_out,
        "all_regions": index.all_regions,
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, save({"embeddings": index.embeddings, **tensors}, {"facts": json.dumps(facts)}))
        files = sorted(file.parent.glob("bag_index_*.safetensors"), key=lambda path: path.stat().st_mtime)
        for old in files[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("the index of the bag is not kept in %s, so every search reads the bag: %s", file.parent, error)


def _read(file: Path) -> RegionIndex | None:
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as stream:  # maps the file; a damaged or cut one is refused
            facts = json.loads(stream.metadata()["facts"])
            arrays = {name: stream.get_tensor(name).numpy() for name in _ARRAYS}
            return RegionIndex(
                embeddings=stream.get_tensor("embeddings"),
                topics=tuple(facts["topics"]),
                start=facts["start"],
                left_out=facts["left_out"],
                all_regions=facts["all_regions"],
                **arrays,
            )
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        _log.warning("%s is damaged and is made again: %s", file, error)
        return None
