"""The node's parameters: one list with defaults, descriptions, limits, and when each may be changed."""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass
from pathlib import Path

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from openseg_ros.runtime.engine import BACKENDS, PRECISIONS


class Change(enum.Enum):
    """When a parameter may be changed; the value is the sentence in its descriptor."""

    NEVER = "Read only: set it at start-up."
    UNCONFIGURED = "Takes effect at the next configure; can be changed while the node is unconfigured."
    ANY_TIME = "Can be changed at any time; takes effect with the next image."


@dataclass(frozen=True)
class ParameterSpecification:
    """One parameter. `limits` are inclusive; `choices` is empty where every text is allowed."""

    name: str
    default: bool | int | float | str | list[str]
    description: str
    change: Change
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""  # regular expression that a text, or each of a list, must match as a whole; "" allows every text

    def fault(self, value: object) -> str | None:
        """Why `value` is refused, or None. rclpy has checked its type already."""
        if value is None:
            return f"{self.name} has no value"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.name} must be a finite number, not {value}"
        if self.limits is not None and isinstance(value, int | float):
            low, high = self.limits
            if not low <= value <= high:
                return f"{self.name} must be within {low:g} and {high:g}, not {value:g}"
        if self.choices and value not in self.choices:
            return f"{self.name} must be one of {', '.join(self.choices)}, not '{value}'"
        for text in value if isinstance(value, list) else [value]:
            if self.pattern and isinstance(text, str) and not re.fullmatch(self.pattern, text):
                return f"{self.name} '{text}' is not understood. {self.description}"
        return None

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows."""
        constraints = self.change.value
        if self.choices:
            constraints = f"One of: {', '.join(self.choices)}. {constraints}"
        descriptor = ParameterDescriptor(
            name=self.name,
            description=self.description,
            additional_constraints=constraints,
            read_only=self.change is Change.NEVER,
        )
        if self.limits is not None:
            low, high = self.limits
            if isinstance(self.default, float):
                descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high, step=0.0)]
            else:
                descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=0)]
        return descriptor


EMPTY_LIST = [""]  # ROS cannot tell the type of an empty list; one empty text stands for it

SPECIFICATIONS: tuple[ParameterSpecification, ...] = (
    ParameterSpecification(
        "weights",
        "tabletop",
        "Name of a shipped model, or a folder with model.safetensors and model.yaml.",
        Change.UNCONFIGURED,
    ),
    ParameterSpecification(
        "backend",
        "auto",
        "Engine that runs the network. auto takes TensorRT or else torch on a GPU, OpenVINO or else torch on the CPU; "
        "the parameter device says which of the two.",
        Change.UNCONFIGURED,
        choices=BACKENDS,
    ),
    ParameterSpecification(
        "precision",
        "auto",
        "Number format of the network's arithmetic. auto takes the fastest that keeps the engine's accuracy.",
        Change.UNCONFIGURED,
        choices=PRECISIONS,
    ),
    ParameterSpecification(
        "device",
        "cpu",
        "Device of the engine in the engine's own words, for example cpu or cuda:0.",
        Change.UNCONFIGURED,
    ),
    ParameterSpecification(
        "network_size",
        "",
        "Input of the network as HEIGHTxWIDTH in pixels, multiples of 32; empty: as it was trained.",
        Change.UNCONFIGURED,
        pattern=r"(\d+x\d+)?",
    ),
    ParameterSpecification(
        "engine_threads",
        0,
        "Processor cores that OpenVINO uses for one image; 0: all. Fewer leave some to other nodes.",
        Change.UNCONFIGURED,
        limits=(0, 1024),
    ),
    ParameterSpecification(
        "engine_cache_dir",
        "",
        "Folder of the compiled networks; empty: $OPENSEG_CACHE, else openseg_ros in the user's cache folder.",
        Change.UNCONFIGURED,
    ),
    ParameterSpecification(
        "unload_on_deactivate",
        False,
        "Frees the network's memory while the node is inactive; activating loads it again (a kept one in a second).",
        Change.UNCONFIGURED,
    ),
    ParameterSpecification(
        "cameras",
        EMPTY_LIST,
        "Names of several cameras, which come in front of the names of their topics: wrist/image, ~/wrist/mask; empty: "
        "one camera without a name. A name has letters, digits and single underscores, a letter first.",
        Change.UNCONFIGURED,
        pattern=r"([A-Za-z](_?[A-Za-z0-9])*)?",
    ),
    ParameterSpecification(
        "image_transport",
        "raw",
        "raw subscribes to image, compressed to image/compressed (JPEG or PNG).",
        Change.UNCONFIGURED,
        choices=("raw", "compressed"),
    ),
    ParameterSpecification(
        "use_3d",
        True,
        "Subscribes to depth_registered/image_rect and camera_info, for positions and point clouds.",
        Change.UNCONFIGURED,
    ),
    ParameterSpecification(
        "default_queries",
        EMPTY_LIST,
        "What to look for after configuring, until a query arrives: phrases or commands, as on ~/query.",
        Change.UNCONFIGURED,
    ),
    ParameterSpecification(
        "background_queries",
        ["table", "wall", "floor"],
        "Phrases that compete for pixels with every query and are reported as 0 (other).",
        Change.UNCONFIGURED,
    ),
    ParameterSpecification(
        "score_threshold",
        0.5,
        "Smallest calibrated probability of a region that is reported, for queries without one of their own.",
        Change.ANY_TIME,
        limits=(0.0, 1.0),
    ),
    ParameterSpecification(
        "margin_threshold",
        0.05,
        "The status is AMBIGUOUS if the target's two best regions differ by less than this probability.",
        Change.ANY_TIME,
        limits=(0.0, 1.0),
    ),
    ParameterSpecification(
        "max_regions",
        128,
        "Most regions that are reported for one image; the best ones stay.",
        Change.ANY_TIME,
        limits=(1, 1000),
    ),
    ParameterSpecification(
        "min_relative_area",
        0.0002,
        "Smaller regions are dropped. Part of the image's area.",
        Change.ANY_TIME,
        limits=(0.0, 1.0),
    ),
    ParameterSpecification(
        "max_relative_area",
        0.9,
        "Larger regions are dropped. Part of the image's area.",
        Change.ANY_TIME,
        limits=(0.0, 1.0),
    ),
    ParameterSpecification(
        "nms_iou",
        0.8,
        "Of two regions whose masks overlap by more than this intersection over union, the better one stays.",
        Change.ANY_TIME,
        limits=(0.0, 1.0),
    ),
    ParameterSpecification(
        "publish_embeddings",
        "matched",
        "off: regions that answer a query, without embeddings. matched: the same with embeddings. "
        "all: every region with its embedding; label 0 and an empty phrase where no query is answered.",
        Change.ANY_TIME,
        choices=("off", "matched", "all"),
    ),
    ParameterSpecification(
        "publish_region_masks",
        False,
        "Adds to every region of ~/regions its own mask, cropped to its box.",
        Change.ANY_TIME,
    ),
    ParameterSpecification(
        "track_memory_s",
        2.0,
        "Seconds that the identity of a region which is not seen is kept, so that it gets the same track_id when it "
        "comes back; 0: no tracking, track_id is empty.",
        Change.ANY_TIME,
        limits=(0.0, 60.0),
    ),
    ParameterSpecification(
        "max_rate_hz",
        0.0,
        "Most images per second of each camera that are processed; 0: as many as the engine manages.",
        Change.ANY_TIME,
        limits=(0.0, 1000.0),
    ),
    ParameterSpecification(
        "max_image_age_s",
        0.0,
        "Images whose stamp is older than this are dropped and counted; 0: no limit. Needs a camera that stamps "
        "with the node's clock (use_sim_time for bags). Images without a stamp, or from the future, are kept. Services "
        "about the newest image refuse one that came longer ago.",
        Change.ANY_TIME,
        limits=(0.0, 86400.0),
    ),
    ParameterSpecification(
        "depth_scale",
        0.001,
        "Metres per unit of 16UC1 depth images (REP 118: millimetres). 32FC1 images are in metres.",
        Change.ANY_TIME,
        limits=(1e-6, 1.0),
    ),
    ParameterSpecification(
        "sync_slop_s",
        0.02,
        "Largest difference between the stamps of an image and its depth. An image waits at most so long for its "
        "depth, and only where depth images do arrive.",
        Change.ANY_TIME,
        limits=(0.0, 1.0),
    ),
    ParameterSpecification(
        "target_frame",
        "",
        "Frame of clouds and detections_3d at the image's stamp, for example base_link; empty: the camera's own. Needs "
        "tf2_ros. Boxes stand upright along its z axis, unless it is an optical frame.",
        Change.UNCONFIGURED,
    ),
    ParameterSpecification(
        "transform_timeout_s",
        0.1,
        "An image's clouds and boxes in space wait at most so long for the camera's pose in target_frame.",
        Change.ANY_TIME,
        limits=(0.0, 5.0),
    ),
    ParameterSpecification(
        "overlay_rate_hz",
        5.0,
        "Most pictures per second of each camera on ~/overlay and ~/overlay/compressed; 0: never.",
        Change.ANY_TIME,
        limits=(0.0, 1000.0),
    ),
    ParameterSpecification(
        "diagnostics_period_s",
        1.0,
        "Seconds between two messages on /diagnostics (REP 107).",
        Change.NEVER,
        limits=(0.05, 60.0),
    ),
)


@dataclass(frozen=True)
class NodeParameters:
    """One consistent set of values; the fields are the parameters of the same names."""

    weights: str
    backend: str
    precision: str
    device: str
    network_size: tuple[int, int] | None  # (H, W) pixels; None: as trained
    engine_threads: int
    engine_cache_dir: Path | None
    unload_on_deactivate: bool
    cameras: tuple[str, ...]
    image_transport: str
    use_3d: bool
    default_queries: tuple[str, ...]
    background_queries: tuple[str, ...]
    score_threshold: float
    margin_threshold: float
    max_regions: int
    min_relative_area: float
    max_relative_area: float
    nms_iou: float
    publish_embeddings: str
    publish_region_masks: bool
    track_memory_s: float
    max_rate_hz: float
    max_image_age_s: float
    depth_scale: float
    sync_slop_s: float
    target_frame: str
    transform_timeout_s: float
    overlay_rate_hz: float
    diagnostics_period_s: float
