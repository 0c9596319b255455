"""Experiment names with placeholders, so that each run of a deployment is a new experiment.

Rules of this module:

- The values filled in are fixed for a flow run, so that a retry of the run gives the same name.
"""

import re
from datetime import UTC, datetime

from tune_flows.core.errors import InvalidParameter

__all__ = ["filled_in", "has_placeholders"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def has_placeholders(name: str) -> bool:
    """Return whether `name` contains placeholders."""
    return _PLACEHOLDER.search(name) is not None


def filled_in(name: str, *, scheduled_for: datetime, flow_run_id: str) -> str:
    """Replace the placeholders `{date}`, `{datetime}` and `{flow_run_id}` in `name`.

    Args:
        name: Name with placeholders, such as `churn-{date}`.
        scheduled_for: Scheduled time of the flow run, not its actual start. It appears in the name in UTC:
            `2026-11-23`, `2026-11-23T02-00-00`.
        flow_run_id: Id of the flow run.

    Raises:
        InvalidParameter: There is another placeholder in `name`. Final.
    """
    at = scheduled_for.astimezone(UTC)
    values = {
        "date": f"{at:%Y-%m-%d}",
        "datetime": f"{at:%Y-%m-%dT%H-%M-%S}",
        "flow_run_id": flow_run_id,
    }

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            known = ", ".join(f"{{{placeholder}}}" for placeholder in values)
            raise InvalidParameter.of("name", name, f"no placeholders but {known}")
        return values[found[1]]

    return _PLACEHOLDER.sub(value, name)
