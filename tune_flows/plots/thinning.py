"""Selects what a plot shows if there is too much data, and formats the note about it."""

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["best_and_others", "out_of", "thinned"]

Item = TypeVar("Item")


def thinned(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most `most` (2 or more) items, evenly spread, including the first and the last."""
    if len(items) <= most:
        return list(items)
    last = len(items) - 1
    return [items[round(i * last / (most - 1))] for i in range(most)]


def best_and_others(ranked: Sequence[Item], most: int) -> list[Item]:
    """Return at most `most` items of a best-first list: half are the best, half are spread over the rest."""
    if len(ranked) <= most:
        return list(ranked)
    best = most // 2
    return [*ranked[:best], *thinned(ranked[best:], most - best)]


def out_of(shown: int, there_are: int, what: str) -> str:
    """Return a text such as "10 of 25 trials"."""
    plural = what if there_are == 1 else f"{what}s"
    return f"{there_are:,} {plural}" if shown >= there_are else f"{shown:,} of {there_are:,} {plural}"
