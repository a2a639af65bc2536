"""Guards the node's parameters.

A value that is refused always comes with a reason. A value refused at start-up (from a parameter file or the
command line) does not end the process: the default takes its place, configuring fails with the reason, and
setting a valid value clears it; of a read-only parameter, starting the node with one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from openseg_ros.nodes.optional_packages import HAS_TF2
from openseg_ros.nodes.parameters import EMPTY_LIST, SPECIFICATIONS, Change, NodeParameters, ParameterSpecification

# What has a name of its own below ~/; a camera of that name would be taken for it.
OWN_NAMES = frozenset(
    (
        *("mask", "confidence", "instances", "target_mask", "label_info", "regions", "detections", "detections_3d"),
        *("points", "target_points", "scene_minus_target_points", "overlay", "query", "query_array", "query_state"),
        *("set_query", "encode_text", "segment_image", "find_regions", "set_enabled", "find_object"),
    )
)


class ParameterTable:
    """Declares the parameters on a lifecycle node, guards every change and hands out `NodeParameters`."""

    def __init__(self, node: Node, is_configured: Callable[[], bool]) -> None:
        """Declare everything; a bad start-up value is remembered in `faults`, see the module's text."""
        self._node = node
        self._is_configured = is_configured
        self._specifications = {row.name: row for row in SPECIFICATIONS}
        self.faults: dict[str, str] = {}
        for row in SPECIFICATIONS:
            self._declare(row)
        node.add_on_set_parameters_callback(self._refuse_bad_changes)
        node.add_post_set_parameters_callback(self._clear_faults)

    def _declare(self, row: ParameterSpecification) -> None:
        default = row.default
        try:
            value = self._node.declare_parameter(row.name, default, row.descriptor()).value
        except InvalidParameterTypeException as error:
            wanted = Parameter.Type.from_parameter_value(default).name.lower()
            hint = " (write 1.0, not 1)" if wanted == "double" else ""
            self.faults[row.name] = f"{row.name} must be a {wanted}{hint}: {error}"
        except InvalidParameterValueException as error:
            self.faults[row.name] = f"{row.name} is refused: {error}"
        else:
            if value is None and isinstance(default, list):
                default = EMPTY_LIST  # what `[]` in a parameter file arrives as
            else:
                fault = row.fault(value)
                if fault is None:
                    return
                self.faults[row.name] = fault
            self._node.undeclare_parameter(row.name)
        self._node.declare_parameter(row.name, default, row.descriptor(), ignore_override=True)

    def read(self) -> NodeParameters:
        """The present values.

        Raises:
            ValueError: values from start-up that were refused, or values that contradict each other or what is
                installed.
        """
        if self.faults:
            raise ValueError("; ".join(self.faults.values()))
        values: dict[str, Any] = {row.name: self._node.get_parameter(row.name).value for row in SPECIFICATIONS}
        contradiction = _contradiction(values)
        if contradiction is not None:
            raise ValueError(contradiction)
        for name in ("cameras", "default_queries", "background_queries"):
            values[name] = tuple(text for text in values[name] if text)
        height, _, width = values["network_size"].partition("x")
        values["network_size"] = (int(height), int(width)) if width else None
        folder = values["engine_cache_dir"]
        values["engine_cache_dir"] = Path(folder).expanduser() if folder else None
        return NodeParameters(**values)

    def _refuse_bad_changes(self, changes: Sequence[Parameter]) -> SetParametersResult:
        values = {row.name: self._node.get_parameter(row.name).value for row in SPECIFICATIONS}
        for parameter in changes:
            row = self._specifications.get(parameter.name)
            if row is None:  # use_sim_time and qos_overrides belong to rclpy
                continue
            fault = row.fault(parameter.value)
            if fault is None and row.change is Change.UNCONFIGURED and self._is_configured():
                fault = f"{row.name} can only be changed while the node is unconfigured: clean it up first"
            if fault is not None:
                return SetParametersResult(successful=False, reason=fault)
            values[row.name] = parameter.value
        contradiction = _contradiction(values)
        if contradiction is not None:
            return SetParametersResult(successful=False, reason=contradiction)
        return SetParametersResult(successful=True)

    def _clear_faults(self, changes: Sequence[Parameter]) -> None:
        for parameter in changes:
            self.faults.pop(parameter.name, None)


def _contradiction(values: dict[str, Any]) -> str | None:
    low, high = values["min_relative_area"], values["max_relative_area"]
    if low >= high:
        return f"min_relative_area ({low:g}) must be smaller than max_relative_area ({high:g})"
    if values["target_frame"] and not HAS_TF2:
        return (
            f"target_frame '{values['target_frame']}' needs tf2_ros, which is not installed: install it, or leave it ''"
        )
    cameras = [name for name in values["cameras"] if name]
    for name in cameras:
        if cameras.count(name) > 1:
            return f"cameras: '{name}' is there twice; every camera needs a name of its own"
        if name in OWN_NAMES:
            return f"cameras: ~/{name} is the name of something else of this node; call the camera differently"
    return None
