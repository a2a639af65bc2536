"""From proposals and words to regions and masks, against hand-computed and brute-force values."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_scene import (
    CALIBRATION,
    GREY,
    NAMES,
    DrawnEngine,
    probability,
    rectangle,
    segmenter,
    vector,
    words,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from openseg_ros.runtime.calibration import Calibration
from openseg_ros.segmenter.letterbox import ImageError, Letterbox
from openseg_ros.segmenter.proposals import suppress_duplicates
from openseg_ros.segmenter.segmentation import Status
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.vocabulary import Query

CUP = (rectangle(10, 20, 30, 50), "cup")  # camera pixels x 80..200, y 40..120
BOWL = (rectangle(60, 100, 80, 140), "bowl")  # x 400..560, y 240..320
TABLE = (rectangle(0, 0, 90, 160), "table")
HANDLE = (rectangle(14, 40, 26, 52), {"cup": 0.99})  # mostly on the cup
SIGMOID_6 = 1 / (1 + np.exp(-6))


def segment(things, *queries, image=GREY, **settings):
    made = segmenter(things, **settings)
    return made.segment(made.propose(image), words(*queries))


# --- regions -----------------------------------------------------------------------------------------------------


def test_a_region_carries_the_right_numbers():
    found = segment([TABLE, BOWL, CUP], "cup", "bowl")
    regions = found.regions
    assert (found.height, found.width, found.status) == (480, 640, Status.OK)
    assert regions.phrase == ("bowl", "cup")  # equal scores: the order of the proposals decides
    assert regions.id.tolist() == [1, 2] and regions.id.dtype == np.uint16
    assert regions.label.tolist() == [2, 1]
    assert regions.roi.tolist() == [[400, 240, 160, 80], [80, 40, 120, 80]]
    np.testing.assert_allclose(regions.score, probability(1), rtol=1e-5)
    np.testing.assert_allclose(regions.margin, probability(1) - probability(0), rtol=1e-5)
    np.testing.assert_allclose(regions.mask_quality, SIGMOID_6, rtol=1e-5)
    np.testing.assert_array_equal(regions.embeddings, [[0, 1, *[0] * 7], [1, *[0] * 8]])
    # Bilinear interpolation of a step rounds the corners: at most one and a half pixels of each go.
    assert all(
        0 <= width * height - area <= 4 * 3
        for (_, _, width, height), area in zip(regions.roi, regions.area, strict=True)
    )


def test_masks_rois_and_areas_agree():
    found = segment([TABLE, BOWL, CUP], "cup", "bowl", "table")
    for number, (mask, roi, area) in enumerate(
        zip(found.region_masks(), found.regions.roi, found.regions.area, strict=True), start=1
    ):
        x, y, width, height = roi
        assert mask.shape == (height, width) and mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 255}
        assert np.count_nonzero(mask) == area
        assert mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any()  # tight
        assert (found.instances[y : y + height, x : x + width][mask == 0] != number).all()


def test_regions_come_best_first():
    things = [(rectangle(0, 0, 9, 9), {"cup": 0.7}), (rectangle(20, 0, 29, 9), {"cup": 0.9})]
    regions = segment(things, "cup").regions
    np.testing.assert_allclose(regions.score, [probability(0.9), probability(0.7)], rtol=1e-4)
    assert regions.roi[:, 1].tolist() == [80, 0]
    np.testing.assert_allclose(regions.margin, regions.score)  # one query: nothing to be confused with


def test_of_one_name_on_one_thing_only_the_best_region_is_reported():
    with_shadow = (rectangle(10, 20, 36, 56), {"cup": 0.9})
    beside_it = (rectangle(10, 60, 30, 90), {"cup": 0.8})
    found = segment([with_shadow, CUP, HANDLE, beside_it], "cup")
    assert found.regions.roi[:, 0].tolist() == [80, 240], "the cup, and the other cup"
    assert len(found.unmatched) == 2 and set(found.unmatched.label) == {0}, "for those who compare vectors themselves"
    assert np.unique(found.instances).tolist() == [0, 1, 2]


def test_two_names_on_one_thing_are_both_reported():
    found = segment([CUP, (HANDLE[0], {"fork": 0.9})], "cup", "fork")
    assert found.regions.phrase == ("cup", "fork")


def test_the_best_region_of_a_query_is_never_a_double():
    # Both are rather bowls than cups, but only the second one is enough of a cup.
    things = [(CUP[0], {"bowl": 0.9, "cup": 0.3}), (HANDLE[0], {"bowl": 0.8, "cup": 0.7})]
    found = segment(things, "cup", "bowl")
    assert found.regions.phrase == ("bowl", "bowl")
    assert [(result.region, result.status) for result in found.query_results] == [(2, Status.OK), (1, Status.OK)]


def test_score_is_the_best_name():
    query = Query("bowl", aliases=("fork", "cup"))
    assert segment([CUP], query).regions.score[0] == pytest.approx(probability(1), rel=1e-5)
    assert segment([CUP], Query("bowl", aliases=("fork",))).status == Status.NOT_FOUND


def test_what_a_common_word_describes_as_well_is_less_probable():
    common = np.array([vector("cup"), vector("bowl")], np.float32)
    calibration = Calibration(scale=8.0, bias=-2.0, cohort=-4.0, words=common)
    things = [(CUP[0], {"fork": 0.8}), (BOWL[0], {"fork": 0.8, "bowl": 0.6})]
    made = Segmenter(engine=DrawnEngine(things), calibration=calibration, settings=SegmenterSettings())
    regions = made.segment(made.propose(GREY), words("fork")).regions
    assert regions.roi[:, 0].tolist() == [80, 400]
    # The cohort score of the first region is the soft maximum of two cosines of 0, that of the second 0.6.
    logits = np.array([8 * 0.8 - 2 - 4 * 0.02 * np.log(2), 8 * 0.8 - 2 - 4 * 0.6])
    np.testing.assert_allclose(regions.score, 1 / (1 + np.exp(-logits)), rtol=1e-4)


def test_label_is_the_better_query_and_margin_the_distance():
    found = segment([(CUP[0], {"cup": 0.6, "bowl": 0.7})], "cup", "bowl")
    assert found.regions.phrase == ("bowl",)
    assert found.regions.margin[0] == pytest.approx(probability(0.7) - probability(0.6), rel=1e-4)
    # It answers both queries: something asked for as "cup" may fit "bowl" even better.
    assert [(result.region, result.status) for result in found.query_results] == [(1, Status.OK), (1, Status.OK)]


def test_a_query_brings_its_own_threshold():
    vague = [(CUP[0], {"cup": 0.45})]  # probability 0.40
    assert segment(vague, "cup").status == Status.NOT_FOUND
    assert segment(vague, Query("cup", threshold=0.35)).status == Status.OK
    assert segment([CUP], Query("cup", threshold=0.99)).status == Status.NOT_FOUND
    assert segment(vague, "cup", score_threshold=0.35).status == Status.OK


def test_a_stronger_background_takes_the_region():
    thing = [(CUP[0], {"cup": 0.6, "table": 0.7})]
    table = Query("table", background=True)
    beaten = segment(thing, "cup", table)
    assert (len(beaten.regions), beaten.status) == (0, Status.NOT_FOUND)
    assert beaten.query_results[0].score == pytest.approx(probability(0.6), rel=1e-4)
    weaker = segment([(CUP[0], {"cup": 0.7, "table": 0.6})], "cup", table)
    assert weaker.regions.phrase == ("cup",)
    assert weaker.regions.margin[0] == pytest.approx(probability(0.7) - probability(0.6), rel=1e-4)


def test_max_regions_cuts_the_worst_but_no_query_s_best():
    things = [(rectangle(4 * n, 0, 4 * n + 3, 9), {"cup": 0.99 - n / 100}) for n in range(5)]
    things.append((rectangle(60, 60, 69, 69), {"bowl": 0.6}))
    regions = segment(things, "cup", "bowl", max_regions=3).regions
    np.testing.assert_allclose(regions.score, [probability(c) for c in (0.99, 0.98, 0.6)], rtol=1e-4)


# --- filters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logits", "kept"),
    [
        (rectangle(0, 0, 1, 3), False),  # 3 of 19200 cells < 0.0002
        (rectangle(0, 0, 2, 2), True),
        (rectangle(0, 0, 109, 160), False),  # 0.908 of the image
        (rectangle(0, 0, 107, 160), True),
        (rectangle(0, 0, 20, 20, logit=0.3), False),  # quality 0.57
        (rectangle(0, 0, 20, 20, logit=0.5), True),  # 0.62
        (np.full((120, 160), -5.0), False),
    ],
)
def test_useless_masks_are_dropped(logits, kept):
    assert len(segment([(logits, "cup")], "cup").regions) == kept


def test_of_two_proposals_of_one_object_the_surer_stays():
    twice = [(rectangle(10, 20, 30, 50, logit=2.0), "cup"), (rectangle(10, 20, 30, 51, logit=5.0), "cup")]
    found = segment(twice, "cup")
    assert found.regions.roi.tolist() == [[80, 40, 124, 80]] and not len(found.unmatched)
    found = segment(twice, "cup", nms_iou=0.99)
    assert len(found.regions) == len(found.unmatched) == 1


def test_a_chain_of_overlaps_keeps_its_end():
    """Of a > b > c, neighbours overlap, a and c do not: one-pass suppression would lose c."""
    iou = np.array([[1, 0.9, 0.1], [0.9, 1, 0.9], [0.1, 0.9, 1]], np.float32)
    assert suppress_duplicates(iou, 0.8).tolist() == [True, False, True]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 24), st.floats(0, 1), st.integers(0, 10_000))
def test_suppression_is_greedy(count, limit, seed):
    iou = np.random.default_rng(seed).random((count, count)).astype(np.float32)
    iou = np.maximum(iou, iou.T)
    kept: list[int] = []
    for region in range(count):
        if not any(iou[better, region] > limit for better in kept):
            kept.append(region)
    assert np.flatnonzero(suppress_duplicates(iou, limit)).tolist() == kept


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_dropped_and_told(bad):
    broken = rectangle(60, 60, 90, 90)
    broken[70, 70] = bad
    found = segment([CUP, (broken, "cup")], "cup")
    assert found.status == Status.DEGRADED
    assert found.regions.roi.tolist() == [[80, 40, 120, 80]]
    assert np.isfinite(found.regions.embeddings).all()


# --- pictures ----------------------------------------------------------------------------------------------------


def test_where_regions_overlap_ids_are_never_summed_and_the_better_wins():
    over = (rectangle(20, 40, 40, 70), {"bowl": 0.8})  # x 160..280, y 80..160: overlaps the cup's corner
    found = segment([CUP, over], "cup", "bowl")
    assert found.regions.phrase == ("cup", "bowl")
    assert set(np.unique(found.instances)) == {0, 1, 2} and found.instances.dtype == np.uint16
    assert (found.instances[84:116, 164:196] == 1).all()
    assert (found.instances[124:156, 164:276] == 2).all()
    assert set(np.unique(found.mask)) == {1, 2, 255}
    assert (found.mask[124:156, 204:276] == 2).all() and (found.mask[44:76, 84:156] == 1).all()
    assert abs(found.confidence[100, 180] - probability(1) * 255) <= 0.51
    assert (found.mask[84:116, 164:196] == 1).all()


def test_mask_tells_named_other_and_unlabelled_apart():
    found = segment([CUP, (TABLE[0], "plant")], "cup")
    assert found.mask.dtype == np.uint8
    assert found.mask[80, 140] == 1  # the cup
    assert found.mask[300, 300] == 0  # a region that is nothing asked for
    assert found.mask[400, 300] == 255  # no region
    assert found.confidence[300, 300] == found.confidence[400, 300] == 0
    assert found.confidence[80, 140] == round(255 * probability(1))  # though the other region lies there too


def test_background_is_painted_as_other_with_its_probability():
    found = segment([CUP, (rectangle(60, 0, 90, 160), "table")], "cup", Query("table", background=True))
    assert found.mask[300, 300] == 0
    assert found.confidence[300, 300] == round(255 * probability(1))
    assert found.mask[80, 140] == 1


def test_target_mask_is_the_target_only():
    found = segment([CUP, BOWL], "cup", Query("bowl", is_target=True))
    assert found.target_mask.dtype == np.uint8
    assert set(np.unique(found.target_mask)) == {0, 255}
    x, y, width, height = found.regions.roi[found.target_region - 1]
    assert (x, y, width, height) == (400, 240, 160, 80)
    assert np.count_nonzero(found.target_mask) == found.regions.area[found.target_region - 1]
    assert found.target_mask[y + 2 : y + height - 2, x + 2 : x + width - 2].all()


def test_labels_above_254_need_16_bits():
    found = segment([CUP], *(f"thing {n}" for n in range(299)), "cup")
    assert found.mask.dtype == np.uint16
    assert set(np.unique(found.mask)) == {300, 65535}
    assert found.regions.label.tolist() == [300]


def doubles(p, proposals, vocabulary):
    """Regions that are left out for a better one of the same name, one by one."""
    background = np.array([query.background for query in vocabulary.queries])
    thresholds = np.array([0.5 if query.threshold < 0 else query.threshold for query in vocabulary.queries])
    passes = (p >= thresholds) & ~background & (p >= p[:, background].max(1, initial=0)[:, None])
    score = np.where(passes, p, -1)
    kept, left_out = [], []
    for row in sorted(np.flatnonzero(passes.any(1)), key=lambda row: -score[row].max()):
        better = [
            other
            for other in kept
            if score[other].argmax() == score[row].argmax()
            and proposals.overlap[row, other] > 0.5
            and (passes[other] >= passes[row]).all()
        ]
        (left_out if better else kept).append(row)
    return left_out


def brute_force_mask(made, proposals, vocabulary):
    """The rule of `Segmentation.mask`, every query at every pixel; and which pixels are far from a tie."""
    soft = 1 / (1 + np.exp(-proposals.mask_logits.astype(np.float64)))
    cosine = proposals.embeddings @ vocabulary.embeddings.T
    best = np.stack([cosine[:, vocabulary.owner == q].max(1) for q in range(len(vocabulary.queries))], 1)
    p = 1 / (1 + np.exp(-(8.0 * best.astype(np.float64) - 4.0)))
    p[doubles(p, proposals, vocabulary)] = 0
    share = (p[:, :, None, None] * soft[:, None]).max(0) / np.maximum(soft.max(0), 1e-6)
    thresholds = np.array([0.5 if query.threshold < 0 else query.threshold for query in vocabulary.queries])
    covered_cells = (proposals.mask_logits > 0).any(0)
    near = np.zeros_like(covered_cells)
    for y, x in np.argwhere(covered_cells):
        near[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = True
    wins = {int(k) for k in share.argmax(0)[near & (share.max(0) >= thresholds.min())]}
    upsampled = np.stack([proposals.letterbox.upsample(grid.astype(np.float32)) for grid in share])
    upsampled[[k for k in range(len(share)) if k not in wins]] = -1
    winner, value = upsampled.argmax(0), upsampled.max(0)
    labels = np.array(vocabulary.labels)
    mask = np.where(value >= thresholds[winner], labels[winner], 0)
    covered = proposals.letterbox.upsample(proposals.mask_logits.max(0)) > 0
    mask[~covered] = vocabulary.unlabelled
    ranked = np.sort(upsampled, axis=0)
    second = ranked[-2] if len(ranked) > 1 else np.full_like(value, -1)
    clear = (value - second > 1e-4) & (np.abs(value - thresholds[winner]) > 1e-4)
    return mask, clear | ~covered


@pytest.mark.parametrize("size", [(480, 640), (360, 640), (75, 100), (1, 1), (13, 900)])
@pytest.mark.parametrize("seed", range(6))
def test_mask_equals_the_plain_formula(size, seed):
    """Leaving out what cannot win, and interpolating only boxes, changes no pixel."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:30, :40]
    things = []
    for _ in range(9):
        centre_y, centre_x, radius = random.uniform(0, 30), random.uniform(0, 40), random.uniform(3, 15)
        logits = (radius - np.hypot(y - centre_y, x - centre_x)) * random.uniform(0.2, 3)
        first, second = random.choice(NAMES[:5], 2, replace=False)
        things.append((logits, {first: random.uniform(0.4, 0.8), second: random.uniform(0.2, 0.6)}))
    queries = [Query(name, threshold=random.choice([-1, 0.2, 0.7])) for name in NAMES[:3]]
    queries += [Query("table", background=True), "lamp"]
    made = Segmenter(
        engine=DrawnEngine(things, (120, 160), 4),
        calibration=CALIBRATION,
        settings=SegmenterSettings(min_mask_quality=0.5),
    )
    vocabulary = words(*queries)
    proposals = made.propose(np.zeros((*size, 3), np.uint8))
    expected, clear = brute_force_mask(made, proposals, vocabulary)
    mask = made.segment(proposals, vocabulary).mask
    assert mask.shape == size
    np.testing.assert_array_equal(mask[clear], expected[clear])


