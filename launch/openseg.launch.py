"""Starts the segmentation node and brings it up.

    ros2 launch openseg_ros openseg.launch.py queries:="red mug"
    ros2 launch openseg_ros openseg.launch.py --show-args

An argument that is left empty does not touch what the parameter file says.
"""

import os
import re
from collections.abc import Mapping

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.events import matches_action
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

SHARE = get_package_share_directory("openseg_ros")
# Fast DDS 2 (ROS 2 Jazzy) reads the first variable, Fast DDS 3 (Kilted and later) the second.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
SWITCH = ["true", "false"]

ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node and all its topics."),
    DeclareLaunchArgument("name", default_value="openseg", description="Name of the node."),
    DeclareLaunchArgument(
        "params_file",
        default_value=os.path.join(SHARE, "config", "openseg.yaml"),
        description="YAML file with the node's parameters; the arguments below win over it.",
    ),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description='Names of several cameras, "wrist, front". image, camera_info and depth are then topics of each '
        "camera: below its name, or {camera} in them stands for it. Empty: one camera without a name, or the names in "
        "params_file, whose topics are then below them, whatever image, camera_info and depth say.",
    ),
    DeclareLaunchArgument(
        "image",
        default_value="image",
        description="Topic of the camera image; with image_transport compressed, <image>/compressed is read.",
    ),
    DeclareLaunchArgument(
        "camera_info",
        default_value="camera_info",
        description="Topic of the camera's intrinsics, for 3D.",
    ),
    DeclareLaunchArgument(
        "depth",
        default_value="depth_registered/image_rect",
        description="Topic of depth images that are registered to the camera image, for 3D.",
    ),
    DeclareLaunchArgument(
        "use_3d",
        default_value="",
        choices=["", *SWITCH],
        description="Positions and point clouds from depth. Empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "queries",
        default_value="",
        description='What to look for first; phrases are separated by ";". Empty: as in params_file.',
    ),
    DeclareLaunchArgument(
        "backend",
        default_value="",
        choices=["", "auto", "openvino", "tensorrt", "torch"],
        description="Engine that runs the network. Empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        description="Device of the engine, cpu or cuda:0. Empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "weights",
        default_value="",
        description="Name of a shipped model, or a folder with weights. Empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", "raw", "compressed"],
        description="raw or compressed (JPEG, PNG) images. Empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "overlay",
        default_value="true",
        choices=SWITCH,
        description="false: never draw the picture for people on ~/overlay.",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="true",
        choices=SWITCH,
        description="Configure and activate the node. false: leave that to a lifecycle manager.",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="false",
        choices=SWITCH,
        description="Take the time from /clock: for simulators and played bags.",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="Least severity of the node's log lines.",
    ),
    DeclareLaunchArgument(
        "python_executable",
        default_value="python3",
        description="Python that runs the node, for example that of the environment with torch and openvino.",
    ),
    DeclareLaunchArgument(
        "record",
        default_value="",
        description="Folder of a new bag (mcap) of the inputs and all the node's topics. Empty: no recording.",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="false",
        choices=SWITCH,
        description="Show overlay and point clouds, of the first camera, in RViz, with the layout config/openseg.rviz.",
    ),
]
RVIZ_TOPICS = ("overlay", "target_points", "scene_minus_target_points")  # of a camera, in config/openseg.rviz


def profile_environment() -> dict[str, str]:
    """What makes Fast DDS read our profile; empty where the user has a profile of his own."""
    if any(os.environ.get(variable) for variable in PROFILE_VARIABLES):
        return {}
    return dict.fromkeys(PROFILE_VARIABLES, os.path.join(SHARE, "config", "fastdds_shm.xml"))


def parameter_overrides(context: LaunchContext) -> dict[str, ParameterValue | bool | float]:
    """The node parameters that the launch arguments set; those left empty are not among them.

    Texts carry their type, or launch would read them as YAML: the query "42" would become a number.
    """
    overrides: dict[str, ParameterValue | bool | float] = {
        name: ParameterValue(value, value_type=str)
        for name in ("backend", "device", "weights", "image_transport")
        if (value := context.launch_configurations[name])
    }
    for name, given in (
        ("default_queries", parts(context.launch_configurations["queries"], ";")),
        ("cameras", parts(context.launch_configurations["cameras"], ",")),
    ):
        if given:
            overrides[name] = ParameterValue(given, value_type=list[str])
    if context.launch_configurations["use_3d"]:
        overrides["use_3d"] = context.launch_configurations["use_3d"] == "true"
    if context.launch_configurations["overlay"] == "false":
        overrides["overlay_rate_hz"] = 0.0
    overrides["use_sim_time"] = context.launch_configurations["use_sim_time"] == "true"
    return overrides


