"""Tracks how many trials fit on a cluster whose nodes come and go."""

import asyncio
import logging
from collections.abc import Callable

from tune_flows.executors.bundles import Bundles
from tune_flows.executors.ray.cluster import Cluster
from tune_flows.executors.resources import Resources

__all__ = ["CapacityWatch"]

_log = logging.getLogger(__name__)

_LOOK_S = 2.0
"""Seconds between two checks of the cluster's nodes."""


class CapacityWatch:
    """Checks every few seconds how many trials fit on the cluster's nodes.

    Args:
        cluster: The cluster; must be connected before `start`.
        resources: Resources that each trial holds.
        tell: Called in the event loop with the number of trials that fit, whenever it has changed.
    """

    def __init__(self, cluster: Cluster, resources: Resources | Bundles, tell: Callable[[int], None]) -> None:
        self._cluster = cluster
        self._resources = resources
        self._tell = tell
        self._task: asyncio.Task[None] | None = None

    def start(self, slots: int) -> None:
        """Start checking; `slots` is the number of trials known to fit."""
        self._task = asyncio.create_task(self._look(slots))

    async def stop(self) -> None:
        """Stop checking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _look(self, slots: int) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                nodes = await asyncio.to_thread(self._cluster.nodes)
            except Exception as error:  # Ray's head does not answer; lost workers report themselves
                _log.debug("the cluster's nodes are not known at present: %r", error)
                continue
            before, slots = slots, self._resources.room(nodes)
            if slots == before:
                continue
            if slots == 0:
                _log.warning("The cluster has no room for any trial at present: they wait for a node.")
            self._tell(slots)
