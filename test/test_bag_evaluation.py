"""`openseg evaluate-bag` on bags whose masks, truth and times are chosen, so that every figure is known."""

from __future__ import annotations

import base64
import json
import re

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner
from written_bag import SECOND, START, Message, Raw, cut, image, png, query_state, regions, string, write_bag

from openseg_ros.cli.main import app

SIZE = (60, 80)
IMAGES = 30  # ten per second
LOST = (3, 7)
CUP, BANANA = 5, 7  # ids of the truth
CUP_AREA, BANANA_AREA = np.s_[0:10, 0:10], np.s_[20:30, 20:30]  # 100 pixels each
COMPARED = {11: "both", 12: "cup", 20: "both", 21: "cup"}  # image number to what it shows


def at(seconds: float) -> int:
    return START + round(seconds * SECOND)


def truth_ids(shows: str) -> np.ndarray:
    ids = np.zeros(SIZE, np.uint16)
    ids[CUP_AREA] = CUP
    if shows == "both":
        ids[BANANA_AREA] = BANANA
    return ids


def answer_mask(shows: str, cup: int, banana: int) -> np.ndarray:
    """With both: half of the cup is missed, as much is too much, the banana is right. Else: half a banana too much."""
    mask = np.full(SIZE, 255, np.uint8)
    mask[40:50] = 0
    if shows == "both":
        mask[0:10, 5:15], mask[BANANA_AREA] = cup, banana
    else:
        mask[CUP_AREA], mask[50:55, 20:30] = cup, banana
    return mask


def ground_truth() -> list[Message]:
    topic = "/ground_truth/instances/compressed"
    found: list[Message] = [(topic, at(k / 10), png(at(k / 10), truth_ids(s), "16UC1")) for k, s in COMPARED.items()]
    names = {CUP: ["Coffee Mug", "mug"], BANANA: "banana", 9: "spoon"}
    return [*found, ("/ground_truth/names", START, string(json.dumps(names)))]


