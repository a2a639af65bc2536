"""The page of `openseg view` in headless Chromium: what a person reads, clicks and is kept safe from."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ros.ros_peer import (
    RELIABLE,
    NodeProcess,
    NodeStarter,
    Peer,
    Recorder,
    picture,
    wait_until,
)
from ros.view_page import start_view
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from sensor_msgs.msg import Image
from std_msgs.msg import Header

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium here: apt-get install chromium chromium-driver"
)
PERIOD_S = 0.3  # of the images
FLAGS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
)


@pytest.fixture(scope="module")
def view(node: NodeProcess, start_node: NodeStarter) -> tuple[NodeProcess, str]:
    return start_view(start_node)


@pytest.fixture(scope="module")
def browser(view: tuple[NodeProcess, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.get(f"{view[1]}/")
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def camera(node: NodeProcess, peer: Peer) -> Iterator[None]:
    """The same image, over and over."""
    publisher = peer.publisher(Image, "/image", RELIABLE)
    stop = threading.Event()

    def play() -> None:
        while not stop.wait(PERIOD_S):
            stamp = peer.node.get_clock().now().to_msg()
            publisher.publish(peer.image(picture(1), Header(stamp=stamp, frame_id="camera")))

    thread = threading.Thread(target=play)
    thread.start()
    yield
    stop.set()
    thread.join()


def text(browser: webdriver.Chrome, element: str) -> str:
    return str(browser.execute_script("return document.getElementById(arguments[0]).innerText", element))


def shows(browser: webdriver.Chrome, element: str, words: str) -> None:
    wait_until(
        lambda: time.sleep(0.1) or words in text(browser, element),
        f"{words!r} in {element}, which shows {text(browser, element)!r}",
        60.0,
    )


def type_in(browser: webdriver.Chrome, form: str, words: str) -> None:
    field = browser.find_element(By.ID, f"{form}-text")
    field.clear()
    field.send_keys(words)
    browser.find_element(By.CSS_SELECTOR, f"#{form} button").click()


def test_a_person_asks_and_reads_the_answer(browser: webdriver.Chrome, camera: None, regions: Recorder) -> None:
    def is_heard() -> bool:  # until page and node know each other, the page says that nobody listens
        type_in(browser, "ask", "please pick up the red mug")
        time.sleep(1.0)
        return "nobody listens" not in text(browser, "understood")

    wait_until(is_heard, "the node listens to the page", 60.0)
    shows(browser, "understood", "Understood as red mug")
    wait_until(lambda: regions.messages[-1].query == "red mug", "answers to the new query", 60.0)
    best = regions.messages[-1].regions[0]  # the image stays the same, so do its regions
    shows(browser, "regions", "red mug")
    shows(browser, "status-text", "“red mug”")
    cells = browser.execute_script(
        "return [...document.querySelector('#regions tbody tr').cells].map((cell) => cell.innerText)"
    )
    share = 100 * best.area / (160 * 120)
    assert cells == ["red mug", f"{100 * best.score:.0f} %", f"{100 * best.margin:.0f} %", cells[3]]
    assert float(cells[3].removesuffix(" %")) == pytest.approx(share, abs=0.5)
    assert len(browser.find_elements(By.CSS_SELECTOR, "#regions tbody tr")) == len(regions.messages[-1].regions)
    (latency, latency_unit), (rate, rate_unit) = (text(browser, element).split() for element in ("latency", "rate"))
    assert (latency_unit, rate_unit) == ("ms", "Hz")
    assert 0 < float(latency) < 60_000 and 0 < float(rate) < 2 / PERIOD_S
    size = "const picture = document.getElementById('overlay'); return [picture.naturalWidth, picture.naturalHeight]"
    wait_until(lambda: browser.execute_script(size) == [160, 120], "the picture")


def test_words_never_become_html(browser: webdriver.Chrome, camera: None) -> None:
    type_in(browser, "ask", "<img src=x onerror=window.hacked=1>")
    shows(browser, "understood", "<img src=x onerror=window.hacked=1>")
    assert browser.execute_script("return window.hacked === undefined")
    assert browser.execute_script("return document.querySelectorAll('img').length") == 1


def test_refusal_and_clearing(browser: webdriver.Chrome, camera: None) -> None:
    type_in(browser, "ask", "y" * 201)
    shows(browser, "understood", "Refused:")
    browser.find_element(By.ID, "nothing").click()
    shows(browser, "status", "nothing asked")
    shows(browser, "regions", "Ask for something above")


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_fits_the_window(browser: webdriver.Chrome, camera: None, width: int) -> None:
    type_in(browser, "ask", f"red mug; {'verylongword' * 12}")
    shows(browser, "understood", "verylongword")
    # A window of Chromium has a smallest width; the page is told another one.
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    inner, content = browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
    assert inner == width and content <= width, "nothing to scroll sideways"
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_page_of_another_site_can_neither_ask_nor_watch(
    view: tuple[NodeProcess, str], browser: webdriver.Chrome, states: Recorder, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("<title>evil</title>")

    class Evil(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

    with HTTPServer(("127.0.0.1", 0), Evil) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.get(f"http://localhost:{server.server_port}/")
        seen = len(states.messages)
        outcome = browser.execute_async_script(
            """
            const [address, done] = arguments;
            const body = '{"text": "gun"}';
            const send = (options) => fetch(`${address}/query`, { method: "POST", body, ...options })
              .then(() => "sent", () => "refused");
            const simple = send({ mode: "no-cors" });
            const json = send({ headers: { "Content-Type": "application/json" } });
            const live = new Promise((settle) => {
              const socket = new WebSocket(address.replace("http", "ws") + "/live");
              socket.onopen = () => settle("open");
              socket.onerror = () => settle("refused");
            });
            Promise.all([simple, json, live]).then(done, (error) => done(String(error)));
            """,
            view[1],
        )
        server.shutdown()
    assert outcome == ["refused"] * 3
    time.sleep(1.0)
    assert len(states.messages) == seen, "the robot heard nothing of it"


def test_silence_and_the_end_are_said(
    view: tuple[NodeProcess, str], node: NodeProcess, browser: webdriver.Chrome, peer: Peer
) -> None:
    browser.get(f"{view[1]}/")
    shows(browser, "node", "/openseg: ")
    node.interrupt()
    shows(browser, "node", "is not running")
    type_in(browser, "ask", "cup")
    shows(browser, "understood", "nobody listens on /openseg/query")
    type_in(browser, "find", "cup")
    shows(browser, "found-message", "no service /openseg/find_regions")
    view[0].interrupt()
    shows(browser, "notice", "Connection to openseg view lost")
