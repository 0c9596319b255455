"""Follows a cluster whose nodes come and go: how many trials fit at present."""

import asyncio
import logging
from collections.abc import Callable

from tune_flows.executors.bundles import Bundles
from tune_flows.executors.ray.cluster import Cluster
from tune_flows.executors.resources import Resources

__all__ = ["CapacityWatch"]

_log = logging.getLogger(__name__)

_LOOK_S = 2.0
"""Seconds between two looks at the cluster's nodes."""


class CapacityWatch:
    """Looks at the nodes every few seconds.

    Args:
        cluster: Connected by the time of `start`.
        resources: What each trial holds.
        tell: Called, in the event loop, with the number of trials that fit, when it has changed.
    """

    def __init__(self, cluster: Cluster, resources: Resources | Bundles, tell: Callable[[int], None]) -> None:
        self._cluster = cluster
        self._resources = resources
        self._tell = tell
        self._task: asyncio.Task[None] | None = None

    def start(self, slots: int) -> None:
        """Begin; `slots` trials are known to fit."""
        self._task = asyncio.create_task(self._look(slots))

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _look(self, slots: int) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                nodes = await asyncio.to_thread(self._cluster.nodes)
            except Exception as error:  # Ray's head does not answer; what that means for workers, they tell
                _log.debug("the cluster's nodes are not known at present: %r", error)
                continue
            before, slots = slots, self._resources.room(nodes)
            if slots == before:
                continue
            if slots == 0:
                _log.warning("The cluster has no room for any trial at present: they wait for a node.")
            self._tell(slots)
