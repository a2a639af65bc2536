"""Pictures that are wrapped round things: procedural patterns, and surface photographs from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from training.world.errors import PictureFolderError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_SURFACE_PIXELS = 512  # a longer side is scaled down: 240-480 line views show no more


@dataclass(frozen=True)
class Surface:
    """A picture for a table, floor or wall. `word` is the material that a caption may name ("wooden") or
    None.
    """

    image: np.ndarray  # (h, w, 3) uint8 RGB
    word: str | None


def noise(rng: np.random.Generator, height: int, width: int, cell: float, octaves: int = 3) -> np.ndarray:
    """Smooth value noise (height, width) float in about [-1, 1]; `cell` pixels per bump of the coarsest
    octave.
    """
    total = np.zeros((height, width))
    weight = 1.0
    for octave in range(octaves):
        size = max(cell / 2**octave, 1.0)
        coarse = rng.uniform(-1.0, 1.0, (int(height / size) + 3, int(width / size) + 3)).astype(np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        weight *= 0.5
    return total / 1.6


def as_image(values: np.ndarray) -> np.ndarray:
    """Float RGB in [0, 1] to uint8."""
    return np.ascontiguousarray(np.clip(values * 255.0 + 0.5, 0, 255).astype(np.uint8))


def mottled(rng: np.random.Generator, rgb: np.ndarray, strength: float = 0.08, cell: float = 12.0) -> np.ndarray:
    """A nearly plain colour with soft blotches: (64, 64, 3) uint8."""
    return as_image(rgb * (1.0 + strength * noise(rng, 64, 64, cell)[..., None]))


def striped(rng: np.random.Generator, main: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Stripes across v (rings on a lathe) or along it: (64, 64, 3) uint8; `main` covers the larger part."""
    bands = int(rng.integers(3, 8))
    share = rng.uniform(0.28, 0.45)
    image = np.where(((np.arange(64) / 64.0 * bands) % 1.0 < share)[:, None, None], second, main)
    image = np.broadcast_to(image, (64, 64, 3))
    return as_image(image if rng.random() < 0.6 else image.transpose(1, 0, 2))


