"""List the experiments at a storage URL, to suggest names when the requested one does not exist there."""

from difflib import SequenceMatcher

from tune_flows.store.access import ENVIRONMENT, StorageAccess
from tune_flows.store.header import HEADER_KEY
from tune_flows.store.objects import ObjectStore

__all__ = ["experiments_in"]

_ASKED_PER_FOUND = 4


def experiments_in(
    url: str, *, access: StorageAccess = ENVIRONMENT, like: str = "", at_most: int = 5
) -> list[str]:
    """Return names of experiments directly below a storage URL, those most similar to `like` first.

    Costs one LIST of the names in the folder and a few GETs; nothing is retried.

    Raises:
        StorageError: The storage refused or did not answer.
    """
    store = ObjectStore(url, access=access, retry_budget_s=0)
    names = store.folders()
    names.sort(key=lambda name: SequenceMatcher(None, name, like).ratio(), reverse=True)
    asked = names[: at_most * _ASKED_PER_FOUND]
    return [name for name in asked if store.get(f"{name}/{HEADER_KEY}") is not None][:at_most]
