"""A specification: the parameters of `tune` in a YAML, TOML or JSON file.

Its keys are the names of the parameters; their values are as in a deployment. No code in it is evaluated.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tune_flows.core.errors import InvalidParameter

__all__ = ["SUFFIXES", "read_spec"]

SUFFIXES = (".yaml", ".yml", ".toml", ".json")
# The floats of YAML 1.2: in version 1.1, which PyYAML implements, 1e-5 is text.
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*)?\.[0-9_]+(?:[eE][-+]?[0-9]+)?$|[-+]?[0-9][0-9_]*\.?[eE][-+]?[0-9]+$"
    r"|[-+]?[0-9][0-9_]*\.$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)


def read_spec(path: Path) -> dict[str, Any]:
    """Return the parameters in the file, by name.

    Raises:
        InvalidParameter: The file cannot be read, has a syntax error, or is not a mapping. Final.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"{path}: cannot be read: {error}") from error
    try:
        content = _parsed(text, path.suffix.lower())
    except ValueError as error:
        raise InvalidParameter(f"{path}: {error}") from error
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise InvalidParameter(
            f"{path}: got {kind}, expected the parameters of tune by name, `trainable: ...`"
        )
    return {str(key): value for key, value in cast("Mapping[object, Any]", content).items()}


def _parsed(text: str, suffix: str) -> object:
    """Parse a text in the format of `suffix`; raise ValueError if it is malformed."""
    if suffix == ".json":
        return json.loads(text, object_pairs_hook=_without_doubles)
    return tomllib.loads(text) if suffix == ".toml" else _yaml(text)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{double!r} is there twice")
    return found


def _yaml(text: str) -> object:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML loader without tags that run code, with YAML 1.2 floats and without duplicate keys."""

    def mapping(loader: Loader, node: yaml.MappingNode) -> dict[Any, Any]:
        # checked before merge keys (<<) are expanded, as a mapping may override those
        _without_doubles([(str(key.value), None) for key, _ in node.value])
        return loader.construct_mapping(node, deep=True)

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
