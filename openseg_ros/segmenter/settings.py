"""Numbers that decide which regions are kept and reported."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class SegmenterSettings:
    """Settings of the segmenter; shares of an area are in [0, 1]."""

    score_threshold: float = 0.5  # calibrated probability; a query may bring its own
    margin_threshold: float = 0.05  # two candidates for the target closer than this are AMBIGUOUS
    max_regions: int = 128  # reported at most; the paper's number of proposals
    min_relative_area: float = 0.0002  # of the image: 8x8 pixels of 640x480
    max_relative_area: float = 0.9  # of the image; larger masks are the whole view
    nms_iou: float = 0.8  # masks that overlap more are one object proposed twice
    min_mask_quality: float = 0.6  # mean certainty inside the mask; a mask of guesses has 0.5

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.name == "max_regions":
                if value < 1:
                    raise ValueError(f"max_regions is {value}; at least 1 is needed")
            elif not 0 <= value <= 1:
                raise ValueError(f"{setting.name} is {value}; it must lie in [0, 1]")

    @property
    def proposal_limits(self) -> tuple[float, ...]:
        """Those that choose proposals, before any word is looked at."""
        return self.min_relative_area, self.max_relative_area, self.nms_iou, self.min_mask_quality
