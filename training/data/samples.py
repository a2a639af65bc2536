"""Training samples: a torch data set over COCO sources, its sampler, and the batches that the losses take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from openseg_ros.model.openseg import PIXEL_CENTRE
from training.data.augmentation import AugmentationConfig, augment
from training.data.coco import CocoPanoptic, read_pixels
from training.data.words import Vocabulary, WordRule, extract_words


@dataclass(frozen=True)
class Batch:
    """What one step trains on; B images, padded to M labelled masks and K words."""

    images: Tensor  # (B, 3, H, W) float32, normalised
    valid: Tensor  # (B, h, w) float32
    labels: Tensor  # (B, M, h, w) float32, share of a grid cell that the label covers
    label_exists: Tensor  # (B, M) bool
    words: Tensor  # (B, K) int64, rows of the word table; 0 where word_exists is False
    word_exists: Tensor  # (B, K) bool


@dataclass(frozen=True)
class SampleConfig:
    """How samples are made of records."""

    input_size: tuple[int, int]
    stride: int
    keep_probability: float = 0.75  # kp of app. H: the value of the paper's main rows (research A7)
    smallest_label: float = 0.5  # labels that cover fewer grid cells in all are dropped: no mask can show them


class CaptionedMasks(Dataset[dict[str, np.ndarray]]):
    """Augmented samples of one or more sources. An index is (record, random seed), so that a step can be redone."""

    def __init__(
        self,
        sources: Sequence[CocoPanoptic],
        *,
        rule: WordRule,
        augmentation: AugmentationConfig,
        config: SampleConfig,
    ) -> None:
        """Extract the words of all captions, once."""
        self.records = [record for source in sources for record in source.records]
        self.source_sizes = [len(source.records) for source in sources]
        captions = [[extract_words(text, rule) for text in record.captions] for record in self.records]
        self.vocabulary = Vocabulary.of(words for record in captions for words in record)
        rows = self.vocabulary.indices()
        self.captions = [
            [np.array([rows[word] for word in words], np.int64) for words in record] for record in captions
        ]
        self.augmentation = augmentation
        self.config = config

    def __len__(self) -> int:
        """Number of images."""
        return len(self.records)

    def __getitem__(self, index: tuple[int, int]) -> dict[str, np.ndarray]:
        """The sample of record `index[0]`, all randomness from `index[1]`."""
        record_index, seed = index
        random = np.random.default_rng(seed)
        record = self.records[record_index]
        config = self.config
        image, ids = read_pixels(record)
        image, ids, valid = augment(image, ids, config.input_size, self.augmentation, random)
        segment_ids = np.array([segment.id for segment in record.segments], np.int32)
        labels = grid_average(ids[None] == segment_ids[:, None, None], config.stride)
        labels = labels[labels.sum((1, 2)) >= config.smallest_label]
        return {
            "image": image,
            "valid": grid_average(valid[None], config.stride)[0],
            "labels": labels,
            "words": self._draw_words(record_index, random),
        }

    def _draw_words(self, record_index: int, random: np.random.Generator) -> np.ndarray:
        """Words of one random caption, each kept with probability kp, at least one (research A4)."""
        captions = self.captions[record_index]
        if not captions:
            return np.zeros(0, np.int64)
        words = captions[random.integers(len(captions))]
        kept = words[random.random(len(words)) < self.config.keep_probability]
        return kept if len(kept) or not len(words) else words[[random.integers(len(words))]]


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
        images=(images.float() - PIXEL_CENTRE) / PIXEL_CENTRE,
        valid=torch.from_numpy(np.stack([sample["valid"] for sample in samples])),
        labels=labels,
        label_exists=label_exists,
        words=words,
        word_exists=word_exists,
    )


def grid_average(masks: np.ndarray, stride: int) -> np.ndarray:
    """Masks (M, H, W) averaged over stride x stride cells to (M, H / stride, W / stride) float32."""
    count, height, width = masks.shape
    cells = masks.reshape(count, height // stride, stride, width // stride, stride)
    averaged: np.ndarray = cells.mean((2, 4), dtype=np.float32)
    return averaged
