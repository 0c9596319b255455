"""Import paths `package.module:name`, by which JSON refers to functions and classes.

Rules of this module:

- A path is looked up, never evaluated.
- Importing a module runs its code. So `tune_flows.core.allowed` checks the path before the import, and the
  object found there after it.
"""

import importlib
import pkgutil
import sys

from tune_flows.core.allowed import require_allowed, require_allowed_object
from tune_flows.core.invalid_value import InvalidValue, closest

__all__ = ["import_object", "path_of"]


def import_object(path: str, expected: str) -> object:
    """Import and return the object at `path`.

    Args:
        path: `package.module:name` or `package.module.name`; after a colon the name may contain dots.
        expected: Description of a valid value, for the error.

    Raises:
        InvalidValue: The path is not allowed or does not exist, or importing its module failed.
    """
    module_name, colon, name = path.partition(":")
    if not colon:
        module_name, _, name = path.rpartition(".")
    if not module_name or not name:
        raise InvalidValue(path, expected)
    require_allowed(f"{module_name}:{name}")
    try:
        found: object = importlib.import_module(module_name)
    except Exception as error:  # the user's module may raise anything
        near = _near_module(module_name) if isinstance(error, ModuleNotFoundError) else ""
        hint = f"Importing {module_name} failed: {type(error).__name__}: {error}. {near}".rstrip()
        raise InvalidValue(path, expected, hint) from error
    for part in name.split("."):
        if not hasattr(found, part):
            near = closest(part, [known for known in dir(found) if not known.startswith("_")])
            raise InvalidValue(path, expected, f"{module_name} has no {name!r}. {near}".rstrip())
        found = getattr(found, part)
    require_allowed_object(f"{module_name}:{name}", found)
    return found


def path_of(target: object) -> str:
    """Return the import path of `target`; if it cannot be imported, a description that contains `<`."""
    module = getattr(target, "__module__", None) or type(target).__module__
    name = getattr(target, "__qualname__", None)
    if name is None:
        return f"{module}:<{type(target).__qualname__}>"
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found == target or "<" in name else f"{module}:<{name}>"


def _near_module(module_name: str) -> str:
    parent, _, last = module_name.rpartition(".")
    try:
        search = list(importlib.import_module(parent).__path__) if parent else None
    except Exception:  # no modules to suggest; the caller reports the original error
        return ""
    return closest(last, [module.name for module in pkgutil.iter_modules(search)])
