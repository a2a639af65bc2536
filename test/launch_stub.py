"""In the place of ROS's launch, which the package index does not have: its actions only keep what they are given."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


class LaunchContext:
    """The values of the arguments."""

    def __init__(self) -> None:
        self.launch_configurations: dict[str, str] = {}


class DeclareLaunchArgument:
    """An argument; executing it gives it its default."""

    def __init__(self, name: str, *, default_value: str, description: str, choices: list[str] | None = None) -> None:
        assert choices is None or default_value in choices, name
        self.name, self.default_value, self.description, self.choices = name, default_value, description, choices

    def execute(self, context: LaunchContext) -> None:
        context.launch_configurations.setdefault(self.name, self.default_value)


class ParameterValue(SimpleNamespace):
    """A value with its type."""

    def __init__(self, value: object, *, value_type: object) -> None:
        super().__init__(value=value, value_type=value_type)


class Kept(SimpleNamespace):
    """An action or event of any kind."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(**{"positional": arguments, **named})


class LifecycleNode(Kept):
    """A node that is told when to work."""


MODULES: dict[str, dict[str, Any]] = {
    "launch": {"LaunchContext": LaunchContext, "LaunchDescription": Kept},
    "launch.action": {"Action": Kept},
    "launch.actions": {
        "DeclareLaunchArgument": DeclareLaunchArgument,
        **dict.fromkeys(("EmitEvent", "ExecuteProcess", "OpaqueFunction", "RegisterEventHandler"), Kept),
    },
    "launch.events": {"matches_action": Kept},
    "launch.utilities": {"perform_substitutions": lambda context, text: text},
    "launch_ros": {},
    "launch_ros.actions": {"LifecycleNode": LifecycleNode, "Node": Kept},
    "launch_ros.event_handlers": {"OnStateTransition": Kept},
    "launch_ros.events": {},
    "launch_ros.events.lifecycle": {"ChangeState": Kept},
    "launch_ros.parameter_descriptions": {"ParameterValue": ParameterValue},
    "ament_index_python.packages": {"get_package_share_directory": lambda package: str(ROOT)},
}


def install(patch: pytest.MonkeyPatch) -> None:
    """Make the launch file's imports find the modules above, until `patch` is undone."""
    for name, contents in MODULES.items():
        module = ModuleType(name)
        vars(module).update(contents)
        patch.setitem(sys.modules, name, module)
