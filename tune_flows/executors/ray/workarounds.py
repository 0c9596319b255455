"""Workarounds for faults of Ray itself, each with the version that shows it; to be removed with the fault."""

from typing import Any

import ray

__all__ = ["DeathNoticeFilter", "shut_down"]

_DIED = "A worker died or was killed while executing a task"


class DeathNoticeFilter:
    """Keeps Ray's notices of dead workers off the driver's console between `begin` and `end`.

    `log_to_driver=False` suppresses the workers' output, but not the notice that a worker has died (seen in
    Ray 2.60.0; the notice goes back to ray-project/ray#318). Here a dead worker is a fault of a trial, whose
    task run logs it with the worker's last lines. All other lines reach the console.
    """

    def __init__(self) -> None:
        self._original: Any = None

    def begin(self) -> None:
        """Start filtering."""
        from ray._private import worker

        library: Any = worker
        original = library.print_to_stdstream

        def print_others(data: Any, ignore_prefix: Any = None) -> None:  # noqa: ANN401 - Ray's own
            if not any(_DIED in str(line) for line in data.get("lines", ())):
                original(data, ignore_prefix)

        library.print_to_stdstream, self._original = print_others, original

    def end(self) -> None:
        """Restore Ray's own function; does nothing if the filter is not active."""
        from ray._private import worker

        library: Any = worker
        if self._original is not None:
            library.print_to_stdstream, self._original = self._original, None


class _ClosingCoreWorker:
    """Ray's core worker while it shuts down: dropped references are ignored."""

    def __init__(self, core: Any) -> None:  # noqa: ANN401 - Ray's own
        self._core = core

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - Ray's own
        return getattr(self._core, name)

    def remove_object_ref_reference(self, reference: object) -> None:
        """Do nothing: all objects are released anyway."""

    def remove_actor_handle_reference(self, actor_id: object) -> None:
        """Do nothing: all actors end anyway."""


def shut_down() -> None:
    """Call `ray.shutdown` so that other threads may drop references meanwhile.

    `ObjectRef.__dealloc__` calls Ray's core without checking that it still exists. A reference that the
    garbage collector drops on any thread between the core's destruction and the end of `ray.shutdown`
    therefore ends the process at once (seen in Ray 2.60.0; the check that fails is that of
    ray-project/ray#19598). Tracebacks of faults hold references, so this happens in practice.
    """
    from ray._private import worker

    process: Any = worker.global_worker
    if hasattr(process, "core_worker"):  # a Ray client has none
        process.core_worker = _ClosingCoreWorker(process.core_worker)
    ray.shutdown()
