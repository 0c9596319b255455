"""Names with placeholders: one deployment, and a new experiment for each of its nights.

Rules of this module:

- What is filled in belongs to the flow run for good, so that a retry of the run gives the same name.
"""

import re
from datetime import UTC, datetime

from tune_flows.core.errors import InvalidParameter

__all__ = ["filled_in", "has_placeholders"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def has_placeholders(name: str) -> bool:
    """Whether there is something to fill in."""
    return _PLACEHOLDER.search(name) is not None


def filled_in(name: str, *, scheduled_for: datetime, flow_run_id: str) -> str:
    """The name with its placeholders replaced: `{date}`, `{datetime}` and `{flow_run_id}`.

    Args:
        name: Such as `churn-{date}`.
        scheduled_for: The time that the flow run was planned for, not the one at which it began. In the name
            it is UTC: `2026-11-23`, `2026-11-23T02-00-00`.
        flow_run_id: Of the run.

    Raises:
        InvalidParameter: Something else stands in braces. Final.
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
