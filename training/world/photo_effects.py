"""What a lens and a sensor add to a rendered picture: contact shade, exposure, white balance, blur, noise."""

import cv2
import numpy as np


def contact_shade(picture: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Darkens creases and the ground close to objects, as light from everywhere would (screen-space, from
    depth).

    picture (H, W, 3) float, depth (H, W) float32 metres, 0 = nothing there; returns (H, W, 3) float.
    """
    filled = np.where(depth > 0.0, depth, depth.max())
    # where the depth jumps by more than a hand's breadth, one thing is merely seen in front of another
    window = np.ones((31, 31), np.uint8)  # as far as the wider blur below reaches
    jump = cv2.dilate(filled, window) - cv2.erode(filled, window)
    near = np.exp(-((jump / 0.14) ** 2))
    shade = np.zeros_like(filled)
    for sigma, reach in ((1.5, 0.012), (5.0, 0.025)):
        shade += np.clip((filled - cv2.GaussianBlur(filled, (0, 0), sigma)) / reach, 0.0, 1.0)
    return picture * (1.0 - 0.28 * near * shade)[..., None]


def develop(picture: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rendered (H, W, 3) uint8 RGB and depth (H, W) metres to a photo-like (H, W, 3) uint8 RGB."""
    height, width = picture.shape[:2]
    image = contact_shade(picture.astype(np.float32) / 255.0, depth)
    image *= np.float32(rng.uniform(0.88, 1.15)) * rng.uniform(0.95, 1.05, 3).astype(np.float32)
    if rng.random() < 0.5:  # darker corners
        y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
        image *= (1.0 - rng.uniform(0.05, 0.22) * (x**2 + y**2) / 2.0)[..., None].astype(np.float32)
    image = np.clip(image, 0.0, 1.0) ** np.float32(rng.uniform(0.78, 1.12))
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.8))
    grain = rng.standard_normal((height, width, 3), dtype=np.float32)
    image += grain * np.float32(rng.uniform(0.003, 0.02))
    return np.clip(image * 255.0 + 0.5, 0, 255).astype(np.uint8)
