"""Resolve what a caller passes as a storage: a folder, a URL or an ExperimentStorage block.

Blocks belong to Prefect, which the layers below the tasks do not import: a block object is used through the
`StorageSource` protocol, and only the name of a block (`block:lake`) makes this module load Prefect.
"""

import importlib
import os
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

from tune_flows.core.errors import InvalidParameter
from tune_flows.store.access import ENVIRONMENT, StorageAccess
from tune_flows.store.locations import BLOCK_PREFIX, STORAGE_VARIABLE, resolve_storage

__all__ = ["Location", "StorageSource", "locate", "locate_experiment"]

_BLOCKS = "tune_flows.tasks.blocks"
"""The module that loads blocks; imported by name on demand, so that only block users need Prefect."""


@dataclass(frozen=True, slots=True)
class Location:
    """A resolved storage: an absolute path or a URL, and the options for access to it."""

    url: str
    access: StorageAccess = ENVIRONMENT


@runtime_checkable
class StorageSource(Protocol):
    """An object that describes a storage, such as an ExperimentStorage block."""

    def location(self) -> Location:
        """Return the URL and the access options of the storage."""
        ...


_unsaved: dict[str, StorageAccess] = {}
"""By URL: access options of storages passed to this process as unsaved blocks, which have no name to load."""


def locate(storage: object, *, parameter: str = "storage_path") -> Location:
    """Resolve a storage given by a caller.

    Args:
        storage: A folder, a URL, `block:NAME` (with `/folder` after it for a folder in it), a block object;
            None or an empty string means the variable TUNE_FLOWS_STORAGE, else `~/.tune_flows`.
        parameter: The name of the caller's parameter, for the error message.

    Raises:
        InvalidParameter: `storage` is not a valid storage, or the block does not exist. Final.
    """
    if isinstance(storage, StorageSource):
        location = storage.location()
        if location.access.block is None and not location.access.is_default:
            _unsaved[location.url] = location.access
        return location
    if storage is not None and not isinstance(storage, str | os.PathLike):
        raise InvalidParameter(  # without its value, which may hold a secret
            f"{parameter}: got a {type(storage).__name__}, expected a folder, a URL, 'block:NAME' or an "
            'ExperimentStorage; as JSON {"$ref": {"block_document_slug": "experiment-storage/NAME"}}.'
        )
    given = "" if storage is None else os.fspath(cast("str | os.PathLike[str]", storage))
    given = given or os.environ.get(STORAGE_VARIABLE) or ""
    if not given.startswith(BLOCK_PREFIX):
        return Location(resolve_storage(given, parameter=parameter))
    name, _, inside = given.removeprefix(BLOCK_PREFIX).partition("/")
    location = _load_block(name, parameter)
    if not inside.strip("/"):
        return location
    return Location(resolve_storage(f"{location.url}/{inside}", parameter=parameter), location.access)


def locate_experiment(url: str, storage: object = None, *, parameter: str = "url") -> Location:
    """Resolve the URL of an experiment, with the access options of a block.

    Args:
        url: The URL of the experiment; `block:NAME/experiment` needs no `storage`.
        storage: Name of a block, or a block object. None: the unsaved block that this process was given
            earlier for a storage containing the URL, else the settings of the environment.
        parameter: The name of the caller's parameter for the URL, for the error message.

    Raises:
        InvalidParameter: The URL is not valid, or the block does not exist. Final.
    """
    location = locate(url, parameter=parameter)
    if isinstance(storage, str):
        name = storage.removeprefix(BLOCK_PREFIX)
        return Location(location.url, _load_block(name, "storage").access)
    if storage is not None:
        return Location(location.url, locate(storage, parameter="storage").access)
    if location.access.is_default:
        for place in sorted(_unsaved, key=len, reverse=True):
            if f"{location.url}/".startswith(f"{place}/"):
                return Location(location.url, _unsaved[place])
    return location


def _load_block(name: str, parameter: str) -> Location:
    try:
        blocks = importlib.import_module(_BLOCKS)
    except ImportError as error:
        raise InvalidParameter.of(
            parameter, f"{BLOCK_PREFIX}{name}", "Prefect to be installed, which holds blocks", f"{error}."
        ) from error
    return blocks.load_location(name, parameter=parameter)
