"""How a bag is stored. Apart from the writer, so that `openseg --help` need not import that."""

from __future__ import annotations

import enum


class Storage(enum.Enum):
    """File format of a bag."""

    MCAP = "mcap"
    SQLITE3 = "sqlite3"


class Compression(enum.Enum):
    """What zstd is applied to."""

    NONE = "none"
    FILE = "file"
    MESSAGE = "message"
