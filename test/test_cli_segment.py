"""`openseg segment` on real files with a real network: what it writes, what it prints, what it says of bad input."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from small_model import random_weights
from typer.testing import CliRunner

from openseg_ros.cli import file_segmenter, image_file
from openseg_ros.cli.image_file import ImageFileError, read_image
from openseg_ros.cli.main import app
from openseg_ros.runtime.weights import WeightsError, load_weights, save_weights
from openseg_ros.share_directory import share_directory

ROOT = Path(__file__).resolve().parent.parent
FILES = ["instances.png", "mask.png", "overlay.png", "regions.json"]
TABLETOP = share_directory() / "models" / "tabletop" / "model.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a network with random weights whose masks are sure of themselves: it reports regions of nothing."""
    weights = random_weights(tmp_path_factory.mktemp("models") / "small")
    state = {name: tensor * (300 if name.startswith("mask_head.6.") else 1) for name, tensor in weights.state.items()}
    save_weights(weights.folder, state, weights.description)
    return weights.folder


@pytest.fixture(scope="module")
def coffee(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "coffee.png"
    Image.fromarray(skimage.data.coffee()).save(path)
    return path


def openseg(*arguments, weights=None):
    given = ["segment", *map(str, arguments)]
    if weights is not None:
        given += ["--weights", str(weights), "--backend", "torch", "--threshold", "0.2"]
    return CliRunner().invoke(app, given, catch_exceptions=False)


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


# --- results -----------------------------------------------------------------------------------------------------


def check_results(folder, size):
    """That the four files agree with each other."""
    record = json.loads((folder / "regions.json").read_text())
    mask, instances, overlay = (pixels(folder / name) for name in ("mask.png", "instances.png", "overlay.png"))
    assert mask.shape == instances.shape == size and overlay.shape == (*size, 3)
    assert (mask.dtype, instances.dtype, overlay.dtype) == (np.uint8, np.uint16, np.uint8)
    assert (record["image"]["width"], record["image"]["height"]) == (size[1], size[0])
    ids = [region["id"] for region in record["regions"]]
    assert ids == list(range(1, len(ids) + 1))
    assert set(np.unique(instances)) <= {0, *ids}
    labels = range(1, len(record["queries"]) + 1)
    assert set(np.unique(mask)) <= {0, 255, *labels}
    assert [query["label"] for query in record["queries"]] == list(labels)
    for region in record["regions"]:
        ys, xs = np.nonzero(instances == region["id"])
        roi = region["roi"]
        assert ys.size <= region["area"] <= roi["width"] * roi["height"]
        if ys.size:
            assert roi["x"] <= xs.min() and xs.max() < roi["x"] + roi["width"]
            assert roi["y"] <= ys.min() and ys.max() < roi["y"] + roi["height"]
        assert region["phrase"] == record["queries"][region["label"] - 1]["text"]
        assert 0.2 <= region["score"] <= 1 and 0.5 < region["mask_quality"] <= 1
    if ids:
        best = record["regions"][0]  # nothing can lie on the region of the highest score
        assert np.count_nonzero(instances == 1) == best["area"]
    for query in record["queries"]:
        assert (query["region"] is None) == (query["status"] == "NOT_FOUND")
    return record


def test_one_image_writes_four_files_that_agree(coffee, model, tmp_path):
    result = openseg(coffee, "-q", "red mug", "-q", "bowl", "--out", tmp_path / "new" / "out", weights=model)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "new" / "out"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    record = check_results(folder, (400, 600))
    assert record["regions"], "the test needs regions"
    assert [query["text"] for query in record["queries"]] == ["red mug", "bowl"]
    weights = load_weights(model)
    assert record["weights"] == "small" and record["embedding_space"] == weights.embedding_space
    assert record["engine"].startswith("torch") and record["image"]["path"] == str(coffee)
    assert "red mug" in result.stdout and "coffee.png" in result.stdout
    assert (pixels(folder / "overlay.png") != skimage.data.coffee()).any()


def test_json_is_the_record_and_nothing_else(coffee, model, tmp_path):
    result = openseg(coffee, "-q", "pick the cup on the table", "--out", tmp_path, "--json", weights=model)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads((tmp_path / "regions.json").read_text())
    assert "'cup' is chosen by: on 'table'" in result.stderr
    query = json.loads(result.stdout)["queries"][0]
    assert query["text"] == "cup"
    assert bool(query["reason"]) == (query["status"] != "OK"), "why not, if it is not found there"


def test_several_images_have_a_folder_and_a_line_each(coffee, model, tmp_path):
    (tmp_path / "a").mkdir()
    other = tmp_path / "a" / "Coffee.jpg"
    Image.fromarray(skimage.data.coffee()[:300, :200]).save(other)
    out = tmp_path / "out"
    result = openseg(coffee, other, coffee, "-q", "cup", "--out", out, "--json", weights=model)
    assert result.exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["Coffee_2", "coffee", "coffee_3"]
    records = [json.loads(line) for line in result.stdout.splitlines()]
    sizes = [(record["image"]["height"], record["image"]["width"]) for record in records]
    assert sizes == [(400, 600), (300, 200), (400, 600)]
    for folder, record, size in zip(("coffee", "Coffee_2", "coffee_3"), records, sizes, strict=True):
        assert check_results(out / folder, size) == record


def test_without_out_nothing_is_written(coffee, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert openseg(coffee, "-q", "cup", weights=model).exit_code == 0
    assert not list(tmp_path.iterdir())


def test_brackets_in_a_phrase_are_no_markup(coffee, model):
    result = openseg(coffee, "-q", "[red] cup", weights=model)
    assert result.exit_code == 0 and "[red] cup" in result.stdout


@pytest.mark.skipif(not TABLETOP.is_file(), reason=f"no shipped weights yet: {TABLETOP} is missing")
def test_shipped_weights_with_the_default_engine(coffee, tmp_path):
    result = openseg(coffee, "-q", "cup", "-q", "spoon", "--out", tmp_path, "--threshold", "0.2")
    assert result.exit_code == 0, result.output
    record = check_results(tmp_path, (400, 600))
    assert record["weights"] == "tabletop" and record["engine"].startswith("openvino")


# --- bad input ---------------------------------------------------------------------------------------------------


def test_bad_files_are_named_and_the_others_are_done(coffee, model, tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("this is no picture")
    (tmp_path / "cut.png").write_bytes(coffee.read_bytes()[:5000])
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "huge.png").write_bytes(png_header(60000, 50000))
    bad = [tmp_path / name for name in ("missing.png", "empty.png", "text.jpg", "cut.png", "folder.png", "huge.png")]
    out = tmp_path / "out"
    result = openseg(*bad[:3], coffee, *bad[3:], "-q", "cup", "--out", out, "--json", weights=model)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["image"]["path"] == str(coffee)
    assert [path.name for path in out.iterdir()] == ["coffee"]
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    reasons = ["No such file", "the file is empty", "not an image", "damaged", "Is a directory", "too large; at most"]
    assert len(errors) == len(bad)
    for line, path, reason in zip(errors, bad, reasons, strict=True):
        assert line.startswith(f"error: {path}: ") and reason in line
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([""], "no query can be used: '': it is empty"),
        (["  ", "?!"], "'?!': it has no letter or digit"),
        (["x" * 5000], "it has 5000 characters; at most 200"),
        ([f"thing {number}" for number in range(1001)], "1001 queries are too many"),
    ],
)
def test_queries_that_cannot_be_used_are_an_error(coffee, model, tmp_path, queries, message):
    options = [option for query in queries for option in ("-q", query)]
    result = openseg(coffee, *options, "--out", tmp_path, weights=model)
    assert result.exit_code == 1 and message in result.stderr
    assert len(result.stderr.strip().splitlines()[-1]) < 500
    assert not list(tmp_path.iterdir())


