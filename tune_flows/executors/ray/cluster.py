"""The connection to Ray: joins a cluster, or starts one on this machine and stops it again.

A process has one connection at a time. Concurrent runs share it: the first one opens it, the last one closes
it.
"""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import ray
from ray.exceptions import AuthenticationError

from tune_flows.core.errors import ResourcesUnavailable
from tune_flows.executors.ray.workarounds import DeathNoticeFilter, shut_down

__all__ = ["Cluster"]

_ANSWER_S = 5.0
"""Seconds within which an address must accept a connection; `ray.init` itself tries for minutes."""
_DEFAULT_PORT = 6379
_DEFAULT_CLIENT_PORT = 10001


class _Connection:
    """This process's connection to Ray, as shared by the runs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        """Number of runs that use the connection at present, even if none of them opened it."""
        self.address: str | None = None
        """The address that was requested by the run that opened it."""
        self.thread: ThreadPoolExecutor | None = None
        """The thread on which a run opened the connection; None: no connection, or it existed before.

        On Linux, Ray's processes are killed when the thread that started them ends. So it must not be a
        thread of that run, which may end before the others.
        """
        self.death_notices = DeathNoticeFilter()

    def make(self, init: Callable[[], object], address: str | None) -> None:
        """Connect by calling `init` on a new thread, which is kept until `end`."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="ray")
        try:
            thread.submit(init).result()
        except BaseException:
            thread.shutdown(wait=False)
            raise
        if self.thread is None:
            self.death_notices.begin()
        self.thread, self.address = thread, address

    def end(self) -> None:
        """Leave the cluster, or stop the local Ray, if a run opened the connection."""
        thread, self.thread = self.thread, None
        if thread is not None:
            shut_down()
            self.death_notices.end()
            thread.shutdown(wait=False)


_connection = _Connection()


class Cluster:
    """One run's use of Ray.

    Args:
        address: `auto`, `host:port` or `ray://host:port` of a cluster to join; None: the Ray that this
            process is already connected to, or else a new one on this machine.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._is_connected = False
        self._lock = threading.Lock()

    def connect(self) -> None:
        """Join or start Ray, or share this process's existing connection.

        Raises:
            ResourcesUnavailable: Nothing answers at the address, or this process has joined another cluster.
        """
        with self._lock, _connection.lock:
            if ray.is_initialized():
                self._require_joined()
            else:
                _connection.make(self._init, self._address)
            self._is_connected = True
            _connection.users += 1

    def _init(self) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        with _quiet_environment(), _signals_left_alone():
            if self._address is None:
                ray.init(address="local", include_dashboard=False, **quiet)
            else:
                try:
                    ray.init(address=_answering(self._address), **quiet)
                except (OSError, RuntimeError, ValueError, AuthenticationError) as error:
                    raise self._refusal(f"Connecting failed: {error}") from error

    def nodes(self) -> list[Mapping[str, float]]:
        """Return the total resources of each node that is alive."""
        library: Any = ray  # `nodes` has no types
        return [node["Resources"] for node in library.nodes() if node["Alive"]]

    def disconnect(self) -> None:
        """Leave the cluster, or stop the Ray that a run started, once no other run uses it.

        A connection that existed before the first run is kept.
        """
        with self._lock:  # a `connect` that is no longer awaited may still be under way
            if not self._is_connected:
                return
            self._is_connected = False
            with _connection.lock:
                _connection.users -= 1
                if _connection.users == 0:
                    _connection.end()

    def _require_joined(self) -> None:
        """Raise `ResourcesUnavailable` if this process has joined another cluster than the requested one."""
        shared = _connection.address if _connection.thread is not None else None
        if self._address in (None, "auto", shared):
            return
        context: Any = ray.get_runtime_context()
        joined: str = context.gcs_address
        if self._address != joined:
            raise self._refusal(f"This process is connected to the Ray at {joined} already.")

    def _refusal(self, why: str) -> ResourcesUnavailable:
        return ResourcesUnavailable(
            f"ray_address: got {self._address!r}, expected the address of a running Ray cluster "
            f"('auto', 'host:port', 'ray://host:port') or None for a Ray of its own on this machine. {why}"
        )


def _answering(address: str) -> str:
    """Return the address in the form that `ray.init` expects, if something listens there."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    protocol, separator, place = address.rpartition("://")
    if address == "auto" or protocol not in ("", "ray"):
        return address
    parts = urlsplit(f"//{place}")
    target = parts.hostname or "", parts.port or (_DEFAULT_CLIENT_PORT if protocol else _DEFAULT_PORT)
    socket.create_connection(target, timeout=_ANSWER_S).close()
    at = place if parts.port else f"{place}:{target[1]}"
    if not os.environ.get("RAY_USE_TLS"):
        _require_grpc(at)
    return f"{protocol}{separator}{at}"


def _require_grpc(at: str) -> None:
    """Raise `TimeoutError` unless a gRPC server listens: Ray's do, its dashboard and most others do not."""
    import grpc

    library: Any = grpc  # it has no types
    with library.insecure_channel(at) as channel:
        try:
            library.channel_ready_future(channel).result(timeout=_ANSWER_S)
        except library.FutureTimeoutError as error:
            raise TimeoutError(f"What listens at {at} is no Ray.") from error


@contextlib.contextmanager
def _signals_left_alone() -> Generator[None]:
    """Disable Ray's crash handler, which aborts the process three seconds after a SIGTERM.

    Affects `ray.init` in this process only: the environment variable is read when Ray is imported.
    """
    from ray._private import ray_constants

    constants: Any = ray_constants
    before = constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER
    constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = True
    try:
        yield
    finally:
        constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = before


@contextlib.contextmanager
def _quiet_environment() -> Generator[None]:
    """Keep Ray's hints about its future defaults out of the user's terminal."""
    hints = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    added = {name: value for name, value in hints.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
