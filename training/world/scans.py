"""Scanned objects from a folder of GLB files (metres), with plain names from an objects.csv where there is
one.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import trimesh

from training.world.errors import ScanError
from training.world.mesh import Mesh
from training.world.object_model import Collider, Finish, ObjectModel, Part
from training.world.surfaces import MAX_SURFACE_PIXELS

MAX_HULL_POINTS = 80  # enough for contact; MuJoCo's collisions slow down with more


@dataclass(frozen=True)
class Scan:
    """One file and the plain English name of what it shows."""

    path: Path
    name: str


def list_scans(folder: Path, split: str | None = None, only: Path | None = None) -> tuple[Scan, ...]:
    """Scans of a folder in a fixed order.

    Names come from objects.csv (columns file, name and, for `split`, split) in the folder or beside it,
    otherwise from the file stem. `only`: a text file with the names of the files to use, see `read_scan_list`.
    Raises ScanError when nothing is left, or a listed file is not there.
    """
    if not folder.is_dir():
        raise ScanError(f"scan folder {folder} does not exist")
    rows: dict[str, dict[str, str]] = {}
    for table in (folder / "objects.csv", folder.parent / "objects.csv"):
        if table.is_file():
            with table.open(newline="", encoding="utf-8") as stream:
                reader = csv.DictReader(stream)
                missing = {"file", "name"} - set(reader.fieldnames or ())
                if missing:
                    raise ScanError(f"{table} has no column {' and no column '.join(sorted(missing))}")
                rows = {row["file"]: row for row in reader}
            break
    if split is not None and not rows:
        raise ScanError(f"--object-split {split} needs an objects.csv with a split column in {folder} or beside it")
    listed = read_scan_list(only) if only is not None else None
    files = sorted(folder.glob("*.glb"))
    scans = []
    for path in files:
        if listed is not None and path.name not in listed:
            continue
        row = rows.get(path.name)
        if split is not None and (row is None or row.get("split") != split):
            continue
        scans.append(Scan(path, row["name"] if row else path.stem.replace("_", " ").replace("-", " ").lower()))
    absent = (listed or frozenset()) - {path.name for path in files}
    if absent:
        raise ScanError(f"{only} lists {min(absent)}, which is not in {folder} ({len(absent)} of {len(listed or ())})")
    if not scans:
        raise ScanError(f"no .glb file of split {split or 'any'} in {folder}")
    return tuple(scans)


def read_scan_list(file: Path) -> frozenset[str]:
    """File names, one a line; lines that start with # are comments. Raises ScanError."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ScanError(f"the list of scans {file} cannot be read: {error}") from error
    return frozenset(name for line in lines if (name := line.strip()) and not name.startswith("#"))


@lru_cache(maxsize=64)
def load_scan(scan: Scan) -> ObjectModel:
    """Reads one scan, turned as found, its middle at the origin. Raises ScanError."""
    try:
        geometries = trimesh.load_scene(scan.path).dump(concatenate=False)
    except Exception as error:  # trimesh raises whatever its readers raise
        raise ScanError(f"{scan.path} cannot be read as GLB: {error}") from error
    meshes = [g for g in geometries if isinstance(g, trimesh.Trimesh) and len(g.faces)]
    if not meshes:
        raise ScanError(f"{scan.path} holds no triangles")
    points = np.concatenate([m.vertices for m in meshes])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2.0
    extent = float(np.ptp(points, axis=0).max())
    if not 0.005 < extent < 1.0:
        raise ScanError(f"{scan.path} is {extent:.3g} m long; a tabletop object in metres is 0.005 to 1")
    parts = tuple(_part(mesh, middle) for mesh in meshes)
    hull = trimesh.convex.convex_hull(points - middle).vertices
    if len(hull) > MAX_HULL_POINTS:
        directions = _spread_directions(MAX_HULL_POINTS)
        hull = hull[np.unique(np.argmax(directions @ hull.T, axis=1))]
    return ObjectModel(scan.name, (scan.name,), parts, (Collider("hull", hull=np.asarray(hull)),), upright=0.6)


def _spread_directions(count: int) -> np.ndarray:
    """(count, 3) unit vectors spread over the sphere (golden spiral)."""
    index = np.arange(count) + 0.5
    z = 1.0 - 2.0 * index / count
    angle = np.pi * (1.0 + 5.0**0.5) * index
    ring = np.sqrt(1.0 - z**2)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)


def _part(mesh: trimesh.Trimesh, middle: np.ndarray) -> Part:
    vertices = np.asarray(mesh.vertices) - middle
    normals = np.array(mesh.vertex_normals)
    normals[np.linalg.norm(normals, axis=1) < 0.5] = [0.0, 0.0, 1.0]
    uv = np.zeros((len(vertices), 2))
    rgb, texture = np.full(3, 0.6), None
    material = getattr(mesh.visual, "material", None)
    coordinates = getattr(mesh.visual, "uv", None)
    if material is not None and coordinates is not None:
        image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
        if image is not None:
            picture = image.convert("RGB")
            picture.thumbnail((MAX_SURFACE_PIXELS, MAX_SURFACE_PIXELS))
            # texture rows run upwards on our meshes
            texture = np.ascontiguousarray(np.asarray(picture)[::-1])
            uv = np.asarray(coordinates, dtype=np.float64)
    elif (main_colour := getattr(mesh.visual, "main_color", None)) is not None:
        rgb = np.asarray(main_colour[:3]) / 255.0
    factor = getattr(material, "baseColorFactor", None)
    if texture is None and factor is not None:
        rgb = np.asarray(factor[:3], dtype=float)
        rgb = rgb / 255.0 if rgb.max() > 1.0 else rgb
    drawn = Mesh(vertices, normals, uv, np.asarray(mesh.faces, dtype=np.int32))
    return Part(drawn, Finish(rgb, texture, 0.3, 0.2))
