"""Objects by their import path, `package.module:name`: how JSON names functions and classes."""

import importlib
import pkgutil

from tune_flows.core.rejection import Rejected, closest

__all__ = ["import_object"]


def import_object(path: str, expected: str) -> object:
    """What stands at `path`.

    Args:
        path: `package.module:name`, or `package.module.name`; the name may be dotted after a colon.
        expected: What should have been there, for the error.

    Raises:
        Rejected: There is no such thing, or importing its module failed.
    """
    module_name, colon, name = path.partition(":")
    if not colon:
        module_name, _, name = path.rpartition(".")
    if not module_name or not name:
        raise Rejected(path, expected)
    try:
        found: object = importlib.import_module(module_name)
    except Exception as error:  # the user's module may raise anything
        near = _near_module(module_name) if isinstance(error, ModuleNotFoundError) else ""
        hint = f"Importing {module_name} failed: {type(error).__name__}: {error}. {near}".rstrip()
        raise Rejected(path, expected, hint) from error
    for part in name.split("."):
        if not hasattr(found, part):
            near = closest(part, [known for known in dir(found) if not known.startswith("_")])
            raise Rejected(path, expected, f"{module_name} has no {name!r}. {near}".rstrip())
        found = getattr(found, part)
    return found


def _near_module(module_name: str) -> str:
    parent, _, last = module_name.rpartition(".")
    try:
        search = list(importlib.import_module(parent).__path__) if parent else None
    except Exception:  # then there is nothing to compare with; the first error is the one to tell
        return ""
    return closest(last, [module.name for module in pkgutil.iter_modules(search)])
