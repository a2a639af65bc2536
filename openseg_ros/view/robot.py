"""What the page shows of a robot, and what it asks of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ShownRegion:
    """One region of an answer; see Region.msg."""

    id: int
    phrase: str
    colour: str  # of the phrase in the overlay, "#rrggbb"
    score: float
    margin: float
    area: int  # pixels
    box: tuple[int, int, int, int]  # x y width height, pixels
    position: tuple[float, float, float] | None  # metres, in the camera's frame; None without depth


@dataclass(frozen=True)
class ShownAnswer:
    """What one image shows of the vocabulary; see RegionArray.msg."""

    stamp: str  # of the image: seconds, a point, nine digits
    width: int
    height: int
    status: str  # OK NO_QUERY NOT_FOUND AMBIGUOUS DEGRADED
    version: int
    query: str
    latency_ms: float  # from the image's stamp until the answer was here
    rate_hz: float | None  # answers per second lately; None before the second one
    regions: tuple[ShownRegion, ...]


@dataclass(frozen=True)
class ShownQuery:
    """One active query."""

    text: str
    colour: str
    background: bool


@dataclass(frozen=True)
class ShownQueryState:
    """What the node looks for and what it made of the last request; see QueryState.msg."""

    version: int
    status: str  # IDLE ENCODING ACTIVE REJECTED
    active: tuple[ShownQuery, ...]
    parsed_phrases: tuple[str, ...]
    rejected: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class ShownNode:
    """How the node is."""

    name: str
    present: bool  # in the ROS graph
    level: str  # of its diagnostics: OK WARN ERROR STALE; empty before the first ones
    message: str  # of its diagnostics


@dataclass(frozen=True)
class Overlay:
    """A picture for people."""

    stamp: str  # of the image; the answer with the same stamp says in words what it shows
    jpeg: bytes


Update = ShownAnswer | ShownQueryState | ShownNode | Overlay


class RobotUnreachable(Exception):
    """Nobody on the robot's side takes the request, or answers it in time; the message says who is missing."""


class RequestRefused(Exception):
    """The node refused the request; the message is the node's own."""


class Robot(Protocol):
    """A running node as the page sees it."""

    def start_watching(self, show: Callable[[Update], None]) -> None:
        """Begin to call `show` with everything new, from any thread. Until then the node works for nobody here."""

    def stop_watching(self) -> None:
        """End it."""

    async def ask(self, text: str) -> None:
        """Look for what `text` says; the next `ShownQueryState` tells how it was understood.

        Raises:
            RobotUnreachable: no node listens.
        """

    async def ask_nothing(self) -> None:
        """Look for nothing any more.

        Raises:
            RobotUnreachable: no node answers.
            RequestRefused: the node keeps what it looks for.
        """

    async def find(self, text: str, top_k: int) -> ShownAnswer:
        """The regions of the newest image that match `text`, best first; `top_k` 0: all above the threshold.

        Raises:
            RobotUnreachable: no node answers, or it has no such service.
            RequestRefused: the node cannot answer, for example because there was no image yet.
        """
