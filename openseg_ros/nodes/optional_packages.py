"""ROS packages that the node uses where they are installed; pip does not have them."""

from __future__ import annotations

from importlib.util import find_spec

# Both names, because any folder of that name on the path is a package to Python.
HAS_VISION_MSGS = all(map(find_spec, ("vision_msgs", "vision_msgs.msg")))
HAS_TF2 = find_spec("tf2_ros") is not None