def test_one_bad_query_does_not_cost_the_others(coffee, model):
    result = openseg(coffee, "-q", "", "-q", "rote Tasse", "-q", "x" * 201, "--json", weights=model)
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert [query["text"] for query in record["queries"]] == ["rote Tasse"]
    assert len(record["rejected"]) == 2
    assert "note: not looked for: '': it is empty" in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "--query"),
        (["-q", "cup", "--threshold", "1.5"], 2, "--threshold"),
        (["-q", "cup", "--threshold", "nan"], 2, "--threshold"),
        (["-q", "cup", "--weights", "nothing"], 1, "no model 'nothing'"),
        (["-q", "cup", "--backend", "abacus"], 1, "unknown backend 'abacus'"),
    ],
)
def test_wrong_options_are_explained(coffee, model, options, code, message):
    given = options if "--weights" in options else [*options, "--weights", model]
    result = openseg(coffee, *given)
    assert result.exit_code == code
    assert message in result.stderr and "Traceback" not in result.stderr


def test_an_output_folder_that_cannot_be_made_is_said_at_once(coffee, tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "sub"):
        result = openseg(coffee, "-q", "cup", "--out", folder, "--weights", "not even looked for")
        assert result.exit_code == 1
        assert f"error: cannot make the folder {folder}" in result.stderr


def test_a_full_disk_leaves_no_half_written_set(coffee, model, tmp_path, monkeypatch):
    """The third file does not fit: the first two go as well, and an older record does not stay beside nothing."""
    assert openseg(coffee, "-q", "cup", "--out", tmp_path, weights=model).exit_code == 0
    write = file_segmenter.write_atomically

    def fill_up(path, content):
        if path.name == "overlay.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    monkeypatch.setattr(file_segmenter, "write_atomically", fill_up)
    result = openseg(coffee, "-q", "cup", "--out", tmp_path, weights=model)
    assert result.exit_code == 1
    assert f"error: cannot write the results of {coffee} to {tmp_path}: No space left on device" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["overlay.png"]  # the old one, which was not replaced


# --- image files -------------------------------------------------------------------------------------------------


