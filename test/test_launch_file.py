"""The launch file under ROS's real launch or, where that is missing, as on the package index, under a stand-in."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import launch_stub
import pytest
import yaml

HAS_LAUNCH = importlib.util.find_spec("launch_ros") is not None  # "launch" is a folder of ours, too
FILE = Path(__file__).resolve().parent.parent / "launch" / "openseg.launch.py"

# A node that says what it was given, because the real one needs weights and seconds to start.
REPORT = """
import os, sys
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
import rclpy
class Report(LifecycleNode):
    def on_activate(self, state):
        names = [topic for topic, _ in self.get_topic_names_and_types() if "camera" in topic]
        print("ACTIVE", self.get_fully_qualified_name(), names, self.get_parameter("default_queries").value,
              self.get_parameter("backend").value, self.get_parameter("weights").value,
              os.path.basename(os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"]), flush=True)
        return TransitionCallbackReturn.SUCCESS
rclpy.init()
node = Report("openseg", automatically_declare_parameters_from_overrides=True)
from std_msgs.msg import Empty
node.create_subscription(Empty, "image", print, 1)
rclpy.spin(node)
"""


@pytest.fixture
def launch_file(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not HAS_LAUNCH:
        launch_stub.install(monkeypatch)
    specification = importlib.util.spec_from_file_location("openseg_launch", FILE)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def context(launch_file: ModuleType) -> Any:
    """The arguments with their defaults."""
    context = launch_file.LaunchContext()
    for argument in launch_file.ARGUMENTS:
        argument.execute(context)
    return context


def command_of(action: Any, context: Any) -> list[str]:
    """The words of a process's command line."""
    from launch.utilities import perform_substitutions

    return [perform_substitutions(context, word) for word in action.cmd]


def test_arguments_left_empty_do_not_touch_the_parameter_file(launch_file: ModuleType, context: Any) -> None:
    assert launch_file.parameter_overrides(context) == {"use_sim_time": False}


def test_arguments_become_parameters(launch_file: ModuleType, context: Any) -> None:
    context.launch_configurations.update(queries="red mug; 42", backend="torch", use_3d="false", overlay="false")
    overrides = launch_file.parameter_overrides(context)
    assert overrides.keys() == {"default_queries", "backend", "use_3d", "overlay_rate_hz", "use_sim_time"}
    plain = {name: value for name, value in overrides.items() if isinstance(value, bool | float)}
    assert plain == {"use_3d": False, "overlay_rate_hz": 0.0, "use_sim_time": False}
    assert launch_file.parts(" red mug;; 42 ", ";") == ["red mug", "42"]


def test_what_is_started(launch_file: ModuleType, context: Any) -> None:
    argument = context.launch_configurations
    assert len(launch_file.start(context)) == 3, "the node, a request to configure it and one to activate it then"
    argument["autostart"] = "false"
    (node,) = launch_file.start(context)
    assert isinstance(node, launch_file.LifecycleNode)
    argument["rviz"] = "true"
    assert [type(action) for action in launch_file.start(context)] == [launch_file.LifecycleNode, launch_file.Node]


def test_every_argument_is_described_and_the_parameter_file_exists(launch_file: ModuleType, context: Any) -> None:
    for argument in launch_file.ARGUMENTS:
        assert argument.description.endswith((".", "]")), argument.name
    text = Path(context.launch_configurations["params_file"]).read_text()
    assert yaml.safe_load(text)["/**"]["ros__parameters"]["weights"] == "tabletop"


@pytest.mark.parametrize(
    ("namespace", "topic", "expected"),
    [
        ("", "image", "/image"),
        ("arm", "image", "/arm/image"),
        ("/a/b/", "x/y", "/a/b/x/y"),
        ("arm", "/cam", "/cam"),
    ],
)
def test_absolute_topic(launch_file: ModuleType, namespace: str, topic: str, expected: str) -> None:
    assert launch_file.absolute_topic(namespace, topic) == expected


def test_a_profile_of_the_user_wins(launch_file: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in launch_file.PROFILE_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    assert {Path(path).name for path in launch_file.profile_environment().values()} == {"fastdds_shm.xml"}
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "/mine.xml")
    assert launch_file.profile_environment() == {}


def test_recording_names_the_inputs_and_the_nodes_topics(launch_file: ModuleType, context: Any) -> None:
    context.launch_configurations.update(namespace="arm", image="/cam/image", record="/tmp/bag")
    words = command_of(launch_file.start(context)[-1], context)
    assert words[:3] == ["ros2", "bag", "record"]
    assert words[words.index("--output") + 1] == "/tmp/bag"
    inputs = "/cam/image|/cam/image/compressed|/arm/camera_info|/arm/depth_registered/image_rect"
    assert words[-1] == f"^(/arm/openseg/.*|{inputs})$"


def test_the_arguments_name_the_topics_of_every_camera(launch_file: ModuleType, context: Any) -> None:
    argument = context.launch_configurations
    argument.update(cameras="wrist, front", image="/rig/{camera}/color", camera_info="color/camera_info")
    assert "cameras" in launch_file.parameter_overrides(context)
    assert launch_file.input_remappings("front", argument) == [
        ("front/image", "/rig/front/color"),
        ("front/image/compressed", "/rig/front/color/compressed"),
        ("front/camera_info", "front/color/camera_info"),
        ("front/depth_registered/image_rect", "front/depth_registered/image_rect"),
    ]
    argument["record"] = "/tmp/bag"
    pattern = command_of(launch_file.start(context)[-1], context)[-1]
    for camera in ("wrist", "front"):
        for topic in (f"/rig/{camera}/color/compressed", f"/{camera}/color/camera_info"):
            assert re.fullmatch(pattern, topic)
    assert not re.fullmatch(pattern, "/rig/back/color")
    argument["image"] = "/camera"
    with pytest.raises(ValueError, match="every camera would have the topic /camera"):
        launch_file.start(context)


@pytest.mark.skipif(not HAS_LAUNCH, reason="ROS's launch is not installed: pip does not have it")
def test_the_node_gets_its_arguments_and_becomes_active(domain: int, tmp_path: Path) -> None:
    report = tmp_path / "report.py"
    report.write_text(REPORT)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} {report} "$@"\n')
    python.chmod(0o755)
    script = (
        "import sys\n"
        "from launch import LaunchDescription, LaunchService\n"
        "from launch.actions import IncludeLaunchDescription, TimerAction, Shutdown\n"
        "from launch.launch_description_sources import PythonLaunchDescriptionSource\n"
        "arguments = [tuple(word.split(':=', 1)) for word in sys.argv[2:]]\n"
        "source = PythonLaunchDescriptionSource(sys.argv[1])\n"
        "ours = IncludeLaunchDescription(source, launch_arguments=arguments)\n"
        "service = LaunchService()\n"
        "end = TimerAction(period=8.0, actions=[Shutdown()])\n"
        "service.include_launch_description(LaunchDescription([ours, end]))\n"
        "sys.exit(service.run())\n"
    )
    arguments = ["namespace:=arm", "image:=/camera", "queries:=red mug; 42", f"python_executable:={python}"]
    environment = {
        **os.environ,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(domain),
        "ROS_LOG_DIR": str(tmp_path),
    }
    for variable in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        environment.pop(variable, None)
    command = [sys.executable, "-c", script, FILE, *arguments, "backend:=torch"]
    shown = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=60)
    expected = "ACTIVE /arm/openseg ['/camera'] ['red mug', '42'] torch tabletop fastdds_shm.xml"
    assert expected in shown.stdout, shown.stdout + shown.stderr