def parts(text: str, separator: str) -> list[str]:
    """The parts of `text` that are not blank."""
    return [part.strip() for part in text.split(separator) if part.strip()]


def topic_of(camera: str, topic: str) -> str:
    """An argument that names a topic of every camera, for one of them; as it is for the one without a name."""
    if not camera:
        return topic
    if "{camera}" in topic:
        return topic.replace("{camera}", camera)
    if topic.startswith("/"):
        raise ValueError(f"every camera would have the topic {topic}: write {{camera}} where its name belongs")
    return f"{camera}/{topic}"


def input_remappings(camera: str, argument: Mapping[str, str]) -> list[tuple[str, str]]:
    """The node's own names of a camera's topics, and the names that the arguments give them."""
    image = topic_of(camera, argument["image"])
    own = f"{camera}/" if camera else ""
    return [
        (f"{own}image", image),
        (f"{own}image/compressed", f"{image}/compressed"),
        (f"{own}camera_info", topic_of(camera, argument["camera_info"])),
        (f"{own}depth_registered/image_rect", topic_of(camera, argument["depth"])),
    ]


def absolute_topic(namespace: str, topic: str) -> str:
    """The full name of `topic` as seen from `namespace`."""
    return topic if topic.startswith("/") else "/" + "/".join(filter(None, (namespace.strip("/"), topic)))


def bring_up(node: LifecycleNode) -> list[Action]:
    """Configure the node at once, and activate it as soon as configuring has succeeded."""

    def request(transition: int) -> EmitEvent:
        return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))

    activate_when_configured = OnStateTransition(
        target_lifecycle_node=node,
        start_state="configuring",
        goal_state="inactive",
        entities=[request(Transition.TRANSITION_ACTIVATE)],
    )
    return [RegisterEventHandler(activate_when_configured), request(Transition.TRANSITION_CONFIGURE)]


def start(context: LaunchContext) -> list[Action]:
    """The actions for the arguments that were given."""
    argument = context.launch_configurations
    cameras = parts(argument["cameras"], ",") or [""]
    environment = profile_environment()
    node = LifecycleNode(
        package="openseg_ros",
        executable="openseg_node",
        namespace=argument["namespace"],
        name=argument["name"],
        prefix=[argument["python_executable"]],
        parameters=[argument["params_file"], parameter_overrides(context)],
        remappings=[remapping for camera in cameras for remapping in input_remappings(camera, argument)],
        ros_arguments=["--log-level", argument["log_level"]],
        additional_env=environment,
        output="screen",
        emulate_tty=True,
    )
    actions: list[Action] = [node]
    if argument["autostart"] == "true":
        actions += bring_up(node)
    own = absolute_topic(argument["namespace"], argument["name"])
    if argument["rviz"] == "true":
        shown = "/".join(filter(None, (own, cameras[0])))
        rviz = Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", os.path.join(SHARE, "config", "openseg.rviz")],
            remappings=[(f"/openseg/{topic}", f"{shown}/{topic}") for topic in RVIZ_TOPICS],
            parameters=[{"use_sim_time": argument["use_sim_time"] == "true"}],
            additional_env=environment,
        )
        actions.append(rviz)
    if argument["record"]:
        inputs = [topic for camera in cameras for _, topic in input_remappings(camera, argument)]
        names = [re.escape(absolute_topic(argument["namespace"], topic)) for topic in inputs]
        command = ["ros2", "bag", "record", "--storage", "mcap", "--output", argument["record"]]
        recorder = [*command, "--regex", f"^({'|'.join([f'{re.escape(own)}/.*', *names])})$"]
        actions.append(ExecuteProcess(cmd=recorder, additional_env=environment, output="screen"))
    return actions


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` asks for."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])
