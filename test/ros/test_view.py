"""`openseg view` shows what the node publishes, value for value, and passes on what people ask, not other pages."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import Any

import aiohttp
import cv2
import numpy as np
import psutil
import pytest
from ros.ros_peer import RELIABLE, NodeProcess, NodeStarter, Peer, Recorder, picture, wait_until
from ros.view_page import VIEW, Reader, start_view
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from openseg_ros.msg import Query, QueryArray, RegionArray
from openseg_ros.srv import FindRegions, SetQuery

OVERLAY = "/openseg/overlay/compressed"
STATUS = {name: getattr(RegionArray, name) for name in ("OK", "NOT_FOUND", "AMBIGUOUS")}


@pytest.fixture(scope="module")
def view(node: NodeProcess, start_node: NodeStarter) -> str:
    return start_view(start_node)[1]


@pytest.fixture(scope="module")
def camera(node: NodeProcess, peer: Peer) -> Any:
    return peer.publisher(Image, "/image", RELIABLE)


def header_of_now(peer: Peer) -> Header:
    return Header(stamp=peer.node.get_clock().now().to_msg(), frame_id="camera_color_optical_frame")


def stamp_text(header: Header) -> str:
    return f"{header.stamp.sec}.{header.stamp.nanosec:09d}"


async def watched(peer: Peer) -> None:
    """Until the node knows that the page wants its outputs."""
    while peer.node.count_subscribers(OVERLAY) == 0:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)


async def ask(page: Reader, text: str, *phrases: str) -> dict[str, Any]:
    """Ask for `text`; the state that says how it was understood, which is by `phrases`."""
    assert await page.send("POST", "/query", {"text": text}) == (200, {"sent": True})
    return await page.until(
        "query_state", lambda state: state["status"] == "ACTIVE" and state["parsed_phrases"] == list(phrases)
    )


def looked_for(state: dict[str, Any]) -> list[str]:
    return [query["text"] for query in state["active"] if not query["background"]]


def test_answers_are_shown_as_they_are_published(view: str, peer: Peer, camera: Any, regions: Recorder) -> None:
    async def check() -> None:
        async with Reader(view) as page:
            await page.until("query_state", lambda state: state["status"] == "IDLE")
            state = await ask(page, "red mug; bowl; green book", "red mug", "bowl", "green book")
            assert looked_for(state) == ["red mug", "bowl", "green book"] and not state["rejected"]
            await watched(peer)
            header = header_of_now(peer)
            camera.publish(peer.image(picture(1), header))
            shown = await page.until("answer", lambda answer: answer["stamp"] == stamp_text(header))
            (message,) = wait_until(lambda: regions.with_stamp(header), "the answer itself")
            assert len(message.regions) > 1, "without regions this shows nothing"
            assert (shown["status"], message.status) in {("OK", RegionArray.OK), ("AMBIGUOUS", RegionArray.AMBIGUOUS)}
            assert (shown["width"], shown["height"]) == (160, 120)
            assert shown["version"] == message.vocabulary_version == state["version"]
            assert shown["query"] == message.query == "red mug"
            assert 0.0 < shown["latency_ms"] < 15_000.0, "from the image's stamp until now"
            colours = {query["text"]: query["colour"] for query in state["active"] if not query["background"]}
            assert len(set(colours.values())) == 3
            for row, region in zip(shown["regions"], message.regions, strict=True):
                assert (row["phrase"], row["area"]) == (region.phrase, region.area)
                assert (row["score"], row["margin"]) == (region.score, region.margin)
                roi = region.roi
                assert row["box"] == [roi.x_offset, roi.y_offset, roi.width, roi.height]
                assert row["colour"] == colours[region.phrase]
                assert row["position"] is None, "no depth, no position"

    asyncio.run(check())


def test_the_picture_is_the_nodes_overlay_and_says_of_which_image(view: str, peer: Peer, camera: Any) -> None:
    async def check() -> None:
        async with Reader(view) as page:
            assert await page.send("DELETE", "/query") == (200, {"sent": True})  # without regions it is the image
            await page.until("query_state", lambda state: state["status"] == "IDLE")
            await watched(peer)
            header = header_of_now(peer)
            rgb = picture(2)
            camera.publish(peer.image(rgb, header))
            update = await page.until("overlay", lambda overlay: overlay["stamp"] == stamp_text(header))
            shown = cv2.imdecode(np.frombuffer(update["jpeg"], np.uint8), cv2.IMREAD_COLOR_RGB)
            assert shown.shape == rgb.shape
            assert np.abs(shown.astype(int) - rgb).mean() < 4.0, "what JPEG costs"

    asyncio.run(check())


def test_rate_is_that_of_the_answers(view: str, peer: Peer, camera: Any) -> None:
    async def check() -> None:
        async with Reader(view) as page:
            await watched(peer)
            stamps = []
            for _ in range(12):
                header = header_of_now(peer)
                stamps.append(stamp_text(header))
                camera.publish(peer.image(picture(), header))
                await page.until("answer", lambda answer, stamp=stamps[-1]: answer["stamp"] == stamp)
                await asyncio.sleep(0.2)
            header = header_of_now(peer)
            camera.publish(peer.image(picture(), header))
            last = await page.until("answer", lambda answer: answer["stamp"] == stamp_text(header))
            assert 0.5 < last["rate_hz"] < 5.0, "one per 0.2 s and its processing"

    asyncio.run(check())


def test_commands_are_echoed_and_refusals_carry_the_nodes_reason(view: str, node: NodeProcess) -> None:
    async def check() -> None:
        async with Reader(view) as page:
            state = await ask(page, "please pick up the blue cup", "blue cup")
            assert looked_for(state) == ["blue cup"]
            assert await page.send("POST", "/query", {"text": "x" * 201}) == (200, {"sent": True})
            refused = await page.until("query_state", lambda state: state["status"] == "REJECTED")
            assert "200" in refused["message"] and looked_for(refused) == ["blue cup"], "what was there stays"
            assert refused["version"] == state["version"]

    asyncio.run(check())


def test_not_found_and_no_query_are_shown_as_such(view: str, peer: Peer, camera: Any) -> None:
    request = SetQuery.Request()
    request.queries = QueryArray(queries=[Query(text="unicorn", threshold=1.0)], replace=True)
    version = peer.call(SetQuery, "/openseg/set_query", request).version

    async def check() -> None:
        async with Reader(view) as page:
            await watched(peer)
            camera.publish(peer.image(picture(), header_of_now(peer)))
            answer = await page.until("answer", lambda answer: answer["version"] == version)
            assert (answer["status"], answer["query"], answer["regions"]) == ("NOT_FOUND", "unicorn", [])
            assert await page.send("DELETE", "/query") == (200, {"sent": True})
            state = await page.until("query_state", lambda state: state["status"] == "IDLE")
            assert state["version"] == version + 1 and looked_for(state) == []
            camera.publish(peer.image(picture(), header_of_now(peer)))
            answer = await page.until("answer", lambda answer: answer["version"] == version + 1)
            assert answer["status"] == "NO_QUERY"

    asyncio.run(check())


def test_search_shows_what_find_regions_answers(view: str, peer: Peer, camera: Any, regions: Recorder) -> None:
    async def check() -> None:
        async with Reader(view) as page:
            await watched(peer)
            header = header_of_now(peer)
            camera.publish(peer.image(picture(1), header))
            await page.until("answer", lambda answer: answer["stamp"] == stamp_text(header))
            status, found = await page.send("POST", "/find", {"text": "green apple", "top_k": 3})
            assert status == 200, found
            request = FindRegions.Request(text="green apple", top_k=3)
            answer = await asyncio.to_thread(peer.call, FindRegions, "/openseg/find_regions", request)
            message = answer.regions
            assert found["stamp"] == stamp_text(header) == stamp_text(message.header)
            assert STATUS[found["status"]] == message.status and len(found["regions"]) == 3
            assert [row["score"] for row in found["regions"]] == [region.score for region in message.regions]
            assert [row["area"] for row in found["regions"]] == [region.area for region in message.regions]
            assert {row["phrase"] for row in found["regions"]} == {"green apple"}
            status, refused = await page.send("POST", "/find", {"text": "x" * 201})
            assert status == 409 and "200" in refused["error"], "the node's own reason"

    asyncio.run(check())


def test_stamp_of_another_clock_and_before_1970_is_shown(view: str, peer: Peer, camera: Any) -> None:
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = -5, 7

    async def check() -> None:
        async with Reader(view) as page:
            await watched(peer)
            camera.publish(peer.image(picture(), header))
            answer = await page.until("answer", lambda answer: answer["stamp"] == "-5.000000007")
            assert answer["latency_ms"] > 1e12

    asyncio.run(check())


def test_node_works_for_the_page_only_while_it_is_open(view: str, peer: Peer) -> None:
    async def check() -> None:
        async with Reader(view), Reader(view):
            await watched(peer)
            assert peer.node.count_subscribers(OVERLAY) == 1, "two pages, one subscription"

    asyncio.run(check())
    wait_until(lambda: peer.node.count_subscribers(OVERLAY) == 0, "the end of the subscription")


def test_without_a_node_the_page_says_who_is_missing(view: str, start_node: NodeStarter) -> None:
    _, address = start_view(start_node, "--namespace", "left_arm", "--name", "nobody")

    async def check() -> None:
        async with Reader(address) as page:
            node = await page.until("node", lambda update: True)
            assert (node["name"], node["present"]) == ("/left_arm/nobody", False)
            for method, path, body, missing in (
                ("POST", "/query", {"text": "cup"}, "/left_arm/nobody/query"),
                ("DELETE", "/query", None, "/left_arm/nobody/set_query"),
                ("POST", "/find", {"text": "cup", "top_k": 3}, "/left_arm/nobody/find_regions"),
            ):
                status, answer = await page.send(method, path, body)
                assert status == 503 and missing in answer["error"], answer
        async with Reader(view) as page:
            node = await page.until("node", lambda update: update["level"] != "")
            assert (node["name"], node["present"]) == ("/openseg", True)

    asyncio.run(check())


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/query", {"text": "  "}, '"text"'),
        ("/query", {"words": "cup"}, '"text"'),
        ("/query", ["cup"], "object"),
        ("/find", {"text": "cup", "top_k": -1}, '"top_k"'),
        ("/find", {"text": "cup", "top_k": "5"}, '"top_k"'),
    ],
)
def test_malformed_requests_are_explained(view: str, path: str, body: Any, named: str) -> None:
    async def check() -> None:
        async with Reader(view) as page:
            status, answer = await page.send("POST", path, body)
            assert status == 400 and named in answer["error"]

    asyncio.run(check())


def test_other_web_pages_are_refused(view: str, node: NodeProcess, states: Recorder) -> None:
    port = view.rpartition(":")[2]
    foreign = [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},  # a sandboxed frame
        {"Origin": f"http://localhost:{int(port) + 1}"},  # another server of this machine
        {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},  # DNS rebinding
        {"Host": f"evil.example:{port}"},
    ]
    own = [{}, {"Origin": view}, {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}]

    async def check() -> None:
        async with aiohttp.ClientSession() as session:
            for headers in foreign:
                for method, path in (("POST", "/query"), ("POST", "/find"), ("DELETE", "/query")):
                    async with session.request(method, view + path, json={"text": "gun"}, headers=headers) as response:
                        assert response.status == 403, (headers, path)
                with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                    await session.ws_connect(f"{view}/live", headers=headers)
                assert refusal.value.status == 403, headers
            # What a form of another site can send without asking the browser's permission.
            async with session.post(f"{view}/query", data='{"text": "gun"}', headers={}) as response:
                assert response.status == 415
            for headers in own:
                async with session.get(f"{view}/", headers=headers) as response:
                    assert response.status == 200, headers
                    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
                await (await session.ws_connect(f"{view}/live", headers=headers)).close()

    seen = len(states.messages)
    asyncio.run(check())
    assert len(states.messages) == seen, "the robot heard nothing of it"


def test_only_this_machine_unless_told_otherwise(start_node: NodeStarter) -> None:
    for options, addresses in (((), {"127.0.0.1"}), (("--host", "0.0.0.0"), {"0.0.0.0"})):
        process, _ = start_view(start_node, *options)
        port = int(process.output().split(" shows")[0].rpartition(":")[2].strip("/"))
        listening = psutil.Process(process.process.pid).net_connections("tcp")
        assert {entry.laddr.ip for entry in listening if entry.laddr.port == port} == addresses
        assert ("WARNING" in process.output() and "no password" in process.output()) == bool(options)
        assert process.interrupt() == 0


def test_used_port_is_an_error_with_advice(start_node: NodeStarter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = start_node("--port", str(server.getsockname()[1]), program=VIEW)
        assert process.wait(120.0) == 1
    assert "--port 0" in process.output() and "Traceback" not in process.output()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_quietly_though_a_page_is_open(start_node: NodeStarter, number: int) -> None:
    process, address = start_view(start_node)

    async def check() -> None:
        async with Reader(address) as page:
            await page.until("node", lambda update: True)
            assert await asyncio.to_thread(process.interrupt, number) == 0

    asyncio.run(check())
    assert "Traceback" not in process.output()
