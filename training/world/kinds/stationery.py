"""Things to write with and to read."""

import numpy as np

from training.world import surfaces
from training.world.colours import jitter, shade
from training.world.kinds.outlines import x_cylinder
from training.world.mesh import box, join
from training.world.object_model import (
    Finish,
    ObjectModel,
    Paint,
    Part,
    metal,
    plain,
    rod,
    solid_box,
)

Rng = np.random.Generator


def _pen(rng: Rng, *, felt_tip: bool) -> ObjectModel:
    paint = Paint(rng, patterns=0.0)
    r = rng.uniform(0.0075, 0.0095) if felt_tip else rng.uniform(0.005, 0.006)
    length = rng.uniform(0.12, 0.15)
    cap_length = length * 0.32
    barrel = x_cylinder(r, length - cap_length, -length / 2, sides=16)
    cap = x_cylinder(r * 1.12, cap_length, length / 2 - cap_length, top=r * 1.0, sides=16)
    clip = box(cap_length * 0.8, 0.003, 0.0015, 0.0004).moved(x=length / 2 - cap_length * 0.5, z=r * 1.25)
    tail = x_cylinder(r * 0.8, 0.006, -length / 2 - 0.006, sides=12)
    body = plain(shade("white", rng), 0.5) if felt_tip and rng.random() < 0.5 else paint.flat
    trim = metal(rng) if not felt_tip and rng.random() < 0.5 else paint.flat
    parts = (Part(barrel.moved(z=r), body), Part(join([cap, clip, tail]).moved(z=r), trim))
    nouns = ("marker", "felt-tip pen", "pen") if felt_tip else ("pen", "ballpoint pen")
    solids = (rod((-length / 2, 0, r), (length / 2, 0, r), r),)
    return ObjectModel(nouns[0], nouns, parts, solids, paint.colour, upright=0.96)


def pen(rng: Rng) -> ObjectModel:
    """A slim ballpoint pen with a cap."""
    return _pen(rng, felt_tip=False)


def marker(rng: Rng) -> ObjectModel:
    """A thick felt-tip pen."""
    return _pen(rng, felt_tip=True)


def pencil(rng: Rng) -> ObjectModel:
    """A hexagonal pencil with a rubber."""
    paint = Paint(rng, patterns=0.0, among=("yellow", "yellow", "red", "green", "blue", "black"))
    r, length = 0.0042, rng.uniform(0.12, 0.185)
    shaft = x_cylinder(r, length - 0.036, -length / 2 + 0.016, sides=6)
    wood = x_cylinder(r, 0.014, length / 2 - 0.020, top=r * 0.35, sides=12)
    lead = x_cylinder(r * 0.35, 0.006, length / 2 - 0.006, top=0.0002, sides=8)
    ferrule = x_cylinder(r * 1.04, 0.009, -length / 2 + 0.008, sides=12)
    rubber = x_cylinder(r * 0.98, 0.009, -length / 2, sides=12)
    parts = tuple(
        Part(mesh.moved(z=r), finish)
        for mesh, finish in (
            (shaft, paint.flat),
            (wood, plain((0.87, 0.68, 0.45), 0.1)),
            (lead, plain((0.12, 0.12, 0.13))),
            (ferrule, metal(rng)),
            (rubber, plain((0.90, 0.50, 0.50), 0.1)),
        )
    )
    return ObjectModel(
        "pencil",
        ("pencil",),
        parts,
        (rod((-length / 2, 0, r), (length / 2, 0, r), r),),
        paint.colour,
        upright=0.96,
    )


def book(rng: Rng) -> ObjectModel:
    """A closed book."""
    paint = Paint(rng, patterns=0.0, gloss=(0.2, 0.7))
    x, y, z = rng.uniform(0.11, 0.16), rng.uniform(0.16, 0.22), rng.uniform(0.014, 0.040)
    cover = 0.0025
    printed = surfaces.printed(rng, paint.rgb, shade("white" if paint.rgb.mean() < 0.55 else "black", rng), 128)
    skin = Finish(paint.rgb, printed, paint.shininess, paint.specular)
    pages = np.broadcast_to(jitter((0.93, 0.90, 0.82), rng, 0.04), (32, 32, 3)).copy()
    pages[::2] *= 0.90
    lids = join([box(x, y, cover, 0.0004).moved(z=s * (z - cover) / 2) for s in (-1, 1)])
    spine = box(cover, y, z).moved(x=-x / 2 + cover / 2)
    paper = box(x - 0.006, y - 0.008, z - 2 * cover).moved(x=-0.001)
    parts = (
        Part(lids, skin),
        Part(spine, paint.flat),
        Part(paper, Finish(pages[0, 0], surfaces.as_image(pages), 0.05, 0.05)),
    )
    return ObjectModel("book", ("book",), parts, (solid_box(x, y, z),), paint.colour, upright=0.92, holds="on")
