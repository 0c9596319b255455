from tests.docs_example import DOCS, example
from tune_flows.search import SEARCH_ALGS, SearchAlg, parse_search_alg
from tune_flows.testing.search_alg import SearchAlgConformance

PAGE = example("search.md")


class TestExample(SearchAlgConformance):
    def make(self) -> SearchAlg:
        return PAGE.HeirSearch(share=0.7)


def test_the_example_has_a_json_form() -> None:
    form = {"type": "example_of_search:HeirSearch", "share": 0.7}
    assert parse_search_alg(form) == PAGE.HeirSearch(share=0.7)
    assert PAGE.HeirSearch(share=0.7).to_config() == form


def test_every_kind_is_documented_with_every_field_and_default() -> None:
    text = (DOCS / "search.md").read_text("utf-8")
    for kind in SEARCH_ALGS.values():
        section = text.split(f"## {kind.__name__}\n")[1].split("\n## ")[0]
        for name, field in kind.model_fields.items():
            if name != "type":
                assert f"| `{name}` |" in section, f"{kind.__name__}.{name}"
                assert str(field.default) in section.split(f"| `{name}` |")[1].split("|")[0], (
                    f"{kind.__name__}.{name}"
                )
