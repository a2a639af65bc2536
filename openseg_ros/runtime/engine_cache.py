"""Compiled networks kept on disk, so that a node starts in seconds: exporting and converting take most of a start.

An entry is a folder named by everything that its content depends on, so nothing stale can be read. It appears whole, by
one rename, and is checked against its own hashes when read. A cache that cannot be used is never an error: the network
is then compiled again, and a warning says why.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

import openseg_ros.model
import openseg_ros.runtime
from openseg_ros.configuration import to_mapping
from openseg_ros.runtime.frames import frame_files
from openseg_ros.runtime.weights import Weights

ENTRIES = 8  # last used are kept; the shipped model takes 30 MB
CHECKSUMS = "sha256.json"

_log = logging.getLogger(__name__)
_chosen: ContextVar[Path | None] = ContextVar("folder of kept networks", default=None)


@dataclass(frozen=True)
class EngineRecipe:
    """What a compiled network depends on beside the weights and the network's code."""

    backend: str
    precision: str
    device: str  # the model of the processor; for a GPU with its compute capability: "NVIDIA H100 9.0"
    profile: str  # sizes that it accepts: "1..8x480x640"
    versions: tuple[str, ...]  # of the libraries that made it: "torch 2.13.0"


def cache_folder() -> Path:
    """Where entries lie: as `keeping_in` says, else `$OPENSEG_CACHE`, else in the user's cache folder."""
    chosen = _chosen.get() or os.environ.get("OPENSEG_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "openseg_ros"


@contextmanager
def keeping_in(folder: Path | None) -> Iterator[None]:
    """Entries lie in `folder` meanwhile, for this thread; None changes nothing."""
    token = _chosen.set(folder)
    try:
        yield
    finally:
        _chosen.reset(token)


def entry_key(weights: Weights, recipe: EngineRecipe) -> str:
    """Hash of what decides a compiled network and its report: tensors, configuration, frames, code, and `recipe`.

    Configuration and code stand for the graph, which only exporting it, for seconds, would tell. The code is that of
    the network and of what exports, compiles, compares and reports it.
    """
    parts = [weights.sha256, json.dumps(to_mapping(weights.description.model), sort_keys=True)]
    parts.append(json.dumps(asdict(recipe), sort_keys=True))
    code = sorted(file for package in (openseg_ros.model, openseg_ros.runtime) for file in _code_of(package))
    digest = hashlib.sha256("\0".join(parts).encode())
    for file in [*code, *frame_files(weights)]:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]


def _code_of(package: ModuleType) -> Iterator[Path]:
    return Path(package.__path__[0]).glob("*.py")


def kept_files(key: str) -> Path | None:
    """The folder of the entry `key`, or None if there is none or it is damaged (which is logged)."""
    entry = cache_folder() / key
    if not _is_whole(entry):
        return None
    try:
        os.utime(entry)  # used now: others are dropped first
    except OSError as error:
        _log.debug("%s: %s", entry, error)  # a cache of somebody else, which we only read
    return entry


def keep_files(key: str, make: Callable[[Path], None]) -> Path:
    """Make the entry `key` by `make(folder)`, in the place of an older one, and return its folder.

    Raises:
        OSError: full disk, no permission. Every error of `make` is passed on too; the older entry then stays.
    """
    entry = cache_folder() / key
    entry.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".new-") as scratch:
        unfinished = Path(scratch) / key
        unfinished.mkdir()
        make(unfinished)
        (unfinished / CHECKSUMS).write_text(json.dumps(_checksums(unfinished)), encoding="utf-8")
        if entry.exists():
            entry.rename(Path(scratch) / "old")
        try:
            unfinished.rename(entry)
        except OSError:
            if not _is_whole(entry):  # else another process was faster
                raise
    _drop_old(entry.parent)
    return entry


@contextmanager
def cached_files(key: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """The folder of the entry `key`, made by `make(folder)` where it is missing or damaged.

    If nothing can be kept (full disk, no permission), the reason is logged and the folder is a temporary one.

    Raises:
        OSError: not even a temporary folder can be written. Every error of `make` is passed on too.
    """
    entry = kept_files(key)
    if entry is None:
        try:
            entry = keep_files(key, make)
        except OSError as error:
            reason = "the compiled network is not kept in %s, so every start compiles it: %s"
            _log.warning(reason, cache_folder(), error)
    if entry is not None:
        yield entry
        return
    with tempfile.TemporaryDirectory() as temporary:
        make(Path(temporary))
        yield Path(temporary)


def _is_whole(entry: Path) -> bool:
    try:
        expected = json.loads((entry / CHECKSUMS).read_text(encoding="utf-8"))
        whole: bool = expected == _checksums(entry)
    except (FileNotFoundError, NotADirectoryError):
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
    entries = [path for path in folder.iterdir() if (path / CHECKSUMS).is_file()]  # other folders are not ours
    for old in sorted(entries, key=lambda path: path.stat().st_mtime, reverse=True)[ENTRIES:]:
        shutil.rmtree(old, ignore_errors=True)
