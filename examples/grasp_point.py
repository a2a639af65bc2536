"""An example planner: asks for an object in words and prints where to grasp it.

    python3 examples/grasp_point.py "the red mug"

It needs a running node (`ros2 launch openseg_ros openseg.launch.py`) with a depth camera.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

import rclpy
from rclpy.node import Node

from openseg_ros.msg import Query, QueryArray, Region, RegionArray
from openseg_ros.srv import SetQuery


class GraspPlanner(Node):
    """Asks once, then waits for an image that was scored with the answer."""

    def __init__(self, segmentation: str) -> None:
        """`segmentation` is the name of the segmentation node, for example /openseg."""
        super().__init__("grasp_planner")
        self.newest: RegionArray | None = None
        self._ask = self.create_client(SetQuery, f"{segmentation}/set_query")
        self.create_subscription(RegionArray, f"{segmentation}/regions", self._keep, 2)

    def _keep(self, message: RegionArray) -> None:
        self.newest = message

    def find(self, phrase: str, timeout_s: float) -> tuple[RegionArray, Region]:
        """The answer that shows the object, and its region.

        Raises:
            LookupError: nobody answers, the phrase is refused, or no image shows the object in time.
        """
        end = time.monotonic() + timeout_s
        if not self._ask.wait_for_service(timeout_s):
            raise LookupError(f"there is no service {self._ask.srv_name}: is the segmentation node active?")
        queries = QueryArray(queries=[Query(text=phrase, is_target=True)], replace=True, requester=self.get_name())
        future = self._ask.call_async(SetQuery.Request(queries=queries))
        rclpy.spin_until_future_complete(self, future, timeout_sec=timeout_s)
        reply = future.result()
        if reply is None or not reply.success:
            raise LookupError(f"the query was not taken: {reply.message if reply else 'no reply'}")
        reason = "no image arrived"
        while time.monotonic() < end:
            rclpy.spin_once(self, timeout_sec=0.1)
            answer = self.newest
            if answer is None or answer.vocabulary_version != reply.version:
                continue  # an image from before our query
            target = next((region for region in answer.regions if region.id == answer.target_id), None)
            if target is None:
                reason = f"nothing looks like '{phrase}'"
            elif answer.status == RegionArray.AMBIGUOUS:
                reason = f"there are several like '{phrase}': say which one"
            elif answer.status != RegionArray.OK:
                reason = "the node is degraded: see /diagnostics"
            elif math.isnan(target.centroid.z):
                reason = "it is seen, but without depth"
            else:
                return answer, target
        raise LookupError(f"not found in {timeout_s:g} s: {reason}")


def main() -> int:
    """Print the grasp point, or why there is none."""
    parser = argparse.ArgumentParser(description="Ask for an object and print where to grasp it.")
    parser.add_argument("phrase", help='what to look for, for example "red mug" or "the mug next to the plate"')
    parser.add_argument("--node", default="/openseg", help="name of the segmentation node")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait")
    options = parser.parse_args()
    rclpy.init()
    planner = GraspPlanner(options.node)
    try:
        answer, region = planner.find(options.phrase, options.timeout)
    except LookupError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        planner.destroy_node()
        rclpy.shutdown()
    at = region.centroid
    print(f"{region.phrase} ({region.score:.2f}): {at.x:.3f} {at.y:.3f} {at.z:.3f} m in {answer.header.frame_id}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
