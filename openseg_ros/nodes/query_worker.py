"""Turns queries into vocabularies in a thread of its own, so that no image waits for the text encoder.

The worker owns the one current `Vocabulary`. It is immutable and replaced as a whole; whoever takes
`vocabulary` has a snapshot that no later query can change. Its version goes up by one with every accepted change,
and the state that announces a version is published before any image can be scored with it.
"""

from __future__ import annotations

import enum
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openseg_ros.text.command import parse_query_text, parse_typed_queries
from openseg_ros.text.part_of_speech import load_lexicon
from openseg_ros.text.text_encoder import TextEncoder
from openseg_ros.text.vocabulary import Query, QueryError, Vocabulary, build_vocabulary

MAX_WAITING = 32  # requests; a faster stream of queries than the encoder can follow is refused with a reason
CLEANED_UP = "the node is being cleaned up"
STOP_TIMEOUT_S = 10.0  # for the phrases in work; a thousand phrases take a few seconds


class QueryStatus(enum.IntEnum):
    """Numbers of QueryState.status."""

    IDLE = 0
    ENCODING = 1
    ACTIVE = 2
    REJECTED = 3


@dataclass(frozen=True)
class QueryReport:
    """What became of a request, and the vocabulary that is in use after it."""

    status: QueryStatus
    vocabulary: Vocabulary
    parsed_phrases: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    message: str = ""


def _ignore(report: QueryReport) -> None:
    """For requests whose answer is only announced."""


@dataclass(frozen=True)
class _Request:
    text: str | None  # a phrase, several, or a command; None: `queries` holds the typed form
    queries: tuple[Query, ...]
    replace: bool
    answered: Callable[[QueryReport], None]


class QueryWorker:
    """Encodes requests one after the other, in the order of their arrival.

    Args:
        encoder: text encoder of the loaded weights.
        background: queries that belong to every vocabulary.
        first_version: version of the vocabulary that is in use before any request, which has no query.
        announce: called with every new state, before an image can be scored with its vocabulary.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        background: Sequence[Query],
        first_version: int,
        announce: Callable[[QueryReport], None],
    ) -> None:
        """Build the vocabulary without a query.

        Raises:
            QueryError: a background query cannot be used.
        """
        vocabulary = build_vocabulary(background, encoder, first_version)
        if vocabulary.rejected:
            raise QueryError("background_queries: " + "; ".join(vocabulary.rejected))
        self.vocabulary = vocabulary
        self._encoder = encoder
        self._background = tuple(background)
        self._asked: tuple[Query, ...] = ()
        self._announce = announce
        self._requests: queue.Queue[_Request | None] = queue.Queue(MAX_WAITING)
        self._is_stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="openseg_queries", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse what still waits and end the thread."""
        self._is_stopped = True
        if self._thread is None:
            return
        while True:
            try:
                waiting = self._requests.get_nowait()
            except queue.Empty:
                break
            if waiting is not None:
                waiting.answered(self._refusal(CLEANED_UP))
        self._requests.put(None)
        self._thread.join(STOP_TIMEOUT_S)
        self._thread = None

    def ask_text(self, text: str, answered: Callable[[QueryReport], None] = _ignore) -> None:
        """Look for what `text` says (see `parse_query_text`) instead of what was asked before. Never blocks.

        `answered` is called once: from the worker's thread, or at once if the request cannot even wait.
        """
        self._submit(_Request(text, (), True, answered))

    def ask(
        self, queries: Sequence[Query], *, replace: bool, answered: Callable[[QueryReport], None] = _ignore
    ) -> None:
        """Look for `queries`, instead of or besides what was asked before; replacing by nothing is allowed."""
        self._submit(_Request(None, tuple(queries), replace, answered))

    def answer_text(self, text: str) -> QueryReport:
        """Like `ask_text`, but encode in the caller's thread; only before `start`."""
        return self._answer(_Request(text, (), True, _ignore))

    def _submit(self, request: _Request) -> None:
        if self._is_stopped:
            request.answered(self._refusal(CLEANED_UP))
            return
        try:
            self._requests.put_nowait(request)
        except queue.Full:
            report = self._refusal(f"too many queries at once: {MAX_WAITING} wait already")
            self._announce(report)
            request.answered(report)

    def _run(self) -> None:
        load_lexicon()  # now, so that the first sentence does not wait for it
        while (request := self._requests.get()) is not None:
            request.answered(self._answer(request))

    def _answer(self, request: _Request) -> QueryReport:
        """Change the vocabulary, or keep it and say why; announces the states on the way."""
        try:
            report = self._encode(request)
        except QueryError as error:
            report = self._refusal(str(error))
        except Exception as error:  # the encoder failed: the old vocabulary stays in use
            report = self._refusal(f"the text encoder failed: {type(error).__name__}: {error}")
        self._announce(report)
        self.vocabulary = report.vocabulary
        return report

    def _encode(self, request: _Request) -> QueryReport:
        if request.text is None:
            parsed = parse_typed_queries(request.queries)
        else:
            parsed = parse_query_text(request.text)
            if not parsed.queries:
                raise QueryError("the text is empty; to look for nothing, replace the queries by an empty QueryArray")
        queries, message = parsed.queries, parsed.message
        phrases = tuple(query.text for query in queries)
        self._announce(QueryReport(QueryStatus.ENCODING, self.vocabulary, phrases, (), message))
        asked = queries if request.replace else (*self._asked, *queries)
        vocabulary = build_vocabulary((*asked, *self._background), self._encoder, self.vocabulary.version + 1)
        names = {name.casefold() for query in vocabulary.queries for name in (query.text, *query.aliases)}
        accepted = tuple(phrase for phrase in phrases if " ".join(phrase.split()).casefold() in names)
        if phrases and not accepted:
            raise QueryError("no query can be used: " + "; ".join(vocabulary.rejected))
        self._asked = tuple(query for query in vocabulary.queries if not self._is_parameter(query))
        status = QueryStatus.ACTIVE if vocabulary.num_labels else QueryStatus.IDLE
        return QueryReport(status, vocabulary, accepted, vocabulary.rejected, message)

    def _is_parameter(self, query: Query) -> bool:
        """Whether `query` stands in the vocabulary because of the parameter background_queries only."""
        return query.background and any(query.text.casefold() == own.text.casefold() for own in self._background)

    def _refusal(self, message: str) -> QueryReport:
        return QueryReport(QueryStatus.REJECTED, self.vocabulary, message=message)
