"""Training samples: a torch data set over annotated images, its sampler, and the batches that the losses take."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler, get_worker_info

from openseg_ros.model.openseg import PIXEL_CENTRE
from training.data.augmentation import AugmentationConfig, Placement, augment
from training.data.broken_records import DatasetError, too_many_broken
from training.data.grid_labels import cell_classes, mask_shares, segment_shares
from training.data.pixels import check_size, read_ids, read_image
from training.data.prepared_words import PreparedWords
from training.data.records import AnnotatedImages

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """What one step trains on; B images, padded to M labelled masks and K words."""

    images: Tensor  # (B, 3, H, W) float32, normalised
    valid: Tensor  # (B, h, w) float32
    labels: Tensor  # (B, M, h, w) float32, share of a grid cell that the label covers
    label_exists: Tensor  # (B, M) bool
    classes: Tensor  # (B, h, w) int64, row of the class list that covers most of a grid cell, -1 = unlabelled
    words: Tensor  # (B, K) int64, rows of the word table; 0 where word_exists is False
    word_exists: Tensor  # (B, K) bool


@dataclass(frozen=True)
class SampleConfig:
    """How samples are made of records."""

    input_size: tuple[int, int]
    stride: int
    keep_probability: float = 0.75  # kp of app. H: the value of the paper's main rows
    smallest_label: float = 0.5  # labels that cover fewer grid cells in all are dropped: no mask can show them


class CaptionedMasks(Dataset[dict[str, np.ndarray]]):
    """Augmented samples of one or more sources. An index is (record, random seed), so that a step can be redone.

    A record whose pixels cannot be read is reported and counted as broken, for all loader processes together, and
    another of its source takes its place, drawn from the sample's own seed. When a source then has more broken records
    than its `skip_limit`, those found while reading it included, a DatasetError lists them.
    """

    def __init__(
        self,
        sources: Sequence[AnnotatedImages],
        words: PreparedWords,
        *,
        augmentation: AugmentationConfig,
        config: SampleConfig,
    ) -> None:
        """Join `sources`.

        Raises:
            DatasetError: `words` are those of other captions.
        """
        self.sources = tuple(sources)
        self.records = [record for source in sources for record in source.records]
        self.source_sizes = [len(source.records) for source in sources]
        self.words = words
        if [len(rows) for rows in words.rows] != [len(record.captions) for record in self.records]:
            raise DatasetError("the prepared words belong to other captions; prepare them from these sources")
        # Sources number their classes as they like; classes of one name are one.
        self.class_names = tuple(dict.fromkeys(name for source in sources for name in source.categories.values()))
        row_of_name = {name: row for row, name in enumerate(self.class_names)}
        self._class_rows = [
            {category: row_of_name[name] for category, name in source.categories.items()} for source in sources
        ]
        self.augmentation = augmentation
        self.config = config
        # Shared memory: what one loader process has found broken, all know.
        self._unreadable = torch.zeros(len(self.records), dtype=torch.bool).share_memory_()

    def __len__(self) -> int:
        """Number of images."""
        return len(self.records)

    def __getitem__(self, index: tuple[int, int]) -> dict[str, np.ndarray]:
        """The sample of record `index[0]`, all randomness from `index[1]`."""
        if get_worker_info() is not None:
            cv2.setNumThreads(0)  # each loader process is one thread; more would fight over the cores
        record, seed = index
        # Apart from the sample's own, which starts anew for each record: what a record drew before it failed does not
        # count, so that a run draws the same whether or not it knows already that the record is broken.
        replacement = np.random.default_rng((seed, 1))
        while True:
            if not self._unreadable[record]:
                try:
                    return self._sample(record, np.random.default_rng(seed))
                except DatasetError as error:
                    self._note_unreadable(record, error)
            source, first = self._source_of(record)
            record = first + int(replacement.integers(self.source_sizes[source]))

    def _sample(self, index: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        record, config = self.records[index], self.config
        image = read_image(record.image_file, upright=not (record.panoptic_file or record.masks))
        ids = None
        if record.panoptic_file:
            ids = read_ids(record.panoptic_file)
            check_size(image, record.image_file, ids.shape, record.panoptic_file)
        elif record.masks:
            check_size(image, record.image_file, (record.masks.height, record.masks.width), "its masks")
        padded, placement = augment(image, config.input_size, self.augmentation, random)
        labels, classes = self._labels(index, ids, placement)
        return {
            "image": padded,
            "valid": placement.valid(config.stride),
            "labels": labels[labels.sum((1, 2)) >= config.smallest_label],
            "classes": classes,
            "words": self._draw_words(index, random),
        }

    def _labels(self, index: int, ids: np.ndarray | None, placement: Placement) -> tuple[np.ndarray, np.ndarray]:
        """Shares (M, h, w) of the masks of a record, and its cells' classes (h, w)."""
        record, stride = self.records[index], self.config.stride
        if ids is not None:
            row_of_category = self._class_rows[self._source_of(index)[0]]
            segment_ids = np.array([segment.id for segment in record.segments], np.int32)
            rows = np.array([row_of_category[segment.category] for segment in record.segments], np.int64)
            shares = segment_shares(ids, segment_ids, placement, stride)
            return shares, cell_classes(shares, rows)
        grid = tuple(side // stride for side in placement.input_size)
        shares = mask_shares(record.masks, placement, stride) if record.masks else np.zeros((0, *grid), np.float32)
        return shares, np.full(grid, -1, np.int64)

    def _draw_words(self, index: int, random: np.random.Generator) -> np.ndarray:
        """Words of one random caption, each kept with probability kp, at least one."""
        captions = self.words.rows[index]
        if not captions:
            return np.zeros(0, np.int64)
        words = captions[random.integers(len(captions))]
        kept = words[random.random(len(words)) < self.config.keep_probability]
        return kept if len(kept) or not len(words) else words[[random.integers(len(words))]]

    def _source_of(self, record: int) -> tuple[int, int]:
        """Index of the source that `record` belongs to, and the source's first record."""
        ends = np.cumsum(self.source_sizes)
        source = int(np.searchsorted(ends, record, side="right"))
        return source, int(ends[source]) - self.source_sizes[source]

    def _note_unreadable(self, record: int, error: DatasetError) -> None:
        _log.warning("broken record replaced: %s", error)
        self._unreadable[record] = True
        number, first = self._source_of(record)
        source = self.sources[number]
        broken = [first + int(row) for row in self._unreadable[first : first + len(source.records)].nonzero()]
        if len(source.problems) + len(broken) > source.skip_limit or len(broken) == len(source.records):
            others = [f"{self.records[other].image_file} or its labels" for other in broken if other != record]
            raise too_many_broken([str(error), *others, *source.problems], source.skip_limit) from error


class StepSampler(Sampler[list[tuple[int, int]]]):
    """Batches that depend only on (seed, step): a resumed run draws what an unbroken one would have drawn.

    Sources are drawn with equal probability (paper 4.1), records without replacement inside an epoch of one source.
    """

    def __init__(
        self,
        *,
        source_sizes: Sequence[int],
        batch: int,
        seed: int,
        first_step: int,
        steps: int,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        """`batch` samples for each of the steps `first_step` .. `steps` - 1, for process `rank` of `processes`."""
        self.rank = rank
        self.processes = processes
        self.source_sizes = tuple(source_sizes)
        self.batch = batch
        self.seed = seed
        self.first_step = first_step
        self.steps = steps

    def __len__(self) -> int:
        """Number of batches left."""
        return self.steps - self.first_step

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Lists of (record, seed)."""
        offsets = np.concatenate([[0], np.cumsum(self.source_sizes)])
        epochs: dict[tuple[int, int], np.ndarray] = {}
        for step in range(self.first_step, self.steps):
            first = (step * self.processes + self.rank) * self.batch
            positions = range(first, first + self.batch)
            batch = []
            for position in positions:
                source = position % len(self.source_sizes)
                turn = position // len(self.source_sizes)
                epoch, place = divmod(turn, self.source_sizes[source])
                if (source, epoch) not in epochs:
                    random = np.random.default_rng((self.seed, source, epoch))
                    epochs = {key: order for key, order in epochs.items() if key[0] != source or key[1] >= epoch - 1}
                    epochs[source, epoch] = random.permutation(self.source_sizes[source])
                record = int(offsets[source] + epochs[source, epoch][place])
                batch.append((record, int(np.random.default_rng((self.seed, 1 << 32, position)).integers(1 << 62))))
            yield batch


def collate(samples: Sequence[dict[str, np.ndarray]]) -> Batch:
    """Stack samples; labels and words are padded to the longest of the batch."""
    images = torch.from_numpy(np.stack([sample["image"] for sample in samples])).permute(0, 3, 1, 2)
    grid = samples[0]["valid"].shape
    most_labels = max(1, *(len(sample["labels"]) for sample in samples))
    most_words = max(1, *(len(sample["words"]) for sample in samples))
    labels = torch.zeros(len(samples), most_labels, *grid)
    words = torch.zeros(len(samples), most_words, dtype=torch.int64)
    label_exists = torch.zeros(len(samples), most_labels, dtype=torch.bool)
    word_exists = torch.zeros(len(samples), most_words, dtype=torch.bool)
    for row, sample in enumerate(samples):
        labels[row, : len(sample["labels"])] = torch.from_numpy(sample["labels"])
        label_exists[row, : len(sample["labels"])] = True
        words[row, : len(sample["words"])] = torch.from_numpy(sample["words"])
        word_exists[row, : len(sample["words"])] = True
    return Batch(
        images=images.float().sub_(PIXEL_CENTRE).div_(PIXEL_CENTRE),
        valid=torch.from_numpy(np.stack([sample["valid"] for sample in samples])),
        labels=labels,
        label_exists=label_exists,
        classes=torch.from_numpy(np.stack([sample["classes"] for sample in samples])),
        words=words,
        word_exists=word_exists,
    )
