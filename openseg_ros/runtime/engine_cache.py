"""Converted networks kept on disk, so that a node starts in seconds: exporting and converting take most of a start.

An entry is a folder named by everything that its content depends on, so nothing stale can be read. It appears whole, by
one rename, and is checked against its own hashes when read. A cache that cannot be used is never an error: the network
is then converted again, and a warning says why.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import openseg_ros.model
from openseg_ros.configuration import to_mapping
from openseg_ros.runtime.weights import Weights

ENTRIES = 8  # newest kept; the shipped model takes 30 MB
CHECKSUMS = "sha256.json"

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where entries lie: `$OPENSEG_CACHE`, else `openseg_ros` in the user's cache folder (`$XDG_CACHE_HOME`)."""
    chosen = os.environ.get("OPENSEG_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "openseg_ros"


def entry_key(weights: Weights, *made_by: str) -> str:
    """Hash of what decides a converted network: tensors, configuration, the network's code, the converting versions."""
    parts = [weights.sha256, json.dumps(to_mapping(weights.description.model), sort_keys=True), *made_by]
    code = sorted(Path(openseg_ros.model.__path__[0]).glob("*.py"))
    digest = hashlib.sha256("\0".join(parts).encode())
    for file in code:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]


def cached_files(key: str, make: Callable[[Path], None]) -> Path | None:
    """The folder of the entry `key`, made by `make(folder)` where it is missing or damaged.

    `make` raises OSError if it cannot write; every other error of it is passed on.

    Returns:
        None if there is nothing to read and nothing could be written (full disk, no permission); the reason is logged.
    """
    entry = cache_folder() / key
    if _is_whole(entry):
        return entry
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(entry, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".new-") as scratch:
            unfinished = Path(scratch) / key
            unfinished.mkdir()
            make(unfinished)
            (unfinished / CHECKSUMS).write_text(json.dumps(_checksums(unfinished)), encoding="utf-8")
            if not _is_whole(entry):  # another process may have been faster
                unfinished.rename(entry)
        _drop_old(entry.parent)
    except OSError as error:
        _log.warning("the converted network is not kept in %s, so every start converts it: %s", entry.parent, error)
        return entry if _is_whole(entry) else None
    return entry


def _is_whole(entry: Path) -> bool:
    try:
        expected = json.loads((entry / CHECKSUMS).read_text(encoding="utf-8"))
        whole: bool = expected == _checksums(entry)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        _log.warning("%s is damaged and is made again: %s", entry, error)
        return False
    if not whole:
        _log.warning("%s is damaged and is made again", entry)
    return whole


def _checksums(entry: Path) -> dict[str, str]:
    files = sorted(file for file in entry.iterdir() if file.name != CHECKSUMS)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _drop_old(folder: Path) -> None:
    entries = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for old in sorted(entries, key=lambda path: path.stat().st_mtime, reverse=True)[ENTRIES:]:
        shutil.rmtree(old, ignore_errors=True)