@pytest.mark.parametrize("size", [(720, 1280), (1080, 1920), (1000, 333), (97, 101), (24, 32), (5, 3), (1, 1)])
def test_answers_are_in_camera_pixels(size):
    """A thing in the middle of the view is in the middle of the mask, at any size and shape."""
    letterbox = Letterbox(size, (480, 640), 4)
    h, w = letterbox.grid_size
    thing = rectangle(h // 4, w // 4, h - h // 4, w - w // 4)
    found = segment([(thing, "cup")], "cup", image=np.zeros((*size, 3), np.uint8))
    for picture in (found.mask, found.instances, found.target_mask, found.confidence):
        assert picture.shape == size
    x, y, width, height = found.regions.roi[0]
    assert abs(2 * x + width - size[1]) <= 2 and abs(2 * y + height - size[0]) <= 2
    assert abs(width - (w - 2 * (w // 4)) / w * size[1]) <= 2 and abs(height - (h - 2 * (h // 4)) / h * size[0]) <= 2


def test_a_mask_that_falls_between_the_pixels_is_not_reported():
    speck = rectangle(0, 0, 2, 2)
    found = segment([(speck, "cup")], "cup", image=np.zeros((3, 4, 3), np.uint8))
    assert (len(found.regions), found.status, found.target_mask.any()) == (0, Status.NOT_FOUND, False)


# --- status ------------------------------------------------------------------------------------------------------


def test_no_query_is_not_not_found():
    for vocabulary in ((), (Query("table", background=True),)):
        found = segment([CUP, TABLE], *vocabulary)
        assert (found.status, found.query_results, found.target_region) == (Status.NO_QUERY, (), None)
        assert (found.mask == 255).all() and not found.instances.any() and not found.confidence.any()
        assert len(found.regions) == 0 and not found.target_mask.any()


def test_nothing_proposed_is_an_empty_answer():
    found = segment([], "cup")
    assert found.status == Status.NOT_FOUND
    assert (found.mask == 255).all() and not found.instances.any() and not found.target_mask.any()
    assert found.regions.roi.shape == (0, 4) and found.regions.embeddings.shape == (0, 9)


@pytest.mark.parametrize(
    ("things", "queries", "status", "per_query"),
    [
        ([CUP], ["cup"], Status.OK, [Status.OK]),
        ([CUP], ["bowl"], Status.NOT_FOUND, [Status.NOT_FOUND]),
        ([CUP], ["bowl", "cup"], Status.OK, [Status.NOT_FOUND, Status.OK]),
        ([CUP], [Query("bowl", is_target=True), "cup"], Status.NOT_FOUND, [Status.NOT_FOUND, Status.OK]),
        ([BOWL], ["fork", "cup"], Status.NOT_FOUND, [Status.NOT_FOUND] * 2),
        ([CUP, (BOWL[0], "cup")], ["cup"], Status.AMBIGUOUS, [Status.AMBIGUOUS]),
        ([CUP, (BOWL[0], {"cup": 0.7})], ["cup"], Status.OK, [Status.OK]),
        ([CUP, (BOWL[0], {"cup": 0.95})], ["cup"], Status.AMBIGUOUS, [Status.AMBIGUOUS]),  # 0.982, 0.973
        (
            [CUP, (BOWL[0], "cup"), (rectangle(90, 0, 99, 9), "fork")],
            ["cup", Query("fork", is_target=True)],
            Status.OK,
            [Status.AMBIGUOUS, Status.OK],
        ),
    ],
)
def test_status_says_how_the_target_fared(things, queries, status, per_query):
    found = segment(things, *queries)
    assert found.status == status
    assert [result.status for result in found.query_results] == per_query


def test_a_part_of_the_best_region_is_no_rival():
    found = segment([CUP, HANDLE], "cup")
    assert found.status == Status.OK
    assert found.regions.roi.tolist() == [[80, 40, 120, 80]]


def test_status_numbers_are_those_of_the_message():
    assert {status.name: int(status) for status in Status} == {
        "OK": 0,
        "NO_QUERY": 1,
        "NOT_FOUND": 2,
        "AMBIGUOUS": 3,
        "DEGRADED": 4,
    }


# --- unmatched ---------------------------------------------------------------------------------------------------


def test_unmatched_proposals_follow_the_reported_ones():
    found = segment([CUP, BOWL, (rectangle(100, 0, 110, 20), {"cup": 0.3})], "cup")
    assert found.regions.id.tolist() == [1]
    others = found.unmatched
    assert others.id.tolist() == [2, 3]
    assert others.label.tolist() == [0, 0] and others.phrase == ("", "")
    assert others.roi.tolist() == [[400, 240, 160, 80], [0, 400, 80, 40]]
    np.testing.assert_allclose(others.score, [probability(0), probability(0.3)], rtol=1e-4)
    assert [np.count_nonzero(mask) for mask in found.unmatched_masks()] == others.area.tolist()
    assert set(np.unique(found.instances)) == {0, 1}


def test_unmatched_and_reported_together_are_bounded():
    things = [CUP, *((rectangle(4 * n, 60, 4 * n + 3, 70), "bowl") for n in range(10))]
    found = segment(things, "cup", max_regions=4)
    assert len(found.regions) + len(found.unmatched) == 4
    without_query = segment(things)
    assert (len(without_query.regions), len(without_query.unmatched)) == (0, 11)
    assert not without_query.unmatched.score.any()


# --- cost and input ----------------------------------------------------------------------------------------------


def test_the_network_runs_once_for_many_vocabularies():
    engine = DrawnEngine([CUP, BOWL])
    made = Segmenter(engine=engine, calibration=CALIBRATION, settings=SegmenterSettings())
    proposals = made.propose(GREY)
    assert made.segment(proposals, words("cup")).regions.phrase == ("cup",)
    assert made.segment(proposals, words("bowl", version=2)).regions.phrase == ("bowl",)
    assert len(engine.seen) == 1


def test_the_network_sees_the_letterboxed_image():
    engine = DrawnEngine([CUP], (480, 640))
    made = Segmenter(engine=engine, calibration=CALIBRATION, settings=SegmenterSettings())
    image = np.zeros((720, 1280, 3), np.uint8)
    image[..., 0] = 255  # red: channels must not be swapped
    made.propose(image)
    images, valid = engine.seen[0]
    assert images.shape == (1, 480, 640, 3) and images.dtype == np.uint8
    assert (images[0, :360] == (255, 0, 0)).all() and (images[0, 360:] == 128).all()
    assert valid.shape == (1, 120, 160) and valid.dtype == np.float32
    assert (valid[0, :90] == 1).all() and (valid[0, 90:] == 0).all()


def test_what_nobody_reads_is_not_interpolated(monkeypatch):
    calls = []
    upsample = Letterbox.upsample
    monkeypatch.setattr(Letterbox, "upsample", lambda self, *a: calls.append(a) or upsample(self, *a))
    found = segment([CUP, BOWL], "cup", *(f"thing {n}" for n in range(100)))
    assert found.target_mask.any() and found.instances.any() and len(found.regions) == 1
    assert len(calls) == 1  # the cup, on its own box
    calls.clear()
    assert (found.mask == 1).any() and found.confidence.any()
    assert len(calls) == 2  # where regions lie, and the one phrase that wins anywhere


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ImageError, match="expected"):
        segmenter([CUP]).propose(image)


def test_vectors_of_another_encoder_are_refused():
    made = segmenter([CUP])
    vocabulary = words("cup")
    object.__setattr__(vocabulary, "embeddings", np.ones((1, 4), np.float32))
    with pytest.raises(ValueError, match="vectors of 4 numbers, the regions of 9"):
        made.segment(made.propose(GREY), vocabulary)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nms_iou": 1.5}, "nms_iou is 1.5"),
        ({"max_regions": 0}, "max_regions is 0"),
        ({"score_threshold": -1}, "score"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SegmenterSettings(**wrong)
