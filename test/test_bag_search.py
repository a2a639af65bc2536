"""`openseg search` on bags whose vectors, boxes and times are chosen, with the real text encoder."""

from __future__ import annotations

import json
import math
import os
import tracemalloc

import cv2
import numpy as np
import pytest
from small_model import random_weights
from typer.testing import CliRunner
from written_bag import SECOND, START, Seen, cut, image, png, regions, string, write_bag

from openseg_ros.bags.region_index import load_index
from openseg_ros.cli.main import app
from openseg_ros.runtime.calibration import COHORT_FILE, cohort_file
from openseg_ros.runtime.weights import CONFIG_FILE, load_weights
from openseg_ros.text.text_encoder import load_text_encoder

REGIONS, CAMERA = "/openseg/regions", "/camera/image_raw"
RATE = 10
IMAGES = 60  # six seconds
DELAY = SECOND // 25  # between an image and its regions


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Probabilities of this model are sigmoid(10 cosine)."""
    return random_weights(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def towards():
    """Unit vectors with a given cosine to a phrase."""
    encoder = load_text_encoder("minilm")

    def make(phrase: str, cosine: float) -> np.ndarray:
        word = encoder.encode([phrase])[0].astype(np.float64)
        other = np.random.default_rng(0).normal(size=word.shape)
        other -= other @ word * word
        return (cosine * word + math.sqrt(1 - cosine**2) * other / np.linalg.norm(other)).astype(np.float32)

    return make


def probability(cosine: float) -> float:
    return 1 / (1 + math.exp(-10 * cosine))


def scene(towards, space: str):
    """Scissors in images 20 to 29 (best: 24) and 50 to 54 (best: 51), a far vector everywhere."""
    messages = []
    for number in range(IMAGES):
        stamp = START + number * SECOND // RATE
        seen = [Seen(towards("zebra", -0.5), label=0, phrase="")]
        if 20 <= number < 30:
            seen.append(Seen(towards("scissors", 0.9 if number == 24 else 0.8), (30, 20, 16, 12)))
        if 50 <= number < 55:
            seen.insert(0, Seen(towards("scissors", 0.7 if number == 51 else 0.6), (number, 10, 20, 30)))
        messages.append((REGIONS, stamp + DELAY, regions(stamp, seen, space)))
        picture = np.full((60, 80, 3), number * 4, np.uint8)
        messages.append((CAMERA, stamp, image(stamp, picture)))
        # Not the camera: the node's picture for people, and labels.
        overlay = np.full((60, 80, 3), 255, np.uint8)
        messages.append(("/openseg/overlay", stamp + 2 * DELAY, image(stamp, overlay)))
        labels = np.full((60, 80), 60000, np.uint16)
        messages.append(("/a_truth", stamp, png(stamp, labels, "16UC1")))
    return messages


def openseg(*arguments):
    return CliRunner().invoke(app, ["search", *map(str, arguments)], catch_exceptions=False)


def found(*arguments):
    result = openseg(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("compression", ["none", "file", "message"])
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_what_was_seen_when_and_where(tmp_path, weights, towards, storage, compression) -> None:
    bag = write_bag(tmp_path / "bag", scene(towards, weights.embedding_space), storage, compression)
    sheet = tmp_path / "sheet.png"
    answer = found(bag, "find the scissors", "--weights", weights.folder, "--threshold", "0.9", "--sheet", sheet)
    assert (answer["images"], answer["regions"]) == (IMAGES, IMAGES + 15)
    first, second = answer["sightings"]
    assert first["topic"] == REGIONS
    assert (first["first_s"], first["last_s"], first["images"]) == (2.04, 2.94, 10)
    assert (second["first_s"], second["last_s"], second["images"]) == (5.04, 5.44, 5)
    best = first["best"]
    assert (best["time_s"], best["stamp_ns"], best["region"]) == (2.44, START + 24 * SECOND // RATE, 2)
    assert best["roi"] == {"x": 30, "y": 20, "width": 16, "height": 12}
    assert best["score"] == pytest.approx(probability(0.9), abs=1e-5)
    assert (second["best"]["region"], second["best"]["roi"]["x"]) == (1, 51)
    assert second["best"]["score"] == pytest.approx(probability(0.7), abs=1e-5)
    # The sheet shows the camera's images 24 and 51, the best ones, and the found box on them.
    pixels = cv2.imread(str(sheet))
    assert pixels.shape == (264, 640, 3)
    assert pixels[230, 10].tolist() == [96] * 3 and pixels[230, 330].tolist() == [204] * 3
    assert pixels[80 + 20, 120].tolist() == [0, 210, 255]  # left edge of the box (30, 20), drawn four times as large
    assert pixels[80 + 20, 110].tolist() == [96] * 3


def test_a_threshold_above_the_best_and_a_pause_longer_than_the_gap(tmp_path, weights, towards) -> None:
    bag = write_bag(tmp_path / "bag", scene(towards, weights.embedding_space))
    model = ("--weights", weights.folder)
    one = found(bag, "scissors", *model, "--threshold", "0.9", "--pause", "3")["sightings"]
    assert [(sighting["images"], sighting["best"]["time_s"]) for sighting in one] == [(15, 2.44)]
    assert [s["images"] for s in found(bag, "scissors", *model, "--threshold", "0.9995")["sightings"]] == [10]
    none = openseg(bag, "scissors", *model, "--threshold", "0.9999")
    assert none.exit_code == 0
    assert '"scissors" is not in the recording; the best region has 1.00 at 0:02.4' in none.stdout


def test_the_table_names_phrase_times_and_box(tmp_path, weights, towards) -> None:
    bag = write_bag(tmp_path / "bag", scene(towards, weights.embedding_space))
    result = openseg(bag, "scissors; zebra", "--weights", weights.folder, "--threshold", "0.99")
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines() if "│" in line]
    assert ["scissors", "0:02.0 - 0:02.9", "10", "0:02.4", "1.00", "30 20 16 12"] in cells
    assert '"zebra" is not in the recording' in result.stdout


def test_a_changed_bag_is_read_again_and_a_damaged_index_is_made_again(tmp_path, weights, towards) -> None:
    messages = scene(towards, weights.embedding_space)
    bag = write_bag(tmp_path / "bag", messages)
    arguments = (bag, "scissors", "--weights", weights.folder, "--threshold", "0.9")
    cache = os.environ["OPENSEG_CACHE"]
    known = set(os.listdir(cache))
    expected = found(*arguments)["sightings"]
    (file,) = set(os.listdir(cache)) - known
    for damage in (b"", b"{" * 100):
        with open(f"{cache}/{file}", "wb") as stream:
            stream.write(damage)
        assert found(*arguments)["sightings"] == expected
    for name in os.listdir(bag):
        os.unlink(bag / name)
    os.rmdir(bag)
    write_bag(bag, messages[: 4 * 25])
    assert [sighting["images"] for sighting in found(*arguments)["sightings"]] == [5]


def test_an_unfinished_recording_is_searched_by_its_file(tmp_path, weights, towards) -> None:
    bag = write_bag(tmp_path / "bag", scene(towards, weights.embedding_space))
    (bag / "metadata.yaml").unlink()
    refused = openseg(bag, "scissors", "--weights", weights.folder)
    assert refused.exit_code == 1
    assert f"give the file {bag / 'bag.mcap'} itself" in refused.stderr
    answer = found(bag / "bag.mcap", "scissors", "--weights", weights.folder, "--threshold", "0.9")
    assert [sighting["images"] for sighting in answer["sightings"]] == [10, 5]


def test_vectors_of_another_network_are_refused_or_left_out(tmp_path, weights, towards) -> None:
    other = regions(START, [Seen(towards("scissors", 0.9))], "tabletop/0123456789ab")
    bag = write_bag(tmp_path / "other", [(REGIONS, START, other)])
    result = openseg(bag, "scissors", "--weights", weights.folder)
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert "tabletop/0123456789ab (1 images), not " + weights.embedding_space in result.stderr
    mixed = write_bag(tmp_path / "mixed", [(REGIONS, START, other), *scene(towards, weights.embedding_space)])
    result = openseg(mixed, "scissors", "--weights", weights.folder, "--threshold", "0.9", "--json")
    assert "1 images are left out" in result.stderr
    assert [sighting["images"] for sighting in json.loads(result.stdout)["sightings"]] == [10, 5]


def test_common_words_count_as_they_do_in_the_node(tmp_path, towards) -> None:
    folder = random_weights(tmp_path / "small").folder
    description = (folder / CONFIG_FILE).read_text()
    (folder / CONFIG_FILE).write_text(description.replace("cohort: 0.0", "cohort: -5.0"))
    cohort = cohort_file(("shears", "zebra"), np.stack([towards("scissors", 0.6), towards("zebra", 1.0)]))
    (folder / COHORT_FILE).write_bytes(cohort)
    model = load_weights(folder)
    seen = Seen(towards("scissors", 0.9))
    bag = write_bag(tmp_path / "bag", [(REGIONS, START, regions(START, [seen], model.embedding_space))])
    score = found(bag, "scissors", "--weights", folder)["sightings"][0]["best"]["score"]
    cohort_score = model.calibration.cohort_score(np.array([seen.vector]))[0]
    assert 0.5 < cohort_score < 1
    assert score == pytest.approx(1 / (1 + math.exp(-(10 * 0.9 - 5 * cohort_score))), abs=1e-4)
    # Other common words, another index.
    (folder / COHORT_FILE).write_bytes(cohort_file(("zebra",), towards("zebra", 1.0)[None]))
    assert found(bag, "scissors", "--weights", folder)["sightings"][0]["best"]["score"] > score + 0.005


def test_a_renamed_model_folder_is_the_same_space(tmp_path, weights, towards) -> None:
    space = f"yesterday/{weights.sha256[:12]}"
    bag = write_bag(tmp_path / "bag", [(REGIONS, START, regions(START, [Seen(towards("cup", 0.9))], space))])
    assert len(found(bag, "cup", "--weights", weights.folder)["sightings"]) == 1


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([("/chatter", START, string("hello"))], "has no message of type openseg_ros/msg/RegionArray"),
        ([(REGIONS, START, regions(START, [], "a/b"))], "none of the images recorded in"),
        ([(REGIONS, START, regions(START, [Seen(np.zeros(0))], "a/b"))], "publish_embeddings to 'all'"),
    ],
    ids=["no topic", "no regions", "no vectors"],
)
def test_bags_without_anything_to_search_say_why(tmp_path, weights, messages, reason) -> None:
    result = openseg(write_bag(tmp_path / "bag", messages), "scissors", "--weights", weights.folder)
    assert result.exit_code == 1
    assert reason in result.stderr and result.stderr.count("\n") == 1


def test_no_bag_and_no_bag_either(tmp_path, weights) -> None:
    missing = openseg(tmp_path / "missing", "scissors", "--weights", weights.folder)
    assert missing.exit_code == 1 and "there is no bag" in missing.stderr
    (tmp_path / "notes.txt").write_text("x")
    wrong = openseg(tmp_path / "notes.txt", "scissors", "--weights", weights.folder)
    assert wrong.exit_code == 1 and "cannot read the bag" in wrong.stderr


def test_a_camera_that_was_not_recorded_is_named(tmp_path, weights, towards) -> None:
    messages = [item for item in scene(towards, weights.embedding_space) if item[0] == REGIONS]
    bag = write_bag(tmp_path / "bag", messages)
    sheet = tmp_path / "sheet.jpg"
    result = openseg(bag, "scissors", "--weights", weights.folder, "--threshold", "0.9", "--sheet", sheet)
    assert result.exit_code == 1 and "there is no topic of pictures" in result.stderr and not sheet.exists()
    assert "scissors" in result.stdout  # the table is there all the same


def test_a_picture_that_was_not_recorded_is_left_out_of_the_sheet(tmp_path, weights, towards) -> None:
    lost = START + 24 * SECOND // RATE  # of the best image
    messages = [item for item in scene(towards, weights.embedding_space) if item[:2] != (CAMERA, lost)]
    sheet = tmp_path / "sheet.png"
    bag = write_bag(tmp_path / "bag", messages)
    result = openseg(bag, "scissors", "--weights", weights.folder, "--threshold", "0.9", "--sheet", sheet)
    assert result.exit_code == 0
    assert f"note: 1 of 2 pictures are missing on {sheet}: not in the bag" in result.stderr
    pixels = cv2.imread(str(sheet))
    assert pixels.shape == (264, 320, 3) and pixels[230, 10].tolist() == [204] * 3


def test_damaged_regions_are_named(tmp_path, weights, towards) -> None:
    message = regions(START, [Seen(towards("cup", 0.9)), Seen(towards("cup", 0.8))], weights.embedding_space)
    short = regions(START, [Seen(towards("cup", 0.9)), Seen(towards("cup", 0.8))], weights.embedding_space)
    short.embeddings = short.embeddings[:-3]
    for name, damaged, words in (
        ("cut", cut(message, 900), "/openseg/regions has a damaged message of type openseg_ros/msg/RegionArray"),
        ("short", short, "/openseg/regions: 765 numbers are no vectors of 2 regions, 384 each"),
    ):
        result = openseg(write_bag(tmp_path / name, [(REGIONS, START, damaged)]), "cup", "--weights", weights.folder)
        assert result.exit_code == 1
        assert words in result.stderr and result.stderr.count("\n") == 1


def test_an_index_keeps_vectors_and_not_their_messages(tmp_path, weights, towards) -> None:
    """An hour of messages with masks is larger than the memory."""
    seen = Seen(towards("cup", 0.9))
    messages = []
    for number in range(20):
        message = regions(START + number, [seen], weights.embedding_space)
        message.regions[0].mask.data = np.zeros(1 << 20, np.uint8)
        messages.append((REGIONS, START + number, message))
    bag = write_bag(tmp_path / "bag", messages, "sqlite3")
    held = []
    tracemalloc.start()
    try:
        index = load_index(bag, weights, lambda number: held.append(tracemalloc.get_traced_memory()[0]))
    finally:
        tracemalloc.stop()
    assert held[-1] < held[1] + (3 << 20)
    assert np.array_equal(index.embeddings.numpy(), np.stack([seen.vector] * 20))
