"""The picture for people shows what the segmentation says, and fits the image whatever its size."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_scene import GREY, rectangle, segmenter, words

from openseg_ros.segmenter.overlay import draw_overlay, status_line
from openseg_ros.segmenter.phrase_colours import phrase_colours
from openseg_ros.text.vocabulary import Query

CUP = (rectangle(10, 20, 30, 50), "cup")  # camera pixels x 80..200, y 40..120
BOWL = (rectangle(60, 100, 80, 140), "bowl")  # x 400..560, y 240..320


def segment(things, *queries, image=GREY):
    made = segmenter(things)
    return made.segment(made.propose(image), words(*queries))


def distance(pixel, colour):
    return float(np.abs(np.asarray(pixel, float) - colour).max())


def test_regions_are_tinted_with_the_colour_of_their_phrase():
    colours = phrase_colours(["cup", "bowl"])
    picture = draw_overlay(GREY, segment([CUP, BOWL], "cup", "bowl"))
    assert picture.shape == GREY.shape and picture.dtype == np.uint8
    # Away from contours and names: half of the target's colour, a third of another's, the rest darker than before.
    np.testing.assert_allclose(picture[100, 180], 0.5 * 90 + 0.5 * np.array(colours["cup"]), atol=1)
    np.testing.assert_allclose(picture[310, 540], 0.65 * 90 + 0.35 * np.array(colours["bowl"]), atol=1)
    np.testing.assert_array_equal(picture[200, 300], [63, 63, 63])


def test_only_the_image_is_left_where_nothing_is_found():
    picture = draw_overlay(GREY, segment([CUP], "bowl"))
    np.testing.assert_array_equal(picture[:440], GREY[:440])  # below: the line that says so
    assert (picture[450:, :200] > 200).any()


def test_the_image_itself_is_not_changed():
    image = GREY.copy()
    draw_overlay(image, segment([CUP], "cup"))
    np.testing.assert_array_equal(image, GREY)


def test_contours_follow_the_masks_and_the_target_has_a_white_one():
    picture = draw_overlay(GREY, segment([CUP, BOWL], "cup", Query("bowl", is_target=True)))
    colours = phrase_colours(["cup", "bowl"])
    assert distance(picture[80, 80], colours["cup"]) < 60
    assert distance(picture[280, 401], colours["bowl"]) < 60
    assert (picture[280, 395:400].min(1) > 200).any(), "white around the target"
    assert not (picture[80, 70:90].min(1) > 200).any(), "no white around others"


def test_where_regions_overlap_the_better_one_is_drawn():
    over = (rectangle(20, 30, 40, 60), {"bowl": 0.8})
    found = segment([CUP, over], "fork", "cup", "bowl")  # no target region: nothing is dimmed
    picture = draw_overlay(GREY, found)
    expected = 0.65 * 90 + 0.35 * np.array(phrase_colours(["fork", "cup", "bowl"])["cup"])
    assert found.instances[100, 160] == 1
    np.testing.assert_allclose(picture[110, 160], expected, atol=1)


def test_names_do_not_lie_on_each_other():
    """Five things side by side, each narrower than its name: five times the area of one label is seen."""
    things = [(rectangle(50, 40 + 8 * n, 58, 46 + 8 * n), "cup") for n in range(5)]
    colour = phrase_colours(["cup"])["cup"]

    def labelled(things):  # labels are filled with the colour itself, regions only tinted with it
        return np.count_nonzero(np.abs(draw_overlay(GREY, segment(things, "cup")).astype(int) - colour).max(2) < 50)

    one = labelled(things[:1])
    assert one > 1000
    assert labelled(things) > 4.5 * one


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (24, 32), (97, 101), (240, 2000), (1080, 1920)])
def test_any_size_is_drawn(size):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    things = [(rectangle(0, 0, 60, 60), "cup"), (rectangle(5, 60, 40, 150), "bowl")]
    found = segment(things, "cup", "bowl", "fork", image=image)
    picture = draw_overlay(image, found)
    assert picture.shape == image.shape
    assert (picture != image).any() == found.instances.any()


def test_a_name_longer_than_the_image_is_cut_and_drawn():
    found = segment([CUP], Query("w" * 200, aliases=("cup",)))
    picture = draw_overlay(GREY, found)
    assert picture.shape == GREY.shape and found.regions.phrase == ("w" * 200,)


def test_scripts_without_a_letter_in_the_font_do_not_fail():
    for phrase in ("红色的杯子", "☕", "كوب أحمر"):
        assert draw_overlay(GREY, segment([CUP], Query(phrase, aliases=("cup",)))).shape == GREY.shape


def test_an_image_of_another_size_is_refused():
    found = segment([CUP], "cup")
    with pytest.raises(ValueError, match=r"of \(480, 640, 3\) uint8, the image \(240, 320, 3\)"):
        draw_overlay(GREY[::2, ::2], found)
    with pytest.raises(ValueError, match="float32"):
        draw_overlay(GREY.astype(np.float32), found)


@pytest.mark.parametrize(
    ("things", "queries", "line"),
    [
        ([CUP, BOWL], ["cup", "bowl"], "2 of 2 found"),
        ([CUP], ["cup", "fork", "shoe"], "not found: fork, shoe   1 of 3 found"),
        ([CUP, (BOWL[0], "cup")], ["cup", "fork"], "ambiguous: cup   not found: fork   1 of 2 found"),
        ([CUP], [], "no query"),
        ([], ["cup"], "not found: cup   0 of 1 found"),
    ],
)
def test_the_line_says_what_became_of_the_queries(things, queries, line):
    assert status_line(segment(things, *queries)) == line


def test_invalid_numbers_of_the_network_are_said():
    broken = rectangle(60, 0, 70, 10)
    broken[0, 0] = np.nan
    assert status_line(segment([CUP, (broken, "bowl")], "cup")).startswith("degraded")


def test_a_phrase_keeps_its_colour_and_no_two_are_alike():
    alone = phrase_colours(["red mug"])["red mug"]
    assert alone == phrase_colours(["red mug", "bowl", "cup"])["red mug"]
    assert alone == phrase_colours(["Red Mug"])["Red Mug"]
    for count in (2, 5, 12):
        colours = phrase_colours([f"thing {number}" for number in range(count)])
        assert len(set(colours.values())) == count
    assert len(phrase_colours([f"thing {number}" for number in range(1000)])) == 1000
