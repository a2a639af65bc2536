"""Relations choose among regions that look alike, on drawn scenes whose every mask is known."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_scene import GREY, NamesEncoder, rectangle, segmenter

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.pinhole import Pinhole
from openseg_ros.segmenter.segmentation import Segmentation, Status
from openseg_ros.text.command import parse_query_text
from openseg_ros.text.vocabulary import Query, QueryError, Relation, build_vocabulary

FAR_SIGHTED = Pinhole((480, 640), 1e6, 1e6, 320.0, 240.0)  # only depth tells its points apart
# On the grid of 120 x 160 cells; camera pixels are 4 times as many.
MIDDLE_BOWL = (rectangle(50, 70, 70, 90), "bowl")
CUPS = {
    "left": (rectangle(52, 20, 64, 32), "cup"),
    "right": (rectangle(54, 130, 66, 142), "cup"),
    "far": (rectangle(6, 74, 18, 86), "cup"),
    "near": (rectangle(100, 74, 112, 86), "cup"),
    "beside": (rectangle(58, 94, 70, 106), "cup"),
    "inside": (rectangle(56, 76, 64, 84), "cup"),
}


def look(said: str, *things: tuple, points: ImagePoints | None = None) -> Segmentation:
    made = segmenter(things)
    vocabulary = build_vocabulary(parse_query_text(said).queries, NamesEncoder(), 1)
    return made.segment(made.propose(GREY), vocabulary, points)


def chosen(found: Segmentation) -> list[int] | None:
    """Box of the target in cells: left and top."""
    return None if found.target_region is None else (found.regions.roi[found.target_region - 1][:2] // 4).tolist()


@pytest.mark.parametrize(
    ("said", "cups", "wanted"),
    [
        ("pick the cup left of the bowl", ["left", "right", "far"], "left"),
        ("pick the cup to the right of the bowl", ["left", "right", "far"], "right"),
        ("pick the cup behind the bowl", ["left", "far", "near"], "far"),
        ("pick the cup in front of the bowl", ["left", "far", "near"], "near"),
        ("pick the cup above the bowl", ["left", "far", "near"], "far"),
        ("pick the cup under the bowl", ["left", "far", "near"], "near"),
        ("pick the cup next to the bowl", ["left", "beside", "far"], "beside"),
        ("pick the cup closest to the bowl", ["left", "far", "right"], "far"),
        ("pick the cup in the bowl", ["left", "beside", "inside"], "inside"),
        ("pick the cup on the bowl", ["near", "inside", "far"], "inside"),
        ("pick the leftmost cup", ["right", "left", "far"], "left"),
        ("pick the cup on the right", ["far", "left", "right"], "right"),
        ("pick the second cup from the left", ["right", "left", "far"], "far"),
        ("pick the third cup from the right", ["right", "left", "far"], "left"),
        ("pick the middle cup", ["left", "far", "right"], "far"),
        ("pick the cup in the middle", ["right", "beside", "left"], "beside"),
        ("pick the closest cup", ["far", "left", "near"], "near"),
        ("pick the farthest cup", ["near", "left", "far"], "far"),
        ("pick the smallest cup", ["near", "left", "inside"], "inside"),
    ],
)
def test_the_one_that_stands_right_is_the_target(said, cups, wanted):
    for order in (cups, cups[::-1]):
        found = look(said, MIDDLE_BOWL, *(CUPS[name] for name in order))
        assert found.status == Status.OK, found.target_result
        cells = np.argwhere(CUPS[wanted][0] > 0).min(0)[::-1]
        assert chosen(found) == cells.tolist()
        x, y, width, height = found.regions.roi[found.target_region - 1]
        assert found.target_mask[y + height // 2, x + width // 2] == 255
        assert np.count_nonzero(found.target_mask) == found.regions.area[found.target_region - 1]


def test_a_rank_beyond_the_last_is_not_found():
    found = look("pick the third cup from the left", CUPS["left"], CUPS["right"])
    assert found.status == Status.NOT_FOUND
    assert found.target_result.reason == "of 'cup' only 2 can be seen"


def test_a_rank_that_two_share_is_ambiguous():
    below_left = (rectangle(80, 21, 92, 33), "cup")
    for said in ("pick the first cup from the left", "pick the second cup from the left"):
        assert look(said, CUPS["left"], below_left, CUPS["right"]).status == Status.AMBIGUOUS
    assert look("pick the third cup from the left", CUPS["left"], below_left, CUPS["right"]).status == Status.OK


def test_the_reference_is_neither_label_nor_region():
    found = look("pick the cup left of the bowl", MIDDLE_BOWL, CUPS["left"], CUPS["right"])
    assert found.vocabulary.phrases == ("cup",)
    assert found.regions.phrase == ("cup", "cup") and set(np.unique(found.mask)) == {0, 1, 255}


def test_a_missing_reference_is_no_reason_to_take_any():
    found = look("pick the cup left of the bowl", CUPS["left"], CUPS["right"])
    assert (found.status, found.target_region) == (Status.NOT_FOUND, None)
    assert not found.target_mask.any() and len(found.regions) == 2
    assert found.target_result.reason == "'left of 'bowl'' cannot be decided: 'bowl' is not found"


def test_none_that_stands_right_is_not_found():
    found = look("pick the cup left of the bowl", MIDDLE_BOWL, CUPS["right"], CUPS["far"])
    assert (found.status, found.target_region) == (Status.NOT_FOUND, None)
    assert found.target_result.reason == "of 2 that look like 'cup' none is left of 'bowl'"


def test_two_that_stand_right_are_ambiguous():
    other = (rectangle(70, 20, 82, 32), "cup")
    found = look("pick the cup left of the bowl", MIDDLE_BOWL, CUPS["left"], other, CUPS["right"])
    assert found.status == Status.AMBIGUOUS
    assert found.target_result.reason == "several that look like 'cup' are equally left of 'bowl'"
    of_two = look("pick the middle cup", CUPS["left"], CUPS["right"])
    assert of_two.status == Status.AMBIGUOUS
    same_size = look("pick the largest cup", CUPS["left"], CUPS["right"])
    assert same_size.status == Status.AMBIGUOUS


def test_between_two_and_between_two_of_a_kind():
    fork, cup = (rectangle(50, 10, 62, 22), "fork"), (rectangle(52, 40, 64, 52), "cup")
    found = look("pick the cup between the fork and the bowl", fork, cup, CUPS["right"], MIDDLE_BOWL)
    assert (found.status, chosen(found)) == (Status.OK, [40, 52])
    books = [(rectangle(50, 10, 62, 22), "book"), (rectangle(50, 100, 62, 112), "book")]
    query = Query("cup", relations=(Relation("between", (Query("books", aliases=("book",)),)),))
    made = segmenter([*books, cup, CUPS["right"]])
    found = made.segment(made.propose(GREY), build_vocabulary([query], NamesEncoder(), 1))
    assert (found.status, chosen(found)) == (Status.OK, [40, 52])


def test_a_reference_has_relations_too():
    bowls = [(rectangle(50, 20, 62, 32), "bowl"), (rectangle(50, 120, 62, 132), "bowl")]
    cups = [(rectangle(50, 36, 62, 48), "cup"), (rectangle(50, 136, 62, 148), "cup")]
    assert chosen(look("pick the cup next to the leftmost bowl", *bowls, *cups)) == [36, 50]
    assert chosen(look("pick the cup next to the rightmost bowl", *bowls, *cups)) == [136, 50]


def test_what_fits_the_reference_better_is_no_target():
    vague = (rectangle(50, 70, 70, 90), {"bowl": 0.9, "cup": 0.6})
    found = look("pick the largest cup next to the bowl", vague, CUPS["beside"])
    assert (found.status, chosen(found)) == (Status.OK, [94, 58])


def test_depth_decides_where_it_is_measured():
    """In the image the far cup is higher; measured, it hangs before the bowl. The near one is small and far away."""
    depth = np.ones((480, 640), np.float32)
    depth[:100], depth[390:] = 0.5, 3.0
    points = ImagePoints(FAR_SIGHTED, depth)
    things = (MIDDLE_BOWL, CUPS["far"], CUPS["near"])
    assert chosen(look("pick the cup behind the bowl", *things)) == [74, 6]
    assert chosen(look("pick the cup behind the bowl", *things, points=points)) == [74, 100]
    assert chosen(look("pick the closest cup", *things)) == [74, 100]
    assert chosen(look("pick the closest cup", *things, points=points)) == [74, 6]
    assert look("pick the largest cup", *things).status == Status.AMBIGUOUS
    assert chosen(look("pick the largest cup", *things, points=points)) == [74, 100]
    depth[:100] = np.nan  # one cup without a measured point: the image's rule for both
    assert chosen(look("pick the cup behind the bowl", *things, points=points)) == [74, 6]


def test_a_reference_that_cannot_be_looked_for_refuses_the_query():
    query = Query("cup", relations=(Relation("next to", (Query("---"),)),))
    with pytest.raises(QueryError, match="what it is 'next to' cannot be looked for"):
        build_vocabulary([query], NamesEncoder(), 1)


def test_one_phrase_has_one_place():
    vocabulary = build_vocabulary(parse_query_text("pick the left cup and the right cup").queries, NamesEncoder(), 1)
    assert [relation.name for relation in vocabulary.queries[0].relations] == ["left"]
    assert vocabulary.rejected == ("'cup' (right): the same thing is asked for with another place",)
