"""Chooses how MuJoCo draws without a screen. Import `mujoco` from here, never directly.

MuJoCo reads MUJOCO_GL once, while it is imported, so the default has to stand in the environment before
that. A value that the user has set is left alone.
"""

import ctypes.util
import os

from training.world.errors import GraphicsError

SYSTEM_PACKAGES = "libegl1 libegl-mesa0 libgl1-mesa-dri libosmesa6"


def default_backend() -> str:
    """Returns "egl" where the EGL library is installed, else "osmesa" where that is; raises GraphicsError."""
    if ctypes.util.find_library("EGL"):
        return "egl"
    if ctypes.util.find_library("OSMesa"):
        return "osmesa"
    raise GraphicsError(f"Rendering needs EGL or OSMesa; on Debian: sudo apt-get install {SYSTEM_PACKAGES}")


if "MUJOCO_GL" not in os.environ:
    os.environ["MUJOCO_GL"] = default_backend()
# No threads in Mesa's software renderer: our processes already fill the cores, and its thread (Mesa 22.3) has crashed
# here, once in some thousand scenes, or written into memory that the process had freed.
os.environ.setdefault("LP_NUM_THREADS", "0")

try:
    import mujoco
except ImportError as error:
    raise GraphicsError(f"MuJoCo is not installed: {error}. Run: pip install mujoco") from error
except (
    AttributeError,
    RuntimeError,
    OSError,
) as error:  # what PyOpenGL raises for a missing or unusable library
    raise GraphicsError(
        f"MUJOCO_GL={os.environ['MUJOCO_GL']} does not work here ({error}); "
        f"on Debian: sudo apt-get install {SYSTEM_PACKAGES}"
    ) from error


def create_gl_context(width: int, height: int) -> "mujoco.GLContext":
    """Makes an off-screen OpenGL context of at least width x height pixels and makes it current.

    Raises GraphicsError, naming the Debian packages, where the driver refuses.
    """
    try:
        context = mujoco.GLContext(width, height)
        context.make_current()
    except Exception as error:  # EGL, OSMesa and GLX each raise their own kinds
        raise GraphicsError(
            f"MUJOCO_GL={os.environ['MUJOCO_GL']} gives no drawing context ({error}); "
            f"on Debian: sudo apt-get install {SYSTEM_PACKAGES}"
        ) from error
    return context


__all__ = ["SYSTEM_PACKAGES", "create_gl_context", "default_backend", "mujoco"]
