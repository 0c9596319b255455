"""Copies a checkpoint folder, so that its owner may change the original during the upload."""

import os
import shutil
from pathlib import Path

from tune_flows.core.errors import StorageError

__all__ = ["copy_folder"]


def copy_folder(source: Path, target: Path) -> None:
    """Copy the files and folders of `source` into the folder `target`; modes and times are not kept.

    Symbolic links are followed, because the copy may outlive their targets.

    Raises:
        StorageError: `source` is not a folder, or a link in it leads to a directory above the link.
        OSError: A file cannot be read, or there is no space for the copy.
    """
    if not source.is_dir():
        raise StorageError(f"{source}: expected a directory to store as checkpoint, found none.")
    for folder, _, names in os.walk(source, followlinks=True, onerror=_fail):
        if Path(folder).resolve() in [parent.resolve() for parent in Path(folder).parents]:
            raise StorageError(f"{folder}: a symbolic link to a directory above it; a checkpoint must end.")
        copy = target / Path(folder).relative_to(source)
        copy.mkdir(exist_ok=True)
        for name in names:
            shutil.copyfile(Path(folder, name), copy / name)


def _fail(error: OSError) -> None:
    raise error
