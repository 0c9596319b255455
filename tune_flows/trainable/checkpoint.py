"""Checkpoints for user code.

A dict is stored in a folder as one file: `checkpoint.tune_flows.json` if JSON reproduces the dict exactly
(`$float` marks NaN and infinities, see `tune_flows.core.json_values`), else `checkpoint.tune_flows.pkl`
(pickle).
"""

import copy
import json
import pickle
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from tune_flows.core.errors import InvalidParameter, UserError
from tune_flows.core.json_values import from_json, to_json

__all__ = ["Checkpoint"]

_JSON_FILE = "checkpoint.tune_flows.json"
_PICKLE_FILE = "checkpoint.tune_flows.pkl"


class Checkpoint:
    """The state of a training run to resume from: a folder (`from_directory`) or a dict (`from_dict`)."""

    def __init__(self, *, directory: Path | None = None, data: dict[str, Any] | None = None) -> None:
        if (directory is None) == (data is None):
            raise InvalidParameter("Checkpoint: expected exactly one of `directory` and `data`.")
        self._directory = directory
        self._data = data

    @classmethod
    def from_directory(cls, path: str | Path) -> "Checkpoint":
        """Create a checkpoint from the folder `path`, whose files are copied when it is reported.

        Raises:
            InvalidParameter: The folder does not exist.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise InvalidParameter.of("Checkpoint.from_directory(path)", str(path), "an existing folder")
        return cls(directory=folder)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Checkpoint":
        """Create a checkpoint from `data`: JSON values, or anything that can be pickled.

        Raises:
            InvalidParameter: `data` is not a mapping.
        """
        if not isinstance(data, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidParameter.of("Checkpoint.from_dict(data)", data, "a dict")
        return cls(data=dict(data))

    @property
    def path(self) -> Path | None:
        """The folder; None for a dict that has not been stored."""
        return self._directory

    @property
    def is_dict(self) -> bool:
        """Whether the checkpoint is a dict, so that `to_dict` returns it."""
        return self._data is not None or self._file() is not None

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of the dict that the checkpoint was created from.

        Raises:
            UserError: The checkpoint was created from a folder.
        """
        if self._data is not None:
            return copy.deepcopy(self._data)
        file = self._file()
        if file is None:
            raise UserError(
                f"checkpoint {self._directory}: got a folder, expected one made by Checkpoint.from_dict. "
                "Use as_directory()."
            )
        if file.name == _PICKLE_FILE:
            return pickle.loads(file.read_bytes())
        return from_json(json.loads(file.read_text("utf-8")))

    @contextmanager
    def as_directory(self) -> Generator[Path, None, None]:
        """Provide the checkpoint as a folder to read; that of a dict is removed at the end of the block."""
        if self._directory is not None:
            yield self._directory
            return
        with tempfile.TemporaryDirectory(prefix="checkpoint-") as folder:
            self.write_to(Path(folder))
            yield Path(folder)

    def write_to(self, folder: Path) -> None:
        """Write the file of a dict checkpoint into `folder`; do nothing for a folder checkpoint."""
        for name, content in self.as_files().items():
            (folder / name).write_bytes(content)

    def as_files(self) -> dict[str, bytes]:
        """Return name and content of a dict checkpoint's file; an empty dict for a folder checkpoint."""
        if self._data is None:
            return {}
        if _survives_json(self._data):
            text = json.dumps(to_json(self._data), allow_nan=False, separators=(",", ":"))
            return {_JSON_FILE: text.encode()}
        return {_PICKLE_FILE: pickle.dumps(self._data, protocol=pickle.HIGHEST_PROTOCOL)}

    def __repr__(self) -> str:
        if self._directory is not None:
            return f"Checkpoint.from_directory({str(self._directory)!r})"
        return f"Checkpoint.from_dict(<{len(self._data or ())} keys>)"

    def _file(self) -> Path | None:
        names = (_JSON_FILE, _PICKLE_FILE)
        files = (self._directory / name for name in names) if self._directory is not None else ()
        return next((file for file in files if file.is_file()), None)


def _survives_json(value: Any) -> bool:  # noqa: ANN401 - whatever the user checkpoints
    """Return whether JSON reproduces `value` exactly: no tuples, no integer keys, no subclasses."""
    if type(value) is dict:
        items = cast("dict[Any, Any]", value)  # a user's own `$float` key would be read as a number
        return all(type(k) is str and k != "$float" and _survives_json(v) for k, v in items.items())
    if type(value) is list:
        return all(map(_survives_json, cast("list[Any]", value)))
    return value is None or type(value) in (bool, int, float, str)  # pyright: ignore[reportUnknownArgumentType]