def checkered(rng: np.random.Generator, main: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(64, 64, 3) uint8 chequerboard with an even number of fields, so that it closes round a lathe."""
    fields = 2 * int(rng.integers(2, 5))
    index = np.arange(64) * fields // 64
    return as_image(np.where((index[:, None] + index[None]) % 2 == 0, 1.0, 0.0)[..., None] * (main - second) + second)


def dotted(rng: np.random.Generator, main: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(96, 96, 3) uint8 regular dots."""
    count = int(rng.integers(3, 7))
    grid = (np.arange(96) / 96.0 * count) % 1.0 - 0.5
    inside = grid[:, None] ** 2 + grid[None] ** 2 < rng.uniform(0.18, 0.32) ** 2
    return as_image(np.where(inside[..., None], second, main))


def printed(rng: np.random.Generator, main: np.ndarray, second: np.ndarray, size: int = 96) -> np.ndarray:
    """A made-up label: blocks of colour and a few letters, mostly `main`. (size, size, 3) uint8."""
    image = np.ascontiguousarray(np.broadcast_to(as_image(main), (size, size, 3)))
    ink = tuple(int(v) for v in as_image(second))
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.integers(0, size, 2)
        w, h = rng.integers(size // 10, size // 3, 2)
        colour = ink if rng.random() < 0.6 else tuple(int(v) for v in rng.integers(30, 255, 3))
        if rng.random() < 0.5:
            cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), colour, -1)
        else:
            cv2.circle(image, (int(x), int(y)), int(w // 2) + 1, colour, -1)
    for _ in range(int(rng.integers(1, 4))):
        letters = "".join(chr(65 + int(i)) for i in rng.integers(0, 26, int(rng.integers(2, 7))))
        where = (int(rng.integers(0, size // 2)), int(rng.integers(size // 6, size)))
        # texture rows run upwards on our meshes, so letters are drawn on the flipped picture
        flipped = np.ascontiguousarray(image[::-1])
        cv2.putText(flipped, letters, where, cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(0.4, 0.9), ink, 2, cv2.LINE_AA)
        image = np.ascontiguousarray(flipped[::-1])
    return image


def wood(rng: np.random.Generator, size: int = 256) -> Surface:
    """Boards with grain."""
    base = np.array([[0.66, 0.47, 0.29], [0.50, 0.32, 0.18], [0.78, 0.62, 0.42], [0.35, 0.22, 0.14]])[rng.integers(4)]
    y = np.linspace(0.0, 1.0, size)[:, None]
    warp = 0.05 * noise(rng, size, size, size / 2)
    fine = cv2.resize(rng.uniform(-1, 1, (size, 6)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    grain = 0.5 * np.sin((y + warp) * rng.uniform(30, 70)) + 0.5 * fine
    image = base * (1.0 + 0.13 * grain[..., None])
    boards = int(rng.integers(1, 6))
    if boards > 1:
        tone = rng.uniform(0.85, 1.1, boards)
        row = np.arange(size) * boards // size
        image = image * tone[row][:, None, None]
        image[np.flatnonzero(np.diff(row))] *= 0.55
    return Surface(as_image(image), "wooden")


def plain(rng: np.random.Generator, size: int = 128) -> Surface:
    """Painted, plastered or laminated: a muted colour with faint blotches."""
    rgb = np.clip(rng.uniform(0.35, 0.95) + rng.uniform(-0.12, 0.12, 3), 0.05, 1.0)
    values = rgb * (1.0 + 0.06 * noise(rng, size, size, size / 3, 5)[..., None])
    return Surface(as_image(values + rng.normal(0.0, 0.012, (size, size, 1))), None)


def tiles(rng: np.random.Generator, size: int = 256) -> Surface:
    """Square tiles with joints."""
    rgb = np.clip(rng.uniform(0.4, 0.95) + rng.uniform(-0.1, 0.1, 3), 0.05, 1.0)
    count = int(rng.integers(2, 7))
    index = np.arange(size) * count // size
    tone = 1.0 + rng.normal(0.0, 0.04, (count, count))
    image = rgb * tone[index[:, None], index[None]][..., None] * (1 + 0.05 * noise(rng, size, size, 40)[..., None])
    joint = np.concatenate([[True], np.diff(index) > 0])
    joint |= np.roll(joint, 1)
    image[joint] = image[:, joint] = rgb * rng.uniform(0.5, 0.9)
    return Surface(as_image(image), None)


def cloth(rng: np.random.Generator, size: int = 128) -> Surface:
    """Woven or chequered table cloth."""
    first, second = rng.uniform(0.2, 1.0, (2, 3))
    bands = int(rng.integers(3, 12))
    wave = (np.arange(size) / size * bands) % 1.0 < 0.5
    mix = (wave[:, None].astype(float) + wave[None]) / 2.0
    values = first + mix[..., None] * (second - first)
    return Surface(as_image(values + rng.normal(0.0, 0.02, (size, size, 1))), None)


class PictureFolder:
    """Pictures of a folder in a fixed order; decoded at most MAX_SURFACE_PIXELS long when asked for."""

    def __init__(self, folder: Path, purpose: str) -> None:
        if not folder.is_dir():
            raise PictureFolderError(f"{purpose} folder {folder} does not exist")
        self.paths: Sequence[Path] = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not self.paths:
            raise PictureFolderError(f"{purpose} folder {folder} holds no {', '.join(IMAGE_SUFFIXES)} picture")

    def draw(self, rng: np.random.Generator) -> Surface:
        """Any one picture; its word comes from the file name. Raises PictureFolderError for an unreadable
        file.
        """
        path = self.paths[int(rng.integers(len(self.paths)))]
        return Surface(_read(str(path)), "wooden" if "wood" in path.stem.lower() else None)


@lru_cache(maxsize=160)
def _read(path: str) -> np.ndarray:
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise PictureFolderError(f"{path} cannot be read as a picture")
    scale = MAX_SURFACE_PIXELS / max(image.shape[:2])
    if scale < 1.0:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[..., ::-1])
