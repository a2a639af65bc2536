"""The regions of one image as surfaces in space, made once for all outputs with positions."""

from __future__ import annotations

from functools import cached_property

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.region_surface import RegionSurfaces
from openseg_ros.segmenter.segmentation import Segmentation


class RegionsInSpace:
    """Surfaces in the camera's optical frame."""

    def __init__(self, segmentation: Segmentation, points: ImagePoints) -> None:
        """Of the answer for an image and what was measured of it."""
        self._segmentation = segmentation
        self.points = points

    @cached_property
    def matched(self) -> RegionSurfaces:
        """One for each of the answer's `regions`."""
        return RegionSurfaces(self.points, self._segmentation.regions.roi, self._segmentation.region_masks())

    @cached_property
    def unmatched(self) -> RegionSurfaces:
        """One for each of the answer's `unmatched`."""
        return RegionSurfaces(self.points, self._segmentation.unmatched.roi, self._segmentation.unmatched_masks())
