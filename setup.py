"""Packs what CMakeLists.txt installs into a wheel, so that pip installs the same ROS package as colcon.

CMake runs into a staging folder. The staged Python package goes into the wheel as modules; the rest of the
staged tree (ament index, share/, lib/, include/) goes in as data files, which pip lays under the prefix of
the environment. The CMake build folder build/cmake stays, so that a second installation takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import Distribution, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parent
PACKAGE = "openseg_ros"
BUILD_FOLDER = ROOT / "build" / "cmake"
STAGE = ROOT / "build" / "stage"
GENERATORS = "share/rosidl_default_generators/package.xml"  # a prefix that has it can build messages


def requirements(name: str) -> list[str]:
    """The requirement lines of requirements/`name`, without comments and options."""
    lines = (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
    stripped = (line.split("#")[0].strip() for line in lines)
    return [line for line in stripped if line and not line.startswith("-")]


def version() -> str:
    """The version in package.xml, the only place where it is set for ROS, CMake and pip."""
    text = ElementTree.parse(ROOT / "package.xml").getroot().findtext("version")
    if not text:
        raise SystemExit("package.xml has no <version>")
    return text


def ros_prefixes() -> list[Path]:
    """The ROS prefixes that this Python sees: sourced ones first, then those that pip's wheels make.

    pip unpacks the data files of a ROS wheel above lib/pythonX.Y/site-packages, in a virtual environment as
    well as in the temporary environment of an isolated build.
    """
    sourced = [Path(entry) for entry in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if entry]
    beside = [Path(entry).resolve().parents[2] for entry in sys.path if Path(entry).name == "site-packages"]
    found = [prefix for prefix in (*sourced, *beside) if (prefix / "share" / "ament_index").is_dir()]
    return list(dict.fromkeys(found))


def run_cmake() -> None:
    """Configure and build in build/cmake, install into an emptied build/stage.

    Raises:
        SystemExit: there are no message generators, no CMake, or CMake failed; the message says which.
    """
    prefixes = ros_prefixes()
    if not any((prefix / GENERATORS).is_file() for prefix in prefixes):
        looked = ", ".join(map(str, prefixes)) or "none"
        raise SystemExit(
            f"no ROS 2 message generators found (ROS prefixes seen: {looked}). Either run `make setup`, or "
            "install requirements/build.txt and use `pip install --no-build-isolation .`, or source a ROS 2 "
            "installation."
        )
    if shutil.which("cmake") is None:
        raise SystemExit("cmake is missing: apt-get install cmake g++")

    # CMake remembers absolute paths. With another interpreter, prefix or source folder they are wrong.
    paths = "\n".join(map(str, (ROOT, sys.executable, *prefixes)))
    key = hashlib.sha256(paths.encode()).hexdigest()
    stamp = BUILD_FOLDER / "paths.sha256"
    if not stamp.is_file() or stamp.read_text() != key:
        shutil.rmtree(BUILD_FOLDER, ignore_errors=True)
        BUILD_FOLDER.mkdir(parents=True)
    shutil.rmtree(STAGE, ignore_errors=True)

    environment = dict(os.environ)
    joined = os.pathsep.join(map(str, prefixes))
    environment["AMENT_PREFIX_PATH"] = joined
    environment["CMAKE_PREFIX_PATH"] = joined
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_INSTALL_PREFIX": STAGE,
        "BUILD_TESTING": "OFF",
        "Python3_EXECUTABLE": sys.executable,
    }
    definitions = [f"-D{name}={value}" for name, value in options.items()]
    for command in (
        ["cmake", "-S", str(ROOT), "-B", str(BUILD_FOLDER), *definitions],
        ["cmake", "--build", str(BUILD_FOLDER), "--parallel", str(os.cpu_count() or 1)],
        ["cmake", "--install", str(BUILD_FOLDER)],
    ):
        code = subprocess.run(command, env=environment, check=False).returncode
        if code != 0:
            raise SystemExit(f"building the ROS messages failed: `{' '.join(command)}` ended with {code}")
    stamp.write_text(key)


class StagedTree(build_ext):
    """Runs CMake and splits the staged tree into modules and data files."""

    def run(self) -> None:
        """Fill the build's library folder and the distribution's data files from the staged tree."""
        run_cmake()
        (modules,) = STAGE.glob(f"lib/python*/*-packages/{PACKAGE}")
        target = Path(self.build_lib) / PACKAGE
        shutil.rmtree(target, ignore_errors=True)  # an older build may have left modules that are deleted now
        shutil.copytree(modules, target, ignore=shutil.ignore_patterns("__pycache__"))

        left_out = {modules.parent, STAGE / "bin"}  # pip makes its own bin/openseg and its own metadata
        folders: dict[str, list[str]] = {}
        for file in sorted(path for path in STAGE.rglob("*") if path.is_file()):
            if not left_out.intersection(file.parents):
                folder = str(file.parent.relative_to(STAGE))
                folders.setdefault(folder, []).append(str(file.relative_to(ROOT)))
        self.distribution.data_files = list(folders.items())


class NoEditable(editable_wheel):
    """Says what to do instead of an editable installation."""

    def run(self) -> None:
        """Stop with that advice."""
        raise SystemExit(
            "openseg_ros has no editable installation. Install it once with `make setup`; when Python runs "
            "in the repository, the modules there win over the installed ones and find the installed "
            "messages (CONTRIBUTING.md)."
        )


class CompiledDistribution(Distribution):
    """A distribution whose wheel belongs to one platform and Python version."""

    def has_ext_modules(self) -> bool:
        """True: the compiled messages make it so, though setuptools builds none itself."""
        return True


setup(
    name=PACKAGE,
    version=version(),
    description="Open-vocabulary segmentation for robots on ROS 2",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",  # the ROS 2 wheels exist for 3.11 and 3.12
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    install_requires=[*requirements("runtime.txt"), *requirements("ros.txt")],
    extras_require={
        "view": requirements("view.txt"),
        "compile": requirements("compile.txt"),
        "tensorrt": ["torch-tensorrt>=2.10"],  # several gigabytes and an NVIDIA GPU: in no requirements file
        "training": requirements("train.txt"),
        "test": requirements("test.txt"),
        "dev": requirements("dev.txt"),
    },
    entry_points={"console_scripts": ["openseg = openseg_ros.cli.main:app"]},
    cmdclass={"build_ext": StagedTree, "editable_wheel": NoEditable},
    distclass=CompiledDistribution,
    zip_safe=False,
)
