"""Settings that several runs make at the same time."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from tune_flows.tasks.refcounted import refcounted


class Setting:
    """Keeps a value, which runs change while they need it."""

    def __init__(self) -> None:
        self.value = "before"
        self.made = 0

    @contextmanager
    def changed(self) -> Generator[None]:
        before, self.value = self.value, "changed"
        self.made += 1
        try:
            yield
        finally:
            self.value = before


def test_it_is_made_once_and_undone_by_the_last():
    setting = Setting()
    changed = refcounted(setting.changed)
    first, second = changed(), changed()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert setting.value == "changed"
    second.__exit__(None, None, None)
    assert setting.value == "before"
    assert setting.made == 1


def test_it_is_undone_after_an_error():
    setting = Setting()
    changed = refcounted(setting.changed)

    def fail() -> None:
        with changed():
            raise ValueError(setting.value)

    with pytest.raises(ValueError, match="changed"):
        fail()
    assert setting.value == "before"


def test_one_that_cannot_be_made_is_tried_by_the_next():
    tried: list[bool] = []

    @refcounted
    @contextmanager
    def fails_once() -> Generator[None]:
        tried.append(True)
        if len(tried) == 1:
            raise OSError("no")
        yield

    with pytest.raises(OSError, match="no"), fails_once():
        pass
    with fails_once():
        assert len(tried) == 2
