"""Between the segmenter's arrays and our messages."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from openseg_ros.msg import Query as QueryMessage
from openseg_ros.msg import QueryArray, QueryState
from openseg_ros.nodes.query_worker import QueryReport
from openseg_ros.text.vocabulary import Query

NO_POSITION = float("nan")  # without depth


def queries_from_message(message: QueryArray) -> tuple[Query, ...]:
    """The typed queries of a request."""
    return tuple(
        Query(
            text=query.text,
            aliases=tuple(query.aliases),
            threshold=query.threshold,
            is_target=query.is_target,
            background=query.background,
        )
        for query in message.queries
    )


def query_state_message(report: QueryReport, stamp: Time, text_encoder: str) -> QueryState:
    """What the node looks for and what it made of the last request."""
    return QueryState(
        header=Header(stamp=stamp),
        version=report.vocabulary.version,
        status=int(report.status),
        active=[
            QueryMessage(
                text=query.text,
                aliases=list(query.aliases),
                threshold=query.threshold,
                is_target=query.is_target,
                background=query.background,
            )
            for query in report.vocabulary.queries
        ],
        parsed_phrases=list(report.parsed_phrases),
        rejected=list(report.rejected),
        message=report.message,
        text_encoder=text_encoder,
    )
