"""Programs compiled ahead: with options where the compiler knows them, and without what compiling took."""

import ctypes
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from lift_flax import compiling

GIVE_BACK = """
from lift_flax.compiling import give_memory_back

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

blocks = [bytearray(100_000) for _ in range(3000)]  # below what glibc takes from the system one by one
last = bytearray(100_000)  # so that they are not the end of the heap, which free() itself gives back
full = resident()
del blocks
kept = resident()
give_memory_back()
print(full, kept, resident())
"""


def test_compiled_functions_compute_and_keep_their_arguments_shapes():
    program = compiling.compile_once(lambda x: x @ x.T, jnp.ones((2, 3)))
    assert program(jnp.full((2, 3), 2.0)).tolist() == [[12.0, 12.0]] * 2
    with pytest.raises(TypeError, match="compiled"):
        program(jnp.ones((3, 3)))


def test_the_first_call_compiles_and_gives_up_what_it_may():
    traced = []

    def add(state, x):
        traced.append(None)
        return state + x

    program, state = compiling.compiled_at_first_call(add, donate_argnums=0), jnp.zeros(4)
    assert not traced
    first = program(state, jnp.ones(4))
    assert program(first, jnp.ones(4)).tolist() == [2.0] * 4
    assert len(traced) == 1 and state.is_deleted() and first.is_deleted()


def test_options_that_a_compiler_does_not_know_are_left_out(monkeypatch):
    monkeypatch.setattr(compiling, "_FOR_MANY_RUNS", {"xla_cpu_of_another_version": "yes"})
    compiling._accepted.cache_clear()
    try:
        assert compiling._accepted(False) is None
        assert compiling.compile_once(lambda x: x + 1, 1)(1) == 2
    finally:
        compiling._accepted.cache_clear()


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="they are a CPU's")
def test_this_compiler_knows_the_options():
    assert compiling._accepted(False) and compiling._accepted(True)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc keeps freed memory"
)
def test_freed_memory_goes_back_to_the_system():
    done = subprocess.run([sys.executable, "-c", GIVE_BACK], capture_output=True, text=True, check=True)
    full, kept, left = map(int, done.stdout.split())
    assert kept > full - 100e6, "nothing to give back: the test says nothing"
    assert left < full - 200e6


def test_commands_keep_compiled_programs_where_nobody_chose_a_place(tmp_path, monkeypatch):
    fields = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    chosen = {field: getattr(jax.config, field) for field in fields}
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", raising=False)
    try:
        jax.config.update("jax_compilation_cache_dir", "theirs")
        compiling.keep_compiled_programs()
        assert {field: getattr(jax.config, field) for field in fields} == {**chosen, fields[0]: "theirs"}
        jax.config.update("jax_compilation_cache_dir", None)
        compiling.keep_compiled_programs()
        assert jax.config.jax_compilation_cache_dir == f"{tmp_path}/.cache/lift_flax/jax"
        assert jax.config.jax_persistent_cache_min_compile_time_secs == 0
    finally:
        for field, value in chosen.items():
            jax.config.update(field, value)
