"""JSON files of annotations, small ones whole and large ones piece by piece."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from training.data.broken_records import DatasetError

CHUNK = 1 << 24  # characters read at once

_SPACE = re.compile(r"\s*")


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in `path`.

    Raises:
        DatasetError: the file cannot be read, is not JSON, or is not a mapping.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path} must hold a mapping, not a {type(content).__name__}")
    return content


def stream_json(path: Path) -> Iterator[tuple[str, Any]]:
    """Every item of every list of the mapping in `path`, and every other value, each with its key.

    Masks of half a million images are gigabytes of JSON, and many times that as Python objects; this holds a chunk.

    Raises:
        DatasetError: the file cannot be read, is not JSON, or is not a mapping.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            yield from _Scanner(stream).mapping()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error


class _Scanner:
    """A window on a stream of JSON text."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = ""
        self._position = 0
        self._before = 0  # characters that have left the window
        self._decoder = json.JSONDecoder()

    def mapping(self) -> Iterator[tuple[str, Any]]:
        self._expect("{")
        more = self._peek() != "}"
        while more:
            key = self._value()
            self._expect(":")
            if self._peek() == "[":
                for item in self._items():
                    yield key, item
            else:
                yield key, self._value()
            more = self._separator("}")

    def _items(self) -> Iterator[Any]:
        self._expect("[")
        if self._peek() == "]":
            self._expect("]")
            return
        while True:
            yield self._value()
            if not self._separator("]"):
                return

    def _separator(self, end: str) -> bool:
        """Pass a comma (True) or `end` (False)."""
        found = self._peek()
        self._expect("," if found == "," else end)
        return found == ","

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                place = self._before + error.pos
                if self._fill():
                    continue
                raise ValueError(f"{error.msg} (character {place})") from error
            # A number that touches the window's end may go on behind it.
            if end == len(self._text) and self._fill():
                continue
            self._position = end
            return value

    def _peek(self) -> str:
        """The next character that is not a space."""
        while True:
            space = _SPACE.match(self._text, self._position)
            self._position = space.end() if space else self._position
            if self._position < len(self._text) or not self._fill():
                return self._text[self._position : self._position + 1]

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise ValueError(f"expected '{character}' at character {self._before + self._position}")
        self._position += 1

    def _fill(self) -> bool:
        """Read on; False at the end of the file."""
        chunk = self._stream.read(CHUNK)
        self._before += self._position
        self._text = self._text[self._position :] + chunk
        self._position = 0
        return bool(chunk)
