"""What `pip install .` and `colcon build` put into a ROS prefix."""

import ast
import importlib.metadata
import os
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

import openseg_ros
from openseg_ros.nodes.parameters import SPECIFICATIONS

ROOT = Path(__file__).resolve().parent.parent
PREFIX = Path(sys.prefix)
INTERFACES = sorted(path for folder in ("msg", "srv", "action") for path in (ROOT / folder).iterdir())


def modules(folder: Path) -> set[str]:
    """Relative paths of our own modules below a folder `openseg_ros`, without the generated ones."""
    found = {path.relative_to(folder) for path in folder.rglob("*.py")}
    return {str(path) for path in found if path.parts[0] not in ("msg", "srv", "action")}


def check_ros_package(prefix: Path) -> None:
    """Everything that ROS tools and our own programs look for below `prefix`."""
    share = prefix / "share" / "openseg_ros"
    index = prefix / "share" / "ament_index" / "resource_index"
    assert (index / "packages" / "openseg_ros").is_file()
    listed = set((index / "rosidl_interfaces" / "openseg_ros").read_text().split())
    assert {str(path.relative_to(ROOT)) for path in INTERFACES} <= listed
    assert (share / "package.xml").read_bytes() == (ROOT / "package.xml").read_bytes()
    for folder in ("config", "launch", "models"):
        for source in (ROOT / folder).rglob("*"):
            if source.is_file() and "__pycache__" not in source.parts:
                assert (share / source.relative_to(ROOT)).read_bytes() == source.read_bytes()
    assert os.access(prefix / "lib" / "openseg_ros" / "openseg_node", os.X_OK)
    assert os.access(prefix / "bin" / "openseg", os.X_OK)
    (installed,) = prefix.glob("lib/python*/site-packages/openseg_ros")
    assert modules(installed) == modules(ROOT / "openseg_ros")
    for source in (ROOT / "openseg_ros" / "view" / "page").iterdir():
        assert (installed / "view" / "page" / source.name).read_bytes() == source.read_bytes()


def test_pip_installs_a_complete_ros_package() -> None:
    check_ros_package(PREFIX)


def test_versions_agree() -> None:
    in_package_xml = ElementTree.parse(ROOT / "package.xml").getroot().findtext("version")
    assert in_package_xml == openseg_ros.__version__ == importlib.metadata.version("openseg_ros")


def test_the_command_openseg_is_ours() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="openseg")
    assert script.value == "openseg_ros.cli.main:app"
    shown = subprocess.run([PREFIX / "bin" / "openseg", "--help"], capture_output=True, text=True, cwd="/")
    assert shown.returncode == 0, shown.stderr
    assert "segment" in shown.stdout


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.stem)
def test_every_field_of_an_interface_has_a_comment(path: Path) -> None:
    uncommented = []
    commented = False
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            commented = True
        elif not line.strip() or line == "---":
            commented = False
        elif not commented and "#" not in line and "=" not in line:
            uncommented.append(line)
    # Fields that stand directly below one another share a comment; a name that says all needs none.
    assert {line.split()[1] for line in uncommented} <= {"regions", "queries", "status", "message"}


def test_parameter_file_lists_the_defaults() -> None:
    (parameters,) = yaml.safe_load((ROOT / "config" / "openseg.yaml").read_text()).values()
    assert parameters["ros__parameters"] == {row.name: row.default for row in SPECIFICATIONS}


def test_isolated_build_has_the_pinned_build_requirements() -> None:
    def name(requirement: str) -> str:
        for mark in "<>=[;# ":
            requirement = requirement.split(mark)[0]
        return requirement.lower().replace("_", "-")

    folder = ROOT / "requirements"
    lines = (folder / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    wanted = {
        name(line)
        for line in (folder / "build.txt").read_text().splitlines()
        if line and not line.startswith(("#", "-"))
    }
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert {name(line): line.split("==")[1] for line in listed} == {key: pinned[key] for key in wanted}


def test_only_nodes_import_our_messages() -> None:
    # import-linter sees message packages of others, but takes openseg_ros.msg for openseg_ros itself.
    messages = ("openseg_ros.msg", "openseg_ros.srv", "openseg_ros.action")
    for path in [*(ROOT / "openseg_ros").rglob("*.py"), *(ROOT / "training").rglob("*.py")]:
        if "nodes" in path.parts:
            continue
        for statement in ast.walk(ast.parse(path.read_text())):
            imported = []
            if isinstance(statement, ast.ImportFrom) and statement.module:
                imported = [
                    statement.module,
                    *(f"{statement.module}.{item.name}" for item in statement.names),
                ]
            elif isinstance(statement, ast.Import):
                imported = [item.name for item in statement.names]
            assert not [name for name in imported if name.startswith(messages)], path


@pytest.mark.slow
@pytest.mark.timeout(900)  # half a minute on two free cores
def test_colcon_builds_a_complete_ros_package(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "AMENT_PREFIX_PATH": str(PREFIX),
        "CMAKE_PREFIX_PATH": str(PREFIX),
        "PATH": f"{PREFIX / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "COLCON_LOG_PATH": str(tmp_path / "log"),
    }
    # fmt: off
    build = subprocess.run(
        [
            "colcon", "build", "--symlink-install", "--base-paths", ROOT, "--build-base", tmp_path / "build",
            "--install-base", tmp_path / "install", "--cmake-args", f"-DPython3_EXECUTABLE={sys.executable}",
            "-DBUILD_TESTING=OFF", "-DCMAKE_C_FLAGS=-O0", "-DCMAKE_CXX_FLAGS=-O0",  # twice as fast
        ],
        env=environment, cwd=tmp_path, capture_output=True, text=True,
    )
    # fmt: on
    assert build.returncode == 0, build.stdout + build.stderr
    prefix = tmp_path / "install" / "openseg_ros"
    check_ros_package(prefix)

    # The messages and their type support come from the new prefix, not from the tests' own environment.
    script = (
        "from rclpy.type_support import check_for_type_support\n"
        "from openseg_ros import msg, srv, action\n"
        "for kind in (msg.RegionArray, srv.SegmentImage, action.FindObject):\n"
        "    check_for_type_support(kind)\n"
        "print(msg.__file__)\n"
    )
    source = f"source {prefix}/share/openseg_ros/local_setup.bash && exec {sys.executable} -c '{script}'"
    shown = subprocess.run(["bash", "-c", source], env=environment, cwd="/", capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(f"{prefix}/")
