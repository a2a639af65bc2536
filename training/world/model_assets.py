"""Turns meshes, finishes and colliders into elements of a MuJoCo specification."""

from __future__ import annotations

import numpy as np

from training.world.graphics_backend import mujoco
from training.world.mesh import Mesh
from training.world.object_model import Collider, Finish, ObjectModel

DRAWN_GROUP = 0  # shown by the renderer
SOLID_GROUP = 3  # physics only
DENSITY = 500.0  # kg/m^3, about wood; nothing here depends on the exact weight

_SHAPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "hull": mujoco.mjtGeom.mjGEOM_MESH,
}


def quaternion(matrix: np.ndarray) -> np.ndarray:
    """(3, 3) rotation to (4,) w, x, y, z."""
    result = np.zeros(4)
    mujoco.mju_mat2Quat(result, np.ascontiguousarray(matrix, dtype=float).reshape(9))
    return result


def add_mesh(spec: mujoco.MjSpec, name: str, mesh: Mesh) -> None:
    """Adds a drawn mesh asset."""
    asset = spec.add_mesh()
    asset.name = name
    asset.uservert = mesh.vertices.astype(np.float32).ravel()
    asset.usernormal = mesh.normals.astype(np.float32).ravel()
    asset.usertexcoord = mesh.uv.astype(np.float32).ravel()
    asset.userface = mesh.faces.astype(np.int32).ravel()
    asset.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # open surfaces have no volume


def add_material(spec: mujoco.MjSpec, name: str, finish: Finish, repeat: tuple[float, float] = (1.0, 1.0)) -> None:
    """Adds a material, with its texture if the finish has one."""
    material = spec.add_material()
    material.name = name
    material.shininess = finish.shininess
    material.specular = finish.specular
    rgb = np.clip(finish.rgb, 0.0, 1.0) if finish.texture is None else np.ones(3)
    material.rgba = [*rgb, finish.alpha]
    if finish.texture is not None:
        height, width = finish.texture.shape[:2]
        texture = spec.add_texture()
        texture.name = f"{name}_picture"
        texture.type = mujoco.mjtTexture.mjTEXTURE_2D
        texture.width, texture.height, texture.nchannel = width, height, 3
        texture.data = np.ascontiguousarray(finish.texture).tobytes()
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = texture.name
        material.texrepeat = list(repeat)


def add_drawn(body: mujoco.MjsBody, mesh_name: str, material_name: str, geom_name: str) -> None:
    """Adds a geom that is seen but weighs nothing and touches nothing."""
    geom = body.add_geom()
    geom.name = geom_name
    geom.type = mujoco.mjtGeom.mjGEOM_MESH
    geom.meshname = mesh_name
    geom.material = material_name
    geom.group = DRAWN_GROUP
    geom.contype = geom.conaffinity = 0
    geom.mass = 0.0


def add_solid(spec: mujoco.MjSpec, body: mujoco.MjsBody, collider: Collider, name: str) -> None:
    """Adds an invisible geom with weight and contact."""
    geom = body.add_geom()
    geom.name = name
    geom.type = _SHAPES[collider.shape]
    geom.group = SOLID_GROUP
    geom.pos = collider.position
    geom.density = DENSITY
    geom.condim = 6
    geom.friction = [0.9, 0.01, 0.003]  # sliding, torsion, rolling: enough that balls come to rest
    geom.rgba = [0.0, 0.0, 0.0, 0.0]
    if collider.rotation is not None:
        geom.quat = quaternion(collider.rotation)
    if collider.shape == "hull":
        assert collider.hull is not None
        asset = spec.add_mesh()
        asset.name = f"{name}_hull"
        asset.uservert = collider.hull.astype(np.float32).ravel()
        asset.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
        geom.meshname = asset.name
    else:
        geom.size[: len(collider.size)] = collider.size


def add_object(
    spec: mujoco.MjSpec, model: ObjectModel, name: str, position: np.ndarray, orientation: np.ndarray
) -> None:
    """Adds a free body called `name` at position (3,) metres with orientation (4,) w, x, y, z."""
    body = spec.worldbody.add_body()
    body.name = name
    body.pos = position
    body.quat = orientation
    joint = body.add_freejoint()
    joint.name = f"{name}_free"
    for index, part in enumerate(model.parts):
        part_name = f"{name}_{index}"
        add_mesh(spec, part_name, part.mesh)
        add_material(spec, part_name, part.finish)
        add_drawn(body, part_name, part_name, part_name)
    for index, collider in enumerate(model.colliders):
        add_solid(spec, body, collider, f"{name}_solid{index}")
