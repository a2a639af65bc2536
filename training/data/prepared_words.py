"""The words of all captions and their embeddings, made once and kept on disk: training runs no tagger, no text encoder.

The text encoder is frozen (paper 3.2) and sees one word at a time, so a table of a few ten thousand rows is all of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track
from safetensors import SafetensorError
from safetensors.numpy import load, save

from openseg_ros.configuration import to_mapping
from openseg_ros.runtime.weights import write_atomically
from openseg_ros.text.text_encoder import TextEncoder, load_text_encoder, text_encoder_source
from training.data.broken_records import DatasetError
from training.data.words import WordRule, extract_all

CHUNK = 2000  # captions that a process tags at a time: a fraction of a second
ONE_PROCESS = 20_000  # captions; so many take a few seconds, as long as starting processes does
ENCODED_AT_ONCE = 512  # words; a step of the progress bar

Item = TypeVar("Item")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedWords:
    """The words of a sequence of records, each with its captions."""

    words: tuple[str, ...]  # the vocabulary, sorted
    embeddings: np.ndarray  # (W, D) float32 unit rows, row i belongs to words[i]
    rows: list[list[np.ndarray]]  # per record, per caption: int64 rows of `words`


def prepare_words(captions: Sequence[Sequence[str]], rule: WordRule, encoder_name: str, cache: Path) -> PreparedWords:
    """Read the words of `captions` from the folder `cache`, or find, embed and keep them there.

    Args:
        captions: per record, its captions; records without captions keep their place.
        rule: which parts of a caption become words.
        encoder_name: as `load_text_encoder` takes it.
        cache: folder of one file for every (captions, rule, encoder), named by their hash.

    Raises:
        DatasetError: the file cannot be written.
        TextEncoderError: an unknown encoder, or it is needed and cannot be loaded.
    """
    path = cache.expanduser() / f"{words_key(captions, rule, encoder_name)}.safetensors"
    if path.exists():
        try:
            return _unpack(load(path.read_bytes()), captions)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            _log.warning("%s cannot be used and is made again: %s", path, error)
    encoder = load_text_encoder(encoder_name)  # first: damaged files should not cost minutes
    words, packed, lengths = _find_words([text for record in captions for text in record], rule)
    arrays = {
        "words": np.frombuffer("\n".join(words).encode(), np.uint8),
        "embeddings": _encode(words, encoder),
        "rows": packed,
        "lengths": lengths,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save(arrays))
    except OSError as error:
        raise DatasetError(f"cannot write the prepared words {path}: {error.strerror}") from error
    return _unpack(arrays, captions)


def words_key(captions: Sequence[Sequence[str]], rule: WordRule, encoder_name: str) -> str:
    """Hash of everything that decides the words and their embeddings, but what the hub has under an encoder's name.

    Raises:
        TextEncoderError: an unknown encoder.
    """
    source = text_encoder_source(encoder_name)
    encoder: dict[str, str] = {"name": source}
    if Path(source).is_dir():  # a model in files may change under the same name
        files = sorted(path for path in Path(source).iterdir() if path.is_file())
        encoder = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    facts = {"rule": to_mapping(rule), "encoder": encoder, "tagger": version("textblob"), "format": 2}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for record in captions:
        digest.update(b"%d:" % len(record))
        for text in record:
            content = text.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(content) + content)
    return digest.hexdigest()[:32]


def _find_words(texts: Sequence[str], rule: WordRule) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Sorted vocabulary, rows of all captions one after the other (int64), number of words of each (int64)."""
    numbers: dict[str, int] = {}  # by first appearance
    packed, lengths = array("q"), array("q")
    for words in _tagged(texts, rule):
        lengths.append(len(words))
        packed.extend(numbers.setdefault(word, len(numbers)) for word in words)
    vocabulary = sorted(numbers)
    rows = np.empty(len(numbers), np.int64)
    rows[[numbers[word] for word in vocabulary]] = np.arange(len(numbers))
    return tuple(vocabulary), rows[np.array(packed, np.int64)], np.array(lengths, np.int64)


def _tagged(texts: Sequence[str], rule: WordRule) -> Iterator[list[str]]:
    chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    work = partial(extract_all, rule=rule)
    processes = min(len(os.sched_getaffinity(0)), len(chunks))
    if len(texts) <= ONE_PROCESS or processes == 1:
        for chunk in _bar(chunks, "finding words"):
            yield from work(chunk)
        return
    # spawn: the trainer may hold a GPU and threads, which do not survive a fork
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        found = pool.imap(work, chunks)
        for _ in _bar(chunks, f"finding words on {processes} processes"):
            yield from next(found)


def _encode(words: Sequence[str], encoder: TextEncoder) -> np.ndarray:
    embeddings = np.zeros((len(words), encoder.dim), np.float32)
    for start in _bar(range(0, len(words), ENCODED_AT_ONCE), "embedding words"):
        embeddings[start : start + ENCODED_AT_ONCE] = encoder.encode(words[start : start + ENCODED_AT_ONCE])
    return embeddings


def _bar(items: Sequence[Item], description: str) -> Iterator[Item]:
    yield from track(items, description, console=Console(stderr=True), transient=True)


def _unpack(arrays: dict[str, np.ndarray], captions: Sequence[Sequence[str]]) -> PreparedWords:
    text = arrays["words"].tobytes().decode()
    words = tuple(text.split("\n")) if text else ()
    ends = np.concatenate([[0], np.cumsum(arrays["lengths"])]).tolist()
    if len(ends) != sum(map(len, captions)) + 1 or len(words) != len(arrays["embeddings"]):
        raise ValueError("its arrays do not fit each other")
    spans = pairwise(ends)
    packed = arrays["rows"]
    rows = [[packed[slice(*next(spans))] for _ in record] for record in captions]
    return PreparedWords(words, np.array(arrays["embeddings"]), rows)  # a copy: what was loaded is read-only
