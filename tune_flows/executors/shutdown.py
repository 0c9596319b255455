"""The end of this process's connection to Ray, while other threads go on.

A thread that drops a reference when Ray's core is gone, but `ray.shutdown` not yet over, ends the process on
the spot: `ObjectRef.__dealloc__` does not look before it tells the core. That thread is any one that happens
to collect the garbage, and references lie in the tracebacks of faults.
"""

from typing import Any

import ray

__all__ = ["shut_down"]


class _Going:
    """Ray's core while it is taken down: no reference can be dropped there any more."""

    def __init__(self, core: Any) -> None:  # noqa: ANN401 - Ray's own
        self._core = core

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - Ray's own
        return getattr(self._core, name)

    def remove_object_ref_reference(self, reference: object) -> None:
        """Nothing: all objects go."""

    def remove_actor_handle_reference(self, actor_id: object) -> None:
        """Nothing: all actors go."""


def shut_down() -> None:
    """`ray.shutdown`, whatever other threads drop meanwhile."""
    from ray._private import worker

    process: Any = worker.global_worker
    if hasattr(process, "core_worker"):  # a Ray client has none
        process.core_worker = _Going(process.core_worker)
    ray.shutdown()
