"""Eleven English colour names and the shades that everybody would call by them."""

import colorsys

import numpy as np

# name: hue range in degrees, saturation range, value range (HSV)
_RANGES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "red": ((-8, 6), (0.78, 0.97), (0.60, 0.90)),
    "orange": ((20, 31), (0.85, 1.0), (0.90, 1.0)),
    "yellow": ((47, 56), (0.75, 1.0), (0.88, 1.0)),
    "green": ((98, 150), (0.50, 0.90), (0.38, 0.72)),
    "blue": ((204, 232), (0.62, 0.95), (0.50, 0.90)),
    "purple": ((266, 286), (0.45, 0.80), (0.40, 0.68)),
    "pink": ((325, 346), (0.30, 0.55), (0.92, 1.0)),
    "brown": ((16, 28), (0.55, 0.78), (0.30, 0.48)),
    "black": ((0, 360), (0.0, 0.12), (0.04, 0.12)),
    "white": ((20, 60), (0.0, 0.05), (0.90, 0.98)),
    "gray": ((190, 240), (0.0, 0.07), (0.42, 0.60)),
}
COLOUR_NAMES: tuple[str, ...] = tuple(_RANGES)


def shade(name: str, rng: np.random.Generator) -> np.ndarray:
    """A random shade of the named colour: (3,) float RGB in [0, 1]."""
    hue, saturation, value = (rng.uniform(*span) for span in _RANGES[name])
    return np.array(colorsys.hsv_to_rgb((hue % 360.0) / 360.0, saturation, value))


def jitter(rgb: tuple[float, float, float], rng: np.random.Generator, amount: float = 0.06) -> np.ndarray:
    """A given colour with every channel moved by up to `amount`: (3,) float RGB in [0, 1]."""
    return np.clip(np.asarray(rgb) + rng.uniform(-amount, amount, 3) * 0.5 + rng.uniform(-amount, amount) * 0.5, 0, 1)
