"""Records that a reader cannot use: reported with their place, counted, skipped up to a limit, never silently."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

LISTED = 5  # problems named in an error; the log has them all

_log = logging.getLogger(__name__)


class DatasetError(RuntimeError):
    """A data set is missing or broken; the message names the file and the record."""


class BrokenRecords:
    """The broken records of one source."""

    def __init__(self, limit: int) -> None:
        """Tolerate `limit` broken records."""
        self.limit = limit
        self.found: list[str] = []

    @contextmanager
    def record(self, where: str) -> Iterator[None]:
        """Take an error of the enclosed lines as a broken record at `where`, such as "file.jsonl:17".

        Raises:
            DatasetError: there are more broken records than the limit.
        """
        try:
            yield
        except KeyError as error:
            self.add(f"{where}: missing {error}")
        except (TypeError, ValueError, AttributeError) as error:
            self.add(f"{where}: {error}")

    def add(self, problem: str) -> None:
        """Report and count one broken record.

        Raises:
            DatasetError: there are more broken records than the limit.
        """
        self.found.append(problem)
        _log.warning("broken record skipped: %s", problem)
        if len(self.found) > self.limit:
            raise too_many_broken(self.found, self.limit)


def too_many_broken(found: list[str], limit: int) -> DatasetError:
    """The error for more than `limit` broken records, with the first ones."""
    first = "\n  ".join(found[:LISTED])
    return DatasetError(
        f"{len(found)} broken records, skip_limit allows {limit}; mend them or raise skip_limit:\n  {first}"
    )