def png_header(width, height):
    """A PNG file that says it is of this size, with hardly any pixels."""
    content = b"\x89PNG\r\n\x1a\n"
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    for kind, body in ((b"IHDR", size + bytes((8, 2, 0, 0, 0))), (b"IDAT", zlib.compress(bytes(100)))):
        content += len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
    return content


def saved(path, array_or_image, **options):
    picture = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    picture.save(path, **options)
    return path


RAMP = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
COLOURS = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=2)


def test_rgb_is_taken_as_it_is(tmp_path):
    np.testing.assert_array_equal(read_image(saved(tmp_path / "i.png", COLOURS)), COLOURS)


def test_grey_becomes_three_channels(tmp_path):
    np.testing.assert_array_equal(read_image(saved(tmp_path / "i.png", RAMP)), np.stack([RAMP] * 3, axis=2))
    one_bit = saved(tmp_path / "one.png", Image.fromarray(RAMP > 100))
    np.testing.assert_array_equal(read_image(one_bit)[..., 1], np.where(RAMP > 100, 255, 0))


def test_16_bits_are_scaled_over_their_range(tmp_path):
    for name in ("i.png", "i.tif"):
        path = saved(tmp_path / name, RAMP.astype(np.uint16) * 257)
        np.testing.assert_array_equal(read_image(path), np.stack([RAMP] * 3, axis=2))


def test_transparent_pixels_are_white(tmp_path):
    alpha = np.full((4, 6), 255, np.uint8)
    alpha[0] = 0
    expected = COLOURS.copy()
    expected[0] = 255
    np.testing.assert_array_equal(read_image(saved(tmp_path / "i.png", np.dstack([COLOURS, alpha]))), expected)


def test_palettes_are_looked_up(tmp_path):
    palette = Image.fromarray((RAMP // 120).astype(np.uint8), "L").convert("P")
    palette.putpalette([200, 10, 20, 30, 40, 250])
    picture = read_image(saved(tmp_path / "i.png", palette))
    assert picture[0, 0].tolist() == [200, 10, 20] and picture[3, 5].tolist() == [30, 40, 250]


def test_cmyk_becomes_rgb(tmp_path):
    plain = Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK")
    picture = read_image(saved(tmp_path / "i.jpg", plain, quality=95))
    assert picture.shape == (16, 16, 3)
    assert np.abs(picture.astype(int) - (255, 0, 0)).max() < 12


def test_the_camera_s_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the row 0 of the file is the right side of the scene
    path = saved(tmp_path / "i.png", COLOURS, exif=exif)
    np.testing.assert_array_equal(read_image(path), np.rot90(COLOURS, -1))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (3000, 2)])
def test_extreme_shapes_go_through(model, tmp_path, size):
    path = saved(tmp_path / "i.png", np.full((*size, 3), 90, np.uint8))
    result = openseg(path, "-q", "cup", "--out", tmp_path / "out", weights=model)
    assert result.exit_code == 0, result.output
    check_results(tmp_path / "out", size)


def test_floating_point_and_32_bit_values_are_refused(tmp_path):
    with pytest.raises(ImageFileError, match="floating-point values"):
        read_image(saved(tmp_path / "i.tif", RAMP.astype(np.float32)))
    with pytest.raises(ImageFileError, match="from 0 to 23000000"):
        read_image(saved(tmp_path / "j.tif", RAMP.astype(np.int32) * 100000))


def test_a_large_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "i.png"
    path.write_bytes(png_header(12000, 9000))
    monkeypatch.setattr(image_file, "_rgb", None)  # would fail
    with pytest.raises(ImageFileError, match="12000x9000 pixels; at most 100 megapixels"):
        read_image(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    path = saved(tmp_path / "i.png", COLOURS)
    path.chmod(0)
    with pytest.raises(ImageFileError, match="Permission denied"):
        read_image(path)


# --- the command as a process --------------------------------------------------------------------------------------


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )


def test_help_is_light_and_names_the_commands():
    heavy = ("torch", "transformers", "openvino", "rclpy", "cv2", "textblob")
    code = f"""
import sys
from openseg_ros.cli.main import app
for arguments in (["--help"], ["segment", "--help"], ["run", "--help"], ["--version"]):
    try:
        app(arguments)
    except SystemExit as ending:
        assert ending.code == 0, arguments
print("heavy:", [name for name in {heavy} if name in sys.modules])
"""
    ended = run("-c", code)
    assert ended.returncode == 0, ended.stderr
    assert "heavy: []" in ended.stdout
    for words in ("segment", "run", "--query", "--out", "--json", "red mug", "openseg 0."):
        assert words in ended.stdout


@pytest.mark.slow  # OpenVINO's first import and compilation
def test_the_process_prints_json_alone_and_fails_with_a_missing_file(coffee, model):
    ended = run(
        "-c", "from openseg_ros.cli.main import app; app()", "segment", str(coffee), "missing.png", "-q", "cup",
        "--weights", str(model), "--json", "--threshold", "0.2",
    )  # fmt: skip
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["engine"].startswith("openvino")
    assert "error: missing.png: No such file or directory" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_unknown_model_is_named():
    with pytest.raises(WeightsError, match="no model 'nothing'"):
        load_weights("nothing")