def run() -> list[Message]:
    """Query 1 is "cup" (or "mug") and "banana"; query 2 names them the other way round."""
    messages: list[Message] = [
        ("/openseg/query_state", START, query_state(1, ("cup", "mug"), ("banana",), background=["table"])),
        ("/openseg/query", at(1.5), string("banana; cup")),
        ("/openseg/query_state", at(1.6), query_state(2, ("banana",), ("cup", "mug"))),
        ("/openseg/query", at(3.5), string("too late")),
        ("/chatter", at(4.0), string("end")),
    ]
    for k in range(IMAGES):
        stamp = at(k / 10)
        messages.append(("/camera/image_raw", stamp + SECOND // 100, image(stamp, np.full((*SIZE, 3), 100, np.uint8))))
        version = 1 if k < 17 else 2
        if k in LOST or k == 0:  # the node starts with image 1
            continue
        latency = 0.25 if k == 10 else 0.05
        time = stamp + SECOND // 100 + round(latency * SECOND)
        messages.append(("/openseg/regions", time, regions(stamp, [], "a/b", version)))
        if k in COMPARED:
            cup, banana = (1, 2) if version == 1 else (2, 1)
            mask = png(stamp, answer_mask(COMPARED[k], cup, banana), "mono8")
            messages.append(("/openseg/mask/compressed", time, mask))
    return messages


EMPTY_MASK = png(START, np.zeros(SIZE, np.uint8), "mono8")
EMPTY_MASK.data = EMPTY_MASK.data[:0]
ASKED = cut(query_state(1, ("cup",)), 999)
NO_UTF_8 = Raw(ASKED.__msgtype__, ASKED.content.replace(b"cup", b"c\xffp"))


def openseg(*arguments):
    return CliRunner().invoke(app, ["evaluate-bag", *map(str, arguments)], catch_exceptions=False)


def figures(*arguments):
    result = openseg(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["figures"]


def check_agreement(found) -> None:
    # cup: 50 + 100 + 50 + 100 pixels right of 400 true and 400 predicted ones.
    # banana: 100 + 100 right of 200 true ones; 50 + 50 more where there is none.
    assert found["compared_images"] == 4
    assert found["miou"] == pytest.approx((300 / 500 + 200 / 300) / 2)
    assert found["grounding_miou"] == pytest.approx((300 / 500 + 200 / 200) / 2)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_every_figure_of_a_known_run(tmp_path, storage) -> None:
    found = figures(write_bag(tmp_path / "bag", run() + ground_truth(), storage, "message"))
    check_agreement(found)
    assert (found["answers"], found["images"], found["dropped"]) == (27, 29, 2)
    assert found["drop_rate"] == pytest.approx(2 / 29)
    # 26 latencies of 0.05 s and one of 0.25 s: rank 0.99 * 26 = 25.74 lies between the two last ones.
    for name, more in (("latency_from_image", 0.0), ("latency_from_stamp", 0.01)):
        assert found[f"{name}_p50_s"] == pytest.approx(0.05 + more)
        assert found[f"{name}_p95_s"] == pytest.approx(0.05 + more)
        assert found[f"{name}_p99_s"] == pytest.approx(0.05 + 0.74 * 0.2 + more)
        assert found[f"{name}_max_s"] == pytest.approx(0.25 + more)
    assert found["query_switch_max_s"] == pytest.approx(1.76 - 1.5)  # asked, to the regions of image 17
    assert found["unanswered_queries"] == 1


def test_truth_and_reference_may_lie_in_bags_of_their_own(tmp_path) -> None:
    bag = write_bag(tmp_path / "bag", run())
    check_agreement(figures(bag, "--truth", write_bag(tmp_path / "truth", ground_truth())))
    reference: list[Message] = [("/openseg/query_state", START, query_state(9, ("banana",), ("mug",)))]
    for k, shows in COMPARED.items():
        stamp = at(k / 10)
        labels = np.select([truth_ids(shows) == CUP, truth_ids(shows) == BANANA], [2, 1], 255).astype(np.uint8)
        reference.append(("/openseg/regions", stamp, regions(stamp, [], "a/b", 9)))
        reference.append(("/openseg/mask/compressed", stamp, png(stamp, labels, "mono8")))
    check_agreement(figures(bag, "--reference", write_bag(tmp_path / "reference", reference)))
    alone = figures(bag)
    assert (alone["miou"], alone["grounding_miou"], alone["compared_images"]) == (None, None, 0)


def test_one_of_several_cameras_is_evaluated_with_the_queries_of_its_node(tmp_path) -> None:
    outputs = {
        "/openseg/regions": "/openseg/wrist/regions",
        "/openseg/mask/compressed": "/openseg/wrist/mask/compressed",
    }
    of_wrist = [(outputs.get(topic, topic), time, message) for topic, time, message in run()]
    of_front: list[Message] = [("/openseg/front/regions", at(k / 7), regions(at(k / 7), [], "a/b")) for k in range(9)]
    bag = write_bag(tmp_path / "bag", of_wrist + of_front + ground_truth())
    found = figures(bag, "--node", "/openseg/wrist")
    check_agreement(found)
    assert (found["answers"], found["dropped"]) == (27, 2)
    assert found["query_switch_max_s"] == pytest.approx(1.76 - 1.5)


def test_depth_with_the_cameras_stamps_is_not_the_camera(tmp_path) -> None:
    aligned = "/camera/aligned_depth_to_color/image_raw"  # before /camera/image_raw
    depth: list[Message] = []
    for k in range(IMAGES):
        message = image(at(k / 10), np.zeros((*SIZE, 2), np.uint8))
        message.encoding, message.step, message.data = "16UC1", 160, np.zeros(60 * 160, np.uint8)
        depth.append((aligned, at(k / 10), message))
    bag = write_bag(tmp_path / "bag", run() + depth + ground_truth())
    result = openseg(bag, "--json", "--out", tmp_path / "out")
    assert json.loads(result.stdout)["camera"] == "/camera/image_raw"
    assert (tmp_path / "out" / "report.html").read_text().count("<figure>") == 4


def test_a_node_that_was_started_again_counts_versions_anew(tmp_path) -> None:
    """The same again after five seconds, but version 1 looks for two other things, and version 2 for what 1 did."""
    shift = 5 * SECOND
    again: list[Message] = []
    for topic, time, message in run():
        if topic == "/openseg/query_state":
            message = query_state(1, ("fork",), ("spoon",)) if message.version == 1 else query_state(2, ("spade",))
        elif topic == "/camera/image_raw":
            message = image(time - SECOND // 100 + shift, np.full((*SIZE, 3), 100, np.uint8))
        elif topic == "/openseg/regions":
            stamp = message.header.stamp
            message = regions(stamp.sec * SECOND + stamp.nanosec + shift, [], "a/b", message.vocabulary_version)
        elif topic == "/openseg/mask/compressed":
            continue
        again.append((topic, time + shift, message))
    bag = write_bag(tmp_path / "bag", run() + again + ground_truth())
    found = figures(bag)
    check_agreement(found)
    assert (found["answers"], found["unanswered_queries"]) == (54, 2)
    assert found["query_switch_max_s"] == pytest.approx(1.76 - 1.5)


def test_stamps_of_another_day_are_no_latency(tmp_path) -> None:
    later = [(topic, time + 86_400 * SECOND, message) for topic, time, message in run()]
    found = figures(write_bag(tmp_path / "bag", later))
    assert found["latency_from_stamp_p50_s"] is None
    assert found["latency_from_image_p50_s"] == pytest.approx(0.05)


def test_a_looped_camera_is_matched_round_by_round(tmp_path) -> None:
    twice = [(topic, time + shift, message) for shift in (0, 5 * SECOND) for topic, time, message in run()]
    found = figures(write_bag(tmp_path / "bag", twice))
    # Image 0 of the second round was not answered, and now there was a node.
    assert (found["answers"], found["images"], found["dropped"]) == (54, 59, 5)
    assert found["latency_from_image_max_s"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("bound", "kept", "broken", "words"),
    [
        ("--min-miou", 0.63, 0.64, "miou is 0.6333; at least 0.64 is asked for"),
        ("--min-grounding-miou", 0.79, 0.81, "grounding_miou is 0.8; at least 0.81 is asked for"),
        ("--max-drop-rate", 0.07, 0.06, "drop_rate is 0.06897; at most 0.06 is asked for"),
        ("--max-latency-p95", 0.061, 0.059, "latency_from_stamp_p95_s is 0.06; at most 0.059 is asked for"),
        ("--max-query-switch", 0.27, 0.25, "query_switch_max_s is 0.26; at most 0.25 is asked for"),
    ],
)
def test_bounds_decide_the_exit_status(tmp_path, bound, kept, broken, words) -> None:
    bag = write_bag(tmp_path / "bag", run() + ground_truth())
    assert openseg(bag, bound, kept).exit_code == 0
    result = openseg(bag, bound, broken)
    assert result.exit_code == 1
    assert result.stderr == f"FAILED: {words}\n"


def test_a_bound_on_what_was_not_measured_is_broken(tmp_path) -> None:
    result = openseg(write_bag(tmp_path / "bag", run()), "--min-miou", "0.1")
    assert result.exit_code == 1
    assert "miou could not be measured; at least 0.1 is asked for" in result.stderr


def test_the_report_shows_figures_plots_and_the_worst_images(tmp_path) -> None:
    bag = write_bag(tmp_path / "bag", run() + ground_truth())
    out = tmp_path / "out"
    assert openseg(bag, "--out", out, "--min-miou", "0.9").exit_code == 1
    record = json.loads((out / "evaluation.json").read_text())
    assert record["failures"] == ["miou is 0.6333; at least 0.9 is asked for"]
    assert [(row["phrase"], row["images"]) for row in record["phrases"]] == [("cup", 4), ("banana", 2)]
    page = (out / "report.html").read_text()
    assert "miou is 0.6333; at least 0.9 is asked for" in page
    assert "http" not in page  # nothing is loaded from elsewhere
    latency, iou = re.findall(r"<polyline points='([^']*)'", page)
    assert (len(latency.split()), len(iou.split())) == (27, 4)
    captions = re.findall(r"<figcaption>[\d.]+ s: mean IoU ([\d.]+)", page)
    assert captions == ["0.667", "0.667", "1.000", "1.000"]  # (50 / 150 + 1) / 2, and the cup alone
    first = base64.b64decode(re.findall(r"base64,([^']*)'", page)[0])
    pixels = cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR).astype(int)
    assert pixels.shape == (60, 240, 3)
    coloured = np.abs(pixels - 100).max(2) > 30
    seen, truth, answer = coloured[:, :80], coloured[:, 80:160], coloured[:, 160:]
    assert not seen.any()
    assert truth[5, 2] and truth[25, 25] and not truth[5, 13] and not truth[45, 40]
    assert not answer[5, 2] and answer[25, 25] and answer[5, 13] and not answer[45, 40]


@pytest.mark.parametrize("fault", ["missing", "damaged"])
def test_the_report_goes_on_without_a_picture(tmp_path, fault) -> None:
    messages = run()
    (lost,) = (item for item in messages if item[:2] == ("/camera/image_raw", at(1.1) + SECOND // 100))
    if fault == "missing":
        messages.remove(lost)
    else:
        lost[2].data = lost[2].data[:100]
    out = tmp_path / "out"
    assert openseg(write_bag(tmp_path / "bag", messages + ground_truth()), "--out", out).exit_code == 0
    page = (out / "report.html").read_text()
    assert re.findall(r"<figcaption>[\d.]+ s: mean IoU ([\d.]+)", page) == ["0.667", "1.000", "1.000"]
    assert "1 of the worst images are not shown: their pictures are not in the bag." in page


def test_a_bag_without_answers_names_its_topics(tmp_path) -> None:
    result = openseg(write_bag(tmp_path / "bag", ground_truth()), "--node", "arm/openseg")
    assert result.exit_code == 1
    assert "there is no message on /arm/openseg/regions" in result.stderr and "/ground_truth/names" in result.stderr


def test_bad_names_are_shown(tmp_path) -> None:
    bad = [item for item in ground_truth() if item[0] != "/ground_truth/names"]
    bag = write_bag(tmp_path / "bag", [*run(), *bad, ("/ground_truth/names", START, string("cup"))])
    result = openseg(bag)
    assert result.exit_code == 1
    assert "/ground_truth/names: not JSON" in result.stderr and "Traceback" not in result.output


TYPE = "a damaged message of type"


@pytest.mark.parametrize(
    ("topic", "message", "words"),
    [
        ("/openseg/regions", cut(regions(at(1), [], "a/b"), 60), f"{TYPE} openseg_ros/msg/RegionArray"),
        ("/openseg/query_state", cut(query_state(1, ("cup",)), 60), f"{TYPE} openseg_ros/msg/QueryState"),
        ("/openseg/query_state", NO_UTF_8, "can't decode byte 0xff"),
        ("/ground_truth/names", cut(string("cup and mug"), 10), f"{TYPE} std_msgs/msg/String"),
        ("/openseg/mask/compressed", EMPTY_MASK, "0 bytes of 'mono8; png"),
    ],
    ids=["cut answer", "cut query", "no UTF-8", "cut names", "empty mask"],
)
def test_damaged_messages_are_named(tmp_path, topic, message, words) -> None:
    bag = write_bag(tmp_path / "bag", [*run(), *ground_truth(), (topic, at(2.5), message)])
    result = openseg(bag)
    assert result.exit_code == 1
    assert words in result.stderr and topic in result.stderr and result.stderr.count("\n") == 1
