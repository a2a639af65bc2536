"""Who waits for an answer when the node is cleaned up is told so, over real DDS."""

from __future__ import annotations

import numpy as np
from ros.ros_peer import NodeProcess, Peer, wait_until

from openseg_ros.msg import Query, QueryArray
from openseg_ros.srv import EncodeText, SetQuery

PHRASES = 1000  # that were never asked for: seconds of encoding, during which everything below arrives
SLOW_S = 60.0


def phrases(kind: str) -> list[str]:
    return [f"{kind} number {number}" for number in range(PHRASES)]


def test_pending_requests_are_answered_when_the_node_is_cleaned_up(node: NodeProcess, peer: Peer) -> None:
    encode = peer._client(EncodeText, "/openseg/encode_text")
    set_query = peer._client(SetQuery, "/openseg/set_query")

    def queries(*texts: str) -> SetQuery.Request:
        return SetQuery.Request(queries=QueryArray(queries=[Query(text=text) for text in texts], replace=True))

    assert peer.change_state("deactivate")
    in_work = encode.call_async(EncodeText.Request(texts=phrases("bolt")))
    waiting = [encode.call_async(EncodeText.Request(texts=[text])) for text in ("nut", "screw")]
    many = set_query.call_async(queries(*phrases("washer")))
    query = set_query.call_async(queries("gear"))
    assert peer.change_state("cleanup")
    for future in (in_work, *waiting, many, query):
        wait_until(future.done, "an answer", SLOW_S)
    done = in_work.result()
    assert done.success and len(done.embeddings) == PHRASES * done.dim and np.isfinite(done.embeddings).all()
    for future in (*waiting, query):
        assert not future.result().success and "cleaned up" in future.result().message

    assert peer.change_state("configure") and peer.change_state("activate")
    again = peer.call(EncodeText, "/openseg/encode_text", EncodeText.Request(texts=["nut"]), SLOW_S)
    assert again.success and len(again.embeddings) == again.dim
    assert peer.call(SetQuery, "/openseg/set_query", queries("gear"), SLOW_S).success
    assert "InvalidHandle" not in node.output() and "[ERROR]" not in node.output(), node.output()
