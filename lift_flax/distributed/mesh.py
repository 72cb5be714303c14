"""Where arrays live: the mesh of devices, and how batches and states are laid out on it."""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from lift_flax.config import Config
from lift_flax.errors import UserError

SMALLEST_SHARDED = 2**16  # numbers in an array


def make_mesh(config: Config, devices: tuple | None = None) -> Mesh:
    """Makes the mesh of all devices, or of `devices`, with the axes "data" and "fsdp".

    Axis types are Auto on purpose: with Explicit axes, a convolution whose kernel is sharded is refused.

    Raises:
      UserError: the devices or the batch do not divide by the mesh.
    """
    count = jax.device_count() if devices is None else len(devices)
    data = config.mesh.data if config.mesh.data > 0 else count // config.mesh.fsdp
    if data * config.mesh.fsdp != count:
        raise UserError(
            f"config.mesh: data={config.mesh.data} and fsdp={config.mesh.fsdp} do not make {count} devices: take "
            "data=-1 and an fsdp that divides them"
        )
    batch, unit = config.train.batch_size, count * config.train.accumulate
    if batch % unit:
        parts = f" times accumulate={config.train.accumulate}" if config.train.accumulate > 1 else ""
        raise UserError(
            f"config.train.batch_size={batch} does not divide by the {count} devices{parts}: take "
            f"--config.train.batch_size={-(-batch // unit) * unit}"
        )
    axes, types = ("data", "fsdp"), (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((data, config.mesh.fsdp), axes, axis_types=types, devices=devices)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Spreads the rows of a batch over all devices."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """Puts a whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def local_rows(mesh: Mesh, batch_size: int) -> Int[np.ndarray, "rows"]:
    """Returns the rows of a global batch that this process reads: those of its devices, in order."""
    slices = batch_sharding(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.sort(np.concatenate([np.arange(batch_size)[index] for index in slices]))


def put_batch(batch: dict, mesh: Mesh) -> dict[str, jax.Array]:
    """Lays out this process's rows of a batch as global arrays; entries that hold no numbers (the ids) are left out."""
    sharding = batch_sharding(mesh)
    numbers = {name: rows for name, rows in batch.items() if rows.dtype.kind in "iuf"}
    return {name: jax.make_array_from_process_local_data(sharding, rows) for name, rows in numbers.items()}


def put_everywhere(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """Lays out an array that every process holds whole."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def everywhere(tree, mesh: Mesh):
    """Copies `tree` whole to each device of `mesh`; arrays that are there already stay as they are."""

    def placed(leaf):
        if isinstance(leaf, jax.Array) and leaf.sharding.device_set == set(mesh.devices.flat):
            return leaf
        return put_everywhere(np.asarray(leaf), replicated(mesh))

    return jax.tree.map(placed, tree)


def partition(path: str, shape: tuple[int, ...], ways: int) -> PartitionSpec:
    """Says how one array of a state is laid out; one rule for parameters and their moments.

    Kernels take their largest axis that divides by `ways` over "fsdp".  Everything else is copied, and so are small
    kernels: gathering them would cost more than it saves.
    """
    axes = [i for i in range(len(shape)) if shape[i] % ways == 0]
    is_kernel = path.rsplit("/", 1)[-1].startswith("kernel")
    if ways == 1 or not is_kernel or not axes or np.prod(shape) < SMALLEST_SHARDED:
        return PartitionSpec()
    largest = max(axes, key=lambda i: shape[i])
    return PartitionSpec(*["fsdp" if i == largest else None for i in range(len(shape))])


def state_sharding(mesh: Mesh, state):
    """Returns the sharding of every array of a state (or of its shapes), by `partition`."""

    def one(path, leaf) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return NamedSharding(mesh, partition(name, leaf.shape, mesh.shape["fsdp"]))

    return jax.tree_util.tree_map_with_path(one, state)


def gather_rows(array: jax.Array) -> np.ndarray:
    """Gathers an array that is spread by rows; every host gets all of it."""
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def own_rows(array: jax.Array) -> np.ndarray:
    """The rows of this process (`local_rows`) of an array that is spread by rows."""
    shards = {shard.index[0].start or 0: shard for shard in array.addressable_shards}
    return np.concatenate([np.asarray(shards[start].data) for start in sorted(shards)])


def gather_whole(array: jax.Array) -> np.ndarray:
    """An array of a state, whole, however it is laid out; every process calls this."""
    if array.is_fully_addressable:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))
