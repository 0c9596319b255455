"""What a picture shows where there is too much for it, and how it says so."""

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["best_and_others", "out_of", "thinned"]

Item = TypeVar("Item")


def thinned(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` (2 or more) of the items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    last = len(items) - 1
    return [items[round(i * last / (most - 1))] for i in range(most)]


def best_and_others(ranked: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of what is sorted, the best first: half are the best ones, half evenly the others."""
    if len(ranked) <= most:
        return list(ranked)
    best = most // 2
    return [*ranked[:best], *thinned(ranked[best:], most - best)]


def out_of(shown: int, there_are: int, what: str) -> str:
    """How many of how many are shown."""
    plural = what if there_are == 1 else f"{what}s"
    return f"{there_are:,} {plural}" if shown >= there_are else f"{shown:,} of {there_are:,} {plural}"
