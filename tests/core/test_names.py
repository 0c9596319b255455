from datetime import UTC, datetime, timedelta, timezone

import pytest

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.names import filled_in, has_placeholders

AT = datetime(2026, 11, 23, 2, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("churn-{date}", "churn-2026-11-23"),
        ("{datetime}.churn", "2026-11-23T02-00-30.churn"),
        ("churn-{date}-{flow_run_id}", "churn-2026-11-23-f5"),
        ("churn", "churn"),
    ],
)
def test_what_is_filled_in(name: str, expected: str):
    assert filled_in(name, scheduled_for=AT, flow_run_id="f5") == expected
    assert has_placeholders(name) is (name != expected)


def test_the_date_is_that_of_utc():
    evening = AT.astimezone(timezone(timedelta(hours=-5)))
    assert evening.day == 22
    assert filled_in("{date}", scheduled_for=evening, flow_run_id="") == "2026-11-23"


@pytest.mark.parametrize("name", ["churn-{day}", "churn-{}", "{date:%Y}", "{flow_run_id.__class__}", "{0}"])
def test_no_other_placeholder(name: str):
    with pytest.raises(InvalidParameter, match=r"name: got .* expected no placeholders but \{date\}"):
        filled_in(name, scheduled_for=AT, flow_run_id="f5")
