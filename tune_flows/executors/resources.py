"""The resources of one trial, and how many trials a cluster can hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_flows.core.errors import InvalidParameter, ResourcesUnavailable

__all__ = ["Resources"]

_SHARE_DIGITS = 4
"""Ray counts fractions of a resource in steps of 0.0001."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources that a trial holds while it runs."""

    cpu: float = 1.0
    """Cores; a fraction lets several trials share one."""
    gpu: float = 0.0
    """Devices; a fraction lets several trials share one."""
    memory: float = 0.0
    """Bytes; 0: no memory is reserved."""
    custom: Mapping[str, float] = field(default_factory=dict[str, float])
    """The cluster's custom resources, by name."""

    @classmethod
    def parse(cls, value: Mapping[str, Any] | None) -> "Resources":
        """Parse amounts such as `{"cpu": 1, "gpu": 0.5, "memory": 2e9, "my_license": 1}`; None: one core.

        Raises:
            InvalidParameter: An amount is not a number of 0 or more, or all amounts are 0.
        """
        amounts = {"cpu": 1.0} if value is None else dict(value)
        for name, amount in amounts.items():
            if isinstance(amount, bool) or not isinstance(amount, int | float) or not amount >= 0:
                raise InvalidParameter.of(
                    f"resources_per_trial[{name!r}]", amount, "a number of 0 or more (bytes for memory)"
                )
            if name == "gpu" and amount > 1 and amount != int(amount):
                raise InvalidParameter.of(
                    "resources_per_trial['gpu']", amount, "a fraction of 1 or a whole number"
                )
        if not any(amounts.values()):
            raise InvalidParameter.of("resources_per_trial", value, "some amount above 0, such as {'cpu': 1}")
        known = {name: float(amounts.pop(name, 0)) for name in ("cpu", "gpu", "memory")}
        return cls(**known, custom={name: float(amount) for name, amount in amounts.items()})

    def by_name(self) -> dict[str, float]:
        """Return the requested amounts above 0, by the names that the cluster uses."""
        asked = {"CPU": self.cpu, "GPU": self.gpu, "memory": self.memory, **self.custom}
        return {name: amount for name, amount in asked.items() if amount > 0}

    def room(self, nodes: Iterable[Mapping[str, float]]) -> int:
        """Return the same as `slots`, but 0 if not even one trial fits."""
        asked = self.by_name()
        total = 0
        for node in nodes:
            shares = (round(node.get(name, 0.0) / amount, _SHARE_DIGITS) for name, amount in asked.items())
            total += int(min(shares))
        return total

    def slots(self, nodes: Iterable[Mapping[str, float]]) -> int:
        """Return how many trials the nodes can hold together; a trial never spans two nodes.

        Args:
            nodes: Total resources of each node, by the cluster's names.

        Raises:
            ResourcesUnavailable: No node can hold even one trial.
        """
        nodes = list(nodes)
        asked = self.by_name()
        total = self.room(nodes)
        if total == 0:
            relevant = [{name: node.get(name, 0.0) for name in asked} for node in nodes]
            raise ResourcesUnavailable(
                f"resources_per_trial: a trial asks for {asked}, but no node can ever hold that. "
                f"The cluster's {len(nodes)} node(s) have {relevant}. Ask for less, or add a larger node."
            )
        return total
