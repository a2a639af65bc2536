"""The rendered tabletop world: same seed same bytes, exact masks and depth, the COCO layout, true captions."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from pycocotools.coco import COCO

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.pinhole import Pinhole
from openseg_ros.geometry.rigid_transform import RigidTransform
from training.world import grammar
from training.world.camera import look_at
from training.world.captions import relation, write_captions
from training.world.colours import COLOUR_NAMES, shade
from training.world.dataset import RenderSettings, render_dataset, render_scene
from training.world.errors import ScanError, WorldError
from training.world.graphics_backend import mujoco
from training.world.kinds import KINDS
from training.world.model_assets import add_object, quaternion
from training.world.render import main
from training.world.renderer import Renderer
from training.world.room import STUFF_NAMES
from training.world.scans import list_scans, load_scan
from training.world.scene import Scene, Sources
from training.world.sequence import Motion, film
from training.world.view import MIN_IMAGE_SHARE, Segment, View

pytestmark = pytest.mark.rendering

ROOT = Path(__file__).resolve().parent.parent
SCANS = ROOT.parent / "shared" / "data" / "objects"
SCAN_LISTS = ROOT / "training" / "world" / "scan_lists"
HEIGHT, WIDTH = 120, 160
SETTINGS = RenderSettings(seed=11, views=2, height=HEIGHT, width=WIDTH, sources=Sources())
SCENES = 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("world")
    render_dataset(SETTINGS, out, SCENES, workers=1, arguments={})
    return out


@pytest.fixture(scope="module")
def rendered():
    """Scene, and its views with captions, for a few scenes."""
    return [
        (Scene(11, index, Sources(), height=HEIGHT, width=WIDTH), list(render_scene(SETTINGS, index)))
        for index in range(SCENES)
    ]


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def panoptic_ids(path: Path) -> np.ndarray:
    bgr = cv2.imread(str(path)).astype(np.int64)
    return bgr[..., 2] + 256 * bgr[..., 1] + 65536 * bgr[..., 0]


# --- the same seed gives the same bytes


def test_bytes_do_not_depend_on_the_number_of_workers(dataset, tmp_path):
    render_dataset(SETTINGS, tmp_path, SCENES, workers=2, arguments={})
    first, second = contents(dataset), contents(tmp_path)
    assert len(first) == 2 * 2 * SCENES + 3
    assert first == second


def test_a_killed_rendering_process_ends_the_rendering(tmp_path):
    def kill_the_first() -> None:
        while not any(tmp_path.glob("images/*")):  # Python itself fails if one goes while the other is being started
            time.sleep(0.02)
        workers = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
        workers[0].kill()

    killer = threading.Thread(target=kill_the_first, daemon=True)
    killer.start()
    with pytest.raises(WorldError, match="one of 2 rendering processes was killed"):
        render_dataset(SETTINGS, tmp_path, 50, workers=2, arguments={})
    killer.join()


def test_another_seed_gives_another_world(rendered):
    other = RenderSettings(seed=12, views=1, height=HEIGHT, width=WIDTH, sources=Sources())
    view, _ = next(iter(render_scene(other, 0)))
    assert (view.rgb != rendered[0][1][0][0].rgb).mean() > 0.5


def test_things_on_the_floor_of_a_room_without_a_table():
    settings = RenderSettings(seed=12, views=2, height=HEIGHT, width=WIDTH, sources=Sources(), ground="floor")
    said = 0
    for index in range(SCENES):
        for view, captions in render_scene(settings, index):
            assert "table" not in {segment.name for segment in view.segments}
            assert not any(re.search(r"\btable\b", caption) for caption in captions)
            assert not any(re.search(r"on the floor.*floor", caption) for caption in captions)
            said += sum("on the floor" in caption for caption in captions)
            world = world_points(view)
            (floor,) = (segment for segment in view.segments if segment.name == "floor")
            assert np.median(np.abs(world[view.instances == floor.id][:, 2])) < 0.001  # the floor is z = 0
    assert said > SCENES


# --- geometry


def world_points(view: View) -> np.ndarray:
    """(H, W, 3) metres."""
    k = view.intrinsics
    points = ImagePoints(Pinhole(view.depth.shape, k[0, 0], k[1, 1], k[0, 2], k[1, 2]), view.depth).xyz
    return RigidTransform(view.pose[:3, :3], view.pose[:3, 3]).apply(points.astype(np.float64))


def test_mask_depth_and_intrinsics_agree_with_the_objects_poses(rendered):
    checked = 0
    for scene, views in rendered:
        for view, _ in views:
            world = world_points(view)
            for segment in view.segments:
                points = world[view.instances == segment.id]
                assert len(points) == segment.area
                if segment.is_thing:
                    corners = scene.vertices(segment.id - 1)
                    outside = np.maximum(corners.min(axis=0) - points, points - corners.max(axis=0))
                    assert outside.max() < 0.002, segment.phrase  # metres
                    checked += 1
                elif segment.name == "table":
                    assert np.median(np.abs(points[:, 2])) < 0.001  # the table top is z = 0
    assert checked > 20


def test_known_pixel_of_a_known_point():
    camera = look_at(np.array([0.0, -1.0, 1.0]), np.zeros(3), np.pi / 2)
    k = camera.intrinsics(200, 300)
    assert k[0, 0] == pytest.approx(100.0)  # 200 / 2 / tan(45 degrees)
    # the target is at the principal point, 1.4142 m away; 0.1 m to its right is 100 * 0.1 / 1.4142 pixels right
    pixels = camera.project(np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]]), 200, 300)
    assert pixels[0] == pytest.approx([149.5, 99.5, np.sqrt(2.0)])
    assert pixels[1, :2] == pytest.approx([149.5 + 10.0 / np.sqrt(2.0), 99.5])


def test_objects_that_are_hardly_visible_are_left_out(rendered):
    hidden = 0
    for scene, views in rendered:
        for view, _ in views:
            assert set(np.unique(view.instances)) - {0} == {segment.id for segment in view.segments}
            for segment in view.segments:
                assert segment.area >= MIN_IMAGE_SHARE * HEIGHT * WIDTH
            hidden += len(scene.objects) - sum(segment.is_thing for segment in view.segments)
    assert hidden > 0  # the rule was exercised


def test_objects_lie_still_on_the_table(rendered):
    for scene, _ in rendered:
        for number in range(len(scene.objects)):
            assert scene.vertices(number)[:, 2].min() > -0.012  # colliders are simpler than the drawn shape


# --- files


def test_panoptic_files_follow_the_official_layout(dataset):
    panoptic = json.loads((dataset / "panoptic.json").read_text())
    categories = {c["id"]: c for c in panoptic["categories"]}
    assert {c["name"] for c in categories.values()} == {*KINDS, *STUFF_NAMES}
    assert {c["name"] for c in categories.values() if not c["isthing"]} == set(STUFF_NAMES)
    assert len(panoptic["images"]) == len(panoptic["annotations"]) == 2 * SCENES
    for image, annotation in zip(panoptic["images"], panoptic["annotations"], strict=True):
        assert annotation["image_id"] == image["id"]
        assert cv2.imread(str(dataset / "images" / image["file_name"])).shape == (HEIGHT, WIDTH, 3)
        ids = panoptic_ids(dataset / "panoptic" / annotation["file_name"])
        assert ids.shape == (image["height"], image["width"])
        assert set(np.unique(ids)) - {0} == {info["id"] for info in annotation["segments_info"]}
        for info in annotation["segments_info"]:
            mask = ids == info["id"]
            x, y, w, h = info["bbox"]
            assert mask.sum() == info["area"]
            assert mask[y : y + h, x : x + w].sum() == info["area"]
            assert mask[y].any() and mask[y + h - 1].any() and mask[:, x].any() and mask[:, x + w - 1].any()
            name = categories[info["category_id"]]["name"]
            assert info["phrase"].endswith(name) and name == info["nouns"][0]
            for word in info["attributes"].values():
                assert word in info["phrase"].split()


def test_pycocotools_reads_the_captions(dataset, capsys):
    coco = COCO(str(dataset / "captions.json"))
    capsys.readouterr()  # pycocotools prints while it reads
    assert len(coco.getImgIds()) == 2 * SCENES
    for image_id in coco.getImgIds():
        captions = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        assert len(captions) == 5
        assert all(caption["caption"].strip() for caption in captions)
    assert (dataset / "images" / coco.loadImgs([1])[0]["file_name"]).is_file()


# --- captions


def names_in(text: str, nouns: set[str]) -> list[str]:
    """Nouns found in a text, the longest first, each stretch of text used once."""
    found = []
    for noun in sorted(nouns, key=len, reverse=True):
        pattern = rf"\b{re.escape(noun)}\b"
        found += [noun] * len(re.findall(pattern, text))
        text = re.sub(pattern, "#", text)
    return found


def test_captions_mention_only_what_can_be_seen(rendered):
    generator = np.random.default_rng(0)
    all_nouns = {noun: kind for kind in KINDS.values() for noun in kind.build(np.random.default_rng(0)).nouns}
    all_nouns.pop("orange")  # also a colour
    forms = {form for noun in all_nouns for form in (noun, grammar.plural(noun))}
    mentioned = 0
    for _, views in rendered:
        for view, _ in views:
            seen: set[str] = set()
            for segment in view.segments:
                seen |= {form for noun in segment.nouns for form in (noun, grammar.plural(noun))}
            for caption in write_captions(view, generator, 40):
                found = names_in(caption.lower(), forms | seen)
                assert set(found) <= seen, caption
                mentioned += len(found)
    assert mentioned > 500


def test_counts_in_captions_are_true():
    kinds = ["mug", "mug", "mug", "knife", "knife", "strawberry", "strawberry", "box"]
    scene = Scene(2, 0, Sources(), height=HEIGHT, width=WIDTH, kinds=kinds)
    frame = next(film(scene, height=HEIGHT, width=WIDTH, frames=1, rate=1.0))
    visible = list(frame.names.values())
    counts = {grammar.plural(name): visible.count(name) for name in ("mug", "knife", "strawberry")}
    assert max(counts.values()) > 1
    found = 0
    for caption in write_captions(frame.view, np.random.default_rng(1), 200):
        for number, noun in re.findall(r"\b(two|three|four)(?: \w+)? (mugs|knives|strawberries)\b", caption.lower()):
            assert grammar.NUMBER_WORDS.index(number) == counts[noun], caption
            found += 1
    assert found > 20


def test_colours_in_captions_are_true(rendered):
    generator = np.random.default_rng(1)
    found = 0
    for _, views in rendered:
        for view, _ in views:
            things = [segment for segment in view.segments if segment.is_thing]
            for caption in write_captions(view, generator, 40):
                for colour in COLOUR_NAMES:
                    for name in {thing.name for thing in things} - {"orange"}:
                        if re.search(rf"\b{colour} {name}\b", caption.lower()):
                            assert any(t.name == name and t.colour == colour for t in things), caption
                            found += 1
    assert found > 50


def thing(number: int, x: float, y: float, **more) -> Segment:
    return Segment(number, "block", True, "block", 100, ("block",), position=(x, y, 0.02), radius=0.02, **more)


@pytest.mark.parametrize(("count", "word"), [(9, "nine"), (10, "ten"), (12, "twelve"), (13, "many"), (20, "many")])
def test_as_many_things_as_there_are_have_a_number(count, word):
    blocks = tuple(thing(number, 0.1 * number, 0.0) for number in range(1, count + 1))
    nothing = np.zeros((4, 4))
    view = View(nothing, nothing, nothing, np.eye(3), np.eye(4), blocks, "table", None)
    first = {write_captions(view, np.random.default_rng(seed))[0].lower().rstrip(".") for seed in range(20)}
    counted = {caption for caption in first if "blocks" in caption}
    assert counted and counted <= {f"{start}{word} blocks" for start in ("", "a photo of ", "there are ")}


@pytest.mark.parametrize("elevation", [30.0, 85.0])
def test_relations_are_seen_from_the_camera(elevation):
    angle = np.radians(elevation)
    # the camera stands at negative y and looks along +y: right is +x, behind is +y
    pose = look_at(np.array([0.0, -np.cos(angle), np.sin(angle)]), np.zeros(3), 0.8).pose()
    rng = np.random.default_rng(0)
    middle = thing(1, 0.0, 0.0)

    def words(other: Segment) -> set[str | None]:
        return {relation(other, middle, pose, rng) for _ in range(30)}

    assert words(thing(2, 0.15, 0.01)) == {"to the right of", "right of"}
    assert words(thing(2, -0.15, 0.01)) == {"to the left of", "left of"}
    assert words(thing(2, 0.01, 0.15)) == {"behind"}
    assert words(thing(2, 0.01, -0.15)) == {"in front of"}
    assert words(thing(2, 0.15, 0.15)) == {None}  # neither clearly beside nor clearly behind
    assert words(thing(2, 0.035, 0.035)) == {"next to", "beside", "near"}
    assert words(thing(2, 0.0, 0.0, support=1)) == {"on", "on top of"}
    assert words(thing(2, 0.0, 0.0, support=1, inside=True)) == {"in"}


def test_things_in_a_bowl_are_known_to_be_in_it():
    answers = []
    for index in range(12):
        scene = Scene(0, index, Sources(), height=32, width=32, kinds=["bowl", "strawberry"])
        if len(scene.objects) < 2:
            continue  # it rolled off the table
        bowl, strawberry = scene.objects
        radius = np.ptp(bowl.model.bounds(), axis=0)[0] / 2
        offset = scene.data.xpos[strawberry.body] - scene.data.xpos[bowl.body]
        is_in = np.hypot(offset[0], offset[1]) < radius and scene.data.xmat[bowl.body][8] > 0.9
        assert (strawberry.support, strawberry.inside) == ((0, True) if is_in else (None, False)), index
        assert bowl.support is None
        answers.append(bool(is_in))
    assert any(answers) and not all(answers)


def test_grammar():
    plurals = {
        "mug": "mugs", "knife": "knives", "box": "boxes", "paintbrush": "paintbrushes", "strawberry": "strawberries",
        "tomato": "tomatoes", "computer mouse": "computer mice", "wine glass": "wine glasses", "toy": "toys",
        "roll of tape": "rolls of tape", "loaf of bread": "loaves of bread", "pair of scissors": "pairs of scissors",
        "dice": "dice",
    }  # fmt: skip
    assert {noun: grammar.plural(noun) for noun in plurals} == plurals
    assert grammar.with_article("orange mug", "mug") == "an orange mug"
    assert grammar.with_article("red scissors", "scissors") == "red scissors"
    assert grammar.with_article("bread", "bread") == "bread"
    assert grammar.described("roll of tape", ["red"]) == "roll of red tape"
    assert grammar.plural(grammar.described("pair of scissors", ["blue"])) == "pairs of blue scissors"
    assert grammar.listed(["a", "b", "c"]) == "a, b and c"


def test_shades_look_like_their_names():
    rng = np.random.default_rng(0)
    samples = {name: np.array([shade(name, rng) for _ in range(100)]) for name in COLOUR_NAMES}
    lab = {n: cv2.cvtColor(s[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0] for n, s in samples.items()}
    centres = np.array([lab[name].mean(axis=0) for name in COLOUR_NAMES])
    for index, name in enumerate(COLOUR_NAMES):
        nearest = np.linalg.norm(lab[name][:, None] - centres, axis=-1).argmin(axis=1)
        assert (nearest == index).mean() > 0.85, name


# --- objects


def test_every_kind_is_drawn_and_has_household_size():
    spec = mujoco.MjSpec()
    bodies = {}
    columns, spacing = 8, 0.5
    for number, (name, kind) in enumerate(KINDS.items()):
        model = kind.build(np.random.default_rng(number))
        assert model.name == name == model.nouns[0]
        size = np.ptp(model.bounds(), axis=0)
        assert 0.015 < size.max() < 0.45, name  # metres
        for part in model.parts:  # triangles face the way their normals point: outwards
            corners = part.mesh.vertices[part.mesh.faces]
            facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            along = np.sum(facing * part.mesh.normals[part.mesh.faces].mean(axis=1), axis=1)
            assert (along > -1e-15).all(), name
        place = np.array([spacing * (number % columns), spacing * (number // columns), 0.0])
        add_object(spec, model, name, place, np.array([1.0, 0.0, 0.0, 0.0]))
        bodies[name] = size
    height, fovy = 60.0, np.radians(4.3)  # so far away that the view is nearly parallel
    camera = look_at(np.array([1.75, 1.4, height]), np.array([1.75, 1.5, 0.0]), fovy)
    added = spec.worldbody.add_camera()
    added.pos, added.quat, added.fovy = camera.position, quaternion(camera.gl_rotation()), np.degrees(fovy)
    spec.visual.global_.offwidth = spec.visual.global_.offheight = 720
    spec.visual.map.znear, spec.visual.map.zfar, spec.stat.extent = 40.0, 80.0, 1.0
    compiled = spec.compile()
    data = mujoco.MjData(compiled)
    mujoco.mj_forward(compiled, data)
    with Renderer(compiled, 720, 720) as renderer:
        renderer.update(data)
        geoms, _ = renderer.geoms_and_depth()
    owner = np.where(geoms >= 0, compiled.geom_bodyid[geoms], 0)
    metres_per_pixel = 2.0 * height * np.tan(fovy / 2.0) / 720
    for name, size in bodies.items():
        area = (owner == compiled.body(name).id).sum() * metres_per_pixel**2
        assert 0.12 * size[0] * size[1] < area < 1.15 * size[0] * size[1], name


@pytest.mark.skipif(not SCANS.is_dir(), reason=f"no scanned objects at {SCANS}")
def test_scans_have_their_names_splits_lists_and_metres(tmp_path):
    train = list_scans(SCANS, "train")
    assert len(train) == len(list(SCANS.glob("*.glb")))  # this folder's csv has no other split
    with pytest.raises(ScanError, match="of split val"):
        list_scans(SCANS, "val")

    lists = {file.stem: list_scans(SCANS, only=file) for file in SCAN_LISTS.glob("*.txt")}
    assert sorted(scan.path for part in lists.values() for scan in part) == [
        scan.path for scan in train
    ]  # each scan is in one list
    known = {scan.name for scan in lists["train"]}
    assert {scan.name for scan in lists["held_out_instances"]} <= known
    assert not {scan.name for scan in lists["held_out_kinds"]} & known
    absent = tmp_path / "absent.txt"
    absent.write_text("# a comment\nnot_there.glb\n")
    with pytest.raises(ScanError, match=r"absent.txt lists not_there.glb, which is not in"):
        list_scans(SCANS, only=absent)

    can = next(scan for scan in train if scan.path.name == "ycb__002_master_chef_can.glb")
    model = load_scan(can)
    assert model.name == "coffee can"
    assert np.ptp(model.bounds(), axis=0) == pytest.approx([0.103, 0.102, 0.140], abs=0.002)  # from objects.csv
    assert model.parts[0].finish.texture is not None


# --- a moving camera


def test_a_film_keeps_ids_and_moves_what_it_should():
    scene = Scene(4, 0, Sources(), height=HEIGHT, width=WIDTH, kinds=["mug", "banana", "book"])
    before = scene.data.qpos.copy()
    still = Motion(arc=0.0, elevation_swing=0.0, distance_swing=0.0)
    frames = list(film(scene, height=HEIGHT, width=WIDTH, frames=3, rate=1.0, motion=still, moving_object=0))
    assert [frame.time for frame in frames] == [0.0, 1.0, 2.0]
    assert all(frame.names.items() >= {1: "mug", 2: "banana", 3: "book"}.items() for frame in frames)
    start, end = (np.array(frame.view.segments[0].position) for frame in (frames[0], frames[2]))
    assert np.linalg.norm(end - start) == pytest.approx(0.06, abs=1e-6)  # SLIDE_REACH, half way through
    assert frames[0].view.segments[2].position == frames[2].view.segments[2].position
    assert np.array_equal(frames[0].view.pose, frames[2].view.pose)
    assert np.array_equal(scene.data.qpos, before)
    orbit = list(film(scene, height=HEIGHT, width=WIDTH, frames=2, rate=0.5))
    assert not np.array_equal(orbit[0].view.pose, orbit[1].view.pose)


# --- wrong input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--textures", "/nonexistent"], "--textures folder /nonexistent does not exist"),
        (["--objects", "/nonexistent"], "scan folder /nonexistent does not exist"),
        (["--object-list", "mine.txt"], "--object-list says which scans to use, so it needs --objects DIR"),
        (["--object-split", "val"], "--object-split says which scans to use, so it needs --objects DIR"),
    ],
)
def test_wrong_folders_are_named_in_one_line(arguments, message, tmp_path, capsys):
    assert main(["--out", str(tmp_path), "--scenes", "1", *arguments]) == 2
    assert capsys.readouterr().err.strip() == message


def test_without_graphics_one_line_names_the_packages(tmp_path):
    command = [sys.executable, "-m", "training.world.render", "--out", str(tmp_path), "--scenes", "1"]
    environment = {**os.environ, "MUJOCO_GL": "nonsense"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 3
    assert len(result.stderr.strip().splitlines()) == 1
    assert "libegl1 libegl-mesa0 libgl1-mesa-dri libosmesa6" in result.stderr


@pytest.mark.parametrize("index", range(4))
def test_the_number_of_things_is_kept(index):
    scene = Scene(3, index, Sources(), height=32, width=32, things=(1, 2))
    assert 1 <= len(scene.objects) <= 2


@pytest.mark.parametrize("text", ["3-1", "0-2", "x", "1-", "2-99"])
def test_impossible_numbers_of_things_are_refused(text, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / "x"), "--scenes", "1", "--things", text])
    assert "--things" in capsys.readouterr().err


def test_twins_are_of_one_kind():
    scene = Scene(5, 0, Sources(twin_share=1.0), height=32, width=32, things=(4, 6))
    assert len({placed.model.name for placed in scene.objects}) == 1
    assert len(scene.objects) >= 3
