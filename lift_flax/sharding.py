"""Where arrays live: the mesh of devices, and how batches and states are laid out on it."""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lift_flax.config import Config
from lift_flax.errors import UserError

SMALLEST_SHARDED = 2**16  # numbers in an array


def make_mesh(config: Config) -> Mesh:
    """All devices as ("data", "fsdp").

    Axis types are Auto on purpose: with Explicit axes, a convolution whose kernel is sharded is refused.

    Raises:
      UserError: the devices or the batch do not divide by the mesh.
    """
    devices = jax.device_count()
    data = config.mesh.data if config.mesh.data > 0 else devices // config.mesh.fsdp
    if data * config.mesh.fsdp != devices:
        raise UserError(
            f"config.mesh: data={data} times fsdp={config.mesh.fsdp} is not the {devices} devices there are"
        )
    if config.train.batch_size % devices:
        raise UserError(f"config.train.batch_size={config.train.batch_size} does not divide by {devices} devices")
    return jax.make_mesh((data, config.mesh.fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows over all devices."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def put_batch(batch: dict, mesh: Mesh) -> dict[str, jax.Array]:
    """This process's rows of a batch as global arrays; what is not a number (the ids) stays behind."""
    sharding = batch_sharding(mesh)
    numbers = {name: rows for name, rows in batch.items() if rows.dtype.kind in "iuf"}
    return {name: jax.make_array_from_process_local_data(sharding, rows) for name, rows in numbers.items()}


def state_sharding(mesh: Mesh, tree):
    """Sharding of every array in a state: the largest axis that divides over "fsdp", whole copies elsewhere.

    Small arrays are copied: gathering them would cost more than it saves.
    """
    ways = mesh.shape["fsdp"]

    def one(leaf) -> NamedSharding:
        axes = [i for i in range(leaf.ndim) if leaf.shape[i] % ways == 0]
        if ways == 1 or not axes or leaf.size < SMALLEST_SHARDED:
            return replicated(mesh)
        largest = max(axes, key=lambda i: leaf.shape[i])
        return NamedSharding(mesh, PartitionSpec(*["fsdp" if i == largest else None for i in range(leaf.ndim)]))

    return jax.tree.map(one, tree)


def gather_rows(array: jax.Array) -> np.ndarray:
    """A batch-sharded array, whole, on every host."""
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))
