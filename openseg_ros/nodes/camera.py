"""One camera of the node: its inputs, what is remembered of it, and where its answers go."""

from __future__ import annotations

from dataclasses import dataclass, field

from std_msgs.msg import Header

from openseg_ros.nodes.counters import ImageCounters
from openseg_ros.nodes.depth_input import DepthInput, DepthOfImage
from openseg_ros.nodes.frame_worker import Frame
from openseg_ros.nodes.result_publisher import ResultPublisher
from openseg_ros.segmenter.proposals import Proposals
from openseg_ros.segmenter.tracker import Tracker


@dataclass(frozen=True)
class ProcessedImage:
    """What is kept of an image for later questions about it."""

    header: Header
    received: float  # on the monotonic clock, in seconds
    proposals: Proposals
    depth: DepthOfImage | None  # None: the camera has no depth


@dataclass
class NewestImage:
    """The newest image; each attribute is replaced as a whole, so that any thread may read it."""

    received: Frame | None = None
    processed: ProcessedImage | None = None


@dataclass(frozen=True)
class Camera:
    """A camera from configure to cleanup."""

    name: str  # one of the parameter `cameras`; "" where that is empty and there is one camera without a name
    counters: ImageCounters
    depth: DepthInput
    tracker: Tracker
    results: ResultPublisher
    newest: NewestImage = field(default_factory=NewestImage)

    def topic(self, name: str) -> str:
        """The topic on which this camera's `name`, for example "camera_info", arrives."""
        return f"{self.name}/{name}" if self.name else name

    def forget(self) -> None:
        """Forget images and depth, when the inputs are closed."""
        self.depth.clear()
        self.newest.received = self.newest.processed = None
