"""Resources of trials that start workers themselves: several bundles, placed together.

Each worker gets a Ray placement group: the trainable runs in the first bundle, what it starts in the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from tune_flows.core.errors import InvalidParameter, ResourcesUnavailable
from tune_flows.executors.resources import Resources

__all__ = ["Bundles", "Strategy", "parse_resources"]

Strategy = Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"]
"""PACK: together on few nodes; SPREAD: apart on many; the STRICT_ variants: exactly so, or not at all."""

_PARAMETER = "resources_per_trial"
_TOLERANCE = 1e-6
"""Smaller than Ray's resource steps of 0.0001."""


@dataclass(frozen=True, slots=True)
class Bundles:
    """Bundles of resources that a trial holds together while it runs."""

    bundles: tuple[Resources, ...]
    """The trainable runs in the first one."""
    strategy: Strategy = "PACK"

    def by_name(self) -> dict[str, float]:
        """Return what all bundles request together, by the names that the cluster uses."""
        total: dict[str, float] = {}
        for bundle in self.bundles:
            for name, amount in bundle.by_name().items():
                total[name] = total.get(name, 0.0) + amount
        return total

    def room(self, nodes: Iterable[Mapping[str, float]]) -> int:
        """Return how many trials the nodes can hold together.

        Args:
            nodes: Total resources of each node, by the cluster's names.
        """
        left, count = [dict(node) for node in nodes], 0
        while self._place(left):
            count += 1
        return count

    def slots(self, nodes: Iterable[Mapping[str, float]]) -> int:
        """Return the same as `room`, but never 0.

        Raises:
            ResourcesUnavailable: There is no room for even one trial.
        """
        nodes = list(nodes)
        total = self.room(nodes)
        if total == 0:
            asked = [bundle.by_name() for bundle in self.bundles]
            have = [{name: node.get(name, 0.0) for name in self.by_name()} for node in nodes]
            raise ResourcesUnavailable(
                f"{_PARAMETER}: a trial asks for the bundles {asked} with {self.strategy}, but the "
                f"cluster can never hold that. Its {len(nodes)} node(s) have {have}. Ask for less, or add "
                "nodes."
            )
        return total

    def _place(self, nodes: Sequence[dict[str, float]]) -> bool:
        """Subtract one trial's bundles from the nodes' resources; return whether they fit."""
        if self.strategy == "STRICT_PACK":
            asked = self.by_name()
            home = next((node for node in nodes if _fits(asked, node)), None)
            if home is not None:
                _take(asked, home)
            return home is not None
        used: list[int] = []
        for bundle in self.bundles:
            asked = bundle.by_name()
            fitting = [i for i in self._order(used, len(nodes)) if _fits(asked, nodes[i])]
            if not fitting:
                return False
            used.append(fitting[0])
            _take(asked, nodes[fitting[0]])
        return True

    def _order(self, used: Sequence[int], count: int) -> list[int]:
        """Return the indices of the nodes for the next bundle, in the order that the strategy prefers."""
        fresh = [i for i in range(count) if i not in used]
        if self.strategy == "STRICT_SPREAD":
            return fresh
        known = list(dict.fromkeys(used))
        return [*fresh, *known] if self.strategy == "SPREAD" else [*known, *fresh]


def parse_resources(value: object) -> Resources | Bundles:
    """Parse amounts by name, a list of them, or `{"bundles": [...], "strategy": "PACK"}`; None: one core.

    Raises:
        InvalidParameter: The value is none of these, or an amount is invalid.
    """
    strategy: object = "PACK"
    if isinstance(value, Mapping) and "bundles" in value:
        given = dict(cast("Mapping[str, Any]", value))
        value, strategy = given.pop("bundles"), given.pop("strategy", "PACK")
        if given or not isinstance(value, list):
            expected = '{"bundles": [{"cpu": 1}, ...], "strategy": "PACK"}'
            raise InvalidParameter.of(_PARAMETER, given or value, expected)
    if strategy not in get_args(Strategy):
        raise InvalidParameter.of(
            f"{_PARAMETER}['strategy']", strategy, f"one of {', '.join(get_args(Strategy))}"
        )
    if isinstance(value, list):
        listed = cast("list[Any]", value)
        if not listed or not all(isinstance(bundle, Mapping) for bundle in listed):
            raise InvalidParameter.of(
                _PARAMETER, listed, "bundles such as [{'cpu': 1}, {'cpu': 2, 'gpu': 1}]"
            )
        return Bundles(tuple(map(Resources.parse, listed)), cast("Strategy", strategy))
    if value is not None and not isinstance(value, Mapping):
        raise InvalidParameter.of(_PARAMETER, value, "amounts such as {'cpu': 1}, or a list of such bundles")
    return Resources.parse(cast("Mapping[str, Any] | None", value))


def _fits(asked: Mapping[str, float], node: Mapping[str, float]) -> bool:
    return all(node.get(name, 0.0) >= amount - _TOLERANCE for name, amount in asked.items())


def _take(asked: Mapping[str, float], node: dict[str, float]) -> None:
    for name, amount in asked.items():
        node[name] -= amount
