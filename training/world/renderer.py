"""Draws one compiled model off screen: colour, and geom ids together with depth.

One OpenGL context lives as long as its process (making one takes half a second); a `Renderer` holds what
one compiled model uploads and is closed with it.
"""

from __future__ import annotations

from types import TracebackType

import numpy as np

from training.world.graphics_backend import create_gl_context, mujoco
from training.world.model_assets import DRAWN_GROUP, SOLID_GROUP

_context: mujoco.GLContext | None = None
MAX_GEOMS = 400


def _shared_context() -> None:
    global _context
    if _context is None:
        _context = create_gl_context(64, 64)  # pictures are drawn into frame buffers of their own size
    _context.make_current()


class Renderer:
    """Use as a context manager. The model's `vis.global_.offwidth/offheight` must be at least the picture's
    size.
    """

    def __init__(self, model: mujoco.MjModel, height: int, width: int) -> None:
        _shared_context()
        self._model = model
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._scene = mujoco.MjvScene(model, MAX_GEOMS)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[DRAWN_GROUP] = 1
        assert not self._option.geomgroup[SOLID_GROUP]
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = 0
        self._gpu = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._gpu)
        self._gpu.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gpu.free()

    def update(self, data: mujoco.MjData) -> None:
        """Takes the poses from `data`; the model's camera 0 looks."""
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )

    def colour(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB with shadows."""
        self._set_identifiers(False)
        mujoco.mjr_render(self._rect, self._scene, self._gpu)
        picture = np.empty((self._rect.height, self._rect.width, 3), np.uint8)
        mujoco.mjr_readPixels(picture, None, self._rect, self._gpu)
        return np.ascontiguousarray(picture[::-1])

    def geoms_and_depth(self) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) int32 id of the geom that each pixel shows, -1 for none; (H, W) float32 depth along the
        optical axis in metres, 0 where there is nothing.
        """
        self._set_identifiers(True)
        mujoco.mjr_render(self._rect, self._scene, self._gpu)
        shape = (self._rect.height, self._rect.width)
        codes = np.empty((*shape, 3), np.uint8)
        depth = np.empty(shape, np.float32)
        mujoco.mjr_readPixels(codes, depth, self._rect, self._gpu)
        code = codes.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
        table = np.full(self._scene.ngeom + 1, -1, np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                table[geom.segid + 1] = geom.objid
        geoms = table[np.minimum(code, len(table) - 1)]
        near = self._model.vis.map.znear * self._model.stat.extent
        far = self._model.vis.map.zfar * self._model.stat.extent
        # inverse of the projection with far at 0 and near at 1 (mjDEPTH_ZEROFAR)
        metres = near * far / (near + depth.astype(np.float64) * (far - near))
        metres[depth <= 0.0] = 0.0
        return np.ascontiguousarray(geoms[::-1]), np.ascontiguousarray(metres[::-1].astype(np.float32))

    def _set_identifiers(self, on: bool) -> None:
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = on
        flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = on
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = not on
        flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = not on
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
