from tests.docs_example import DOCS, example
from tune_flows.schedulers import SCHEDULERS, TrialScheduler, parse_scheduler
from tune_flows.testing.scheduler import TrialSchedulerConformance

PAGE = example("schedulers.md")


class TestExample(TrialSchedulerConformance):
    def make(self) -> TrialScheduler:
        return PAGE.MedianCut(every=3)


def test_the_example_has_a_json_form() -> None:
    form = {"type": "example_of_schedulers:MedianCut", "every": 3}
    assert parse_scheduler(form) == PAGE.MedianCut(every=3)
    assert PAGE.MedianCut(every=3).to_config() == form


def test_every_kind_is_documented_with_every_field_and_default() -> None:
    text = (DOCS / "schedulers.md").read_text("utf-8")
    for kind in SCHEDULERS.values():
        section = text.split(f"## {kind.__name__}\n")[-1].split("\n## ")[0]
        for name, field in kind.model_fields.items():
            if name != "type":
                assert f"| `{name}` |" in section, f"{kind.__name__}.{name}"
                assert str(field.default) in section.split(f"| `{name}` |")[1].split("|")[0], (
                    f"{kind.__name__}.{name}"
                )
