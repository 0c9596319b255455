"""The Python of the pages that call `tune` runs as it stands there, on the services of these tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ray import cloudpickle

from tests.docs import session
from tests.docs_example import PAGES, README
from tests.s3_server import S3Server

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_api", "ray_address")]

RUN_HERE = [page for page in PAGES if page != README and session.calls_tune(page)]
"""README.md has tests of its own."""


@pytest.fixture
def bucket(s3: S3Server, s3_url: str) -> Iterator[None]:
    """`s3://bucket` is there, and empty."""
    bucket = s3.folder / "bucket"
    bucket.symlink_to(s3.folder / s3_url.removeprefix("s3://"))
    yield
    bucket.unlink()


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("page", RUN_HERE, ids=lambda page: page.name)
def test_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TUNE_FLOWS_STORAGE", str(tmp_path / "storage"))

    # the workers have been told where to import from before this page's files were there
    session.run(page, tmp_path, monkeypatch, on_module=cloudpickle.register_pickle_by_value)
