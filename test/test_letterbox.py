"""Images go into the network and masks come back without moving."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openseg_ros.segmenter.letterbox import ImageError, Letterbox

sides = st.one_of(st.integers(1, 400), st.sampled_from([480, 640, 720, 1080, 1920, 3840, 7680]))
inputs = st.sampled_from([((640, 640), 4), ((480, 640), 4), ((96, 128), 4), ((512, 512), 8)])


@pytest.mark.parametrize(
    ("image_size", "content", "grid"),
    [
        ((480, 640), (480, 640), (120, 160)),
        ((720, 1280), (360, 640), (90, 160)),
        ((1080, 1920), (360, 640), (90, 160)),
        ((1920, 1080), (640, 360), (160, 90)),
        ((101, 100), (640, 632), (160, 158)),  # 633.7 is rounded to a multiple of the stride
        ((1, 1), (640, 640), (160, 160)),
        ((1, 8000), (4, 640), (1, 160)),
    ],
)
def test_content_keeps_the_aspect_ratio_on_whole_cells(image_size, content, grid):
    letterbox = Letterbox(image_size, (640, 640), 4)
    assert letterbox.content_size == content
    assert letterbox.grid_size == grid


def test_apply_puts_the_image_up_left_and_grey_elsewhere():
    image = np.zeros((360, 640, 3), np.uint8)
    image[:, :320] = (200, 10, 30)
    padded = Letterbox((360, 640), (640, 640), 4).apply(image)
    assert padded.shape == (640, 640, 3) and padded.dtype == np.uint8
    np.testing.assert_array_equal(padded[:360], image)
    assert (padded[360:] == 128).all()


def test_valid_marks_exactly_the_cells_that_show_the_image():
    letterbox = Letterbox((720, 1280), (640, 640), 4)
    padded = letterbox.apply(np.zeros((720, 1280, 3), np.uint8))
    shows_image = (padded[..., 0] == 0).reshape(160, 4, 160, 4).mean((1, 3))
    np.testing.assert_array_equal(letterbox.valid, shows_image)


def test_shrinking_averages_so_that_thin_objects_remain():
    image = np.zeros((2560, 2560, 3), np.uint8)
    image[:, 1001] = 255  # one pixel of four in a column of the input
    column = Letterbox((2560, 2560), (640, 640), 4).apply(image)[:, 250]
    assert np.abs(column.astype(int) - 64).max() <= 1


@settings(max_examples=150, deadline=None)
@given(sides, sides, inputs, st.data())
def test_a_rectangle_comes_back_in_its_place(height, width, network, data):
    """Drawn in the image, seen by a network that marks bright cells, back in the image: within one cell."""
    if height * width > 1920 * 1080:
        width = 1920 * 1080 // height
    letterbox = Letterbox((height, width), *network)
    cell_height, cell_width = (max(s / g, 1.0) for s, g in zip((height, width), letterbox.grid_size, strict=True))
    # At least three cells each way, so that some cell is bright whatever the phase.
    least_y, least_x = min(height, int(3 * cell_height) + 1), min(width, int(3 * cell_width) + 1)
    top = data.draw(st.integers(0, height - least_y))
    bottom = data.draw(st.integers(top + least_y, height))
    left = data.draw(st.integers(0, width - least_x))
    right = data.draw(st.integers(left + least_x, width))
    image = np.zeros((height, width, 3), np.uint8)
    image[top:bottom, left:right] = 255

    stride = letterbox.stride
    rows, columns = letterbox.valid.shape
    cells = letterbox.apply(image)[..., 0].astype(np.float32).reshape(rows, stride, columns, stride).mean((1, 3))
    mask = letterbox.restore((cells - 127.5)[None])[0] > 0
    ys, xs = np.nonzero(mask)
    assert ys.size
    assert abs(ys.min() - top) <= cell_height + 1e-6 and abs(ys.max() + 1 - bottom) <= cell_height + 1e-6
    assert abs(xs.min() - left) <= cell_width + 1e-6 and abs(xs.max() + 1 - right) <= cell_width + 1e-6


def test_upsampling_is_not_shifted():
    """A ramp of cell centres comes back as the same ramp of pixel centres: no half-pixel offset."""
    letterbox = Letterbox((480, 640), (240, 320), 4)
    x = (np.arange(80, dtype=np.float32) + 0.5) * 8 - 0.5
    restored = letterbox.upsample(np.tile(x, (60, 1)))
    # The outer half cell has no cell beyond it and repeats the last value.
    np.testing.assert_allclose(restored[:, 4:-4], np.tile(np.arange(4, 636, dtype=np.float32), (480, 1)), atol=1e-3)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), inputs, st.data())
def test_a_box_is_the_same_part_of_the_whole(height, width, network, data):
    letterbox = Letterbox((height, width), *network)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = (x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    grid = np.random.default_rng(0).normal(size=letterbox.grid_size).astype(np.float32)
    whole = letterbox.upsample(grid)
    np.testing.assert_allclose(letterbox.upsample(grid, box), whole[y : y + box[3], x : x + box[2]], rtol=0, atol=2e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_nothing_is_positive_outside_the_box_of_its_cells(height, width, data):
    letterbox = Letterbox((height, width), (96, 128), 4)
    cells = np.zeros(letterbox.grid_size, bool)
    top, left = (data.draw(st.integers(0, side - 1)) for side in letterbox.grid_size)
    bottom, right = data.draw(st.integers(top, cells.shape[0] - 1)), data.draw(st.integers(left, cells.shape[1] - 1))
    cells[top : bottom + 1, left : right + 1] = True
    x, y, box_width, box_height = letterbox.box_of(cells)
    outside = letterbox.upsample(np.where(cells, 1e6, -1e-6).astype(np.float32)) > 0
    outside[y : y + box_height, x : x + box_width] = False
    assert not outside.any()


def test_no_cells_have_an_empty_box():
    assert Letterbox((480, 640), (96, 128), 4).box_of(np.zeros((24, 32), bool)) == (0, 0, 0, 0)


def test_restore_crops_the_padding():
    letterbox = Letterbox((360, 640), (640, 640), 4)
    grids = np.stack([letterbox.valid - 2, letterbox.valid * 3 - 1])
    restored = letterbox.restore(grids)
    assert restored.shape == (2, 360, 640)
    assert (restored[0] == -1).all() and (restored[1] == 2).all()


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((4, 5), np.uint8), "an RGB image is needed"),
        (np.zeros((4, 5, 4), np.uint8), "an RGB image is needed"),
        (np.zeros((4, 5, 3), np.float32), "float32"),
        (np.zeros((5, 4, 3), np.uint8), r"expected \(4, 5, 3\)"),
    ],
)
def test_other_arrays_are_refused(image, reason):
    with pytest.raises(ImageError, match=reason):
        Letterbox((4, 5), (96, 128), 4).apply(image)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ImageError, match="0x480 pixels"):
        Letterbox((480, 0), (96, 128), 4)
