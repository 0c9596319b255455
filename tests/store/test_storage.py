"""What may be named as a storage, but for saved blocks, which take a Prefect API."""

from pathlib import Path

import pytest

from tune_flows.core.errors import InvalidParameter
from tune_flows.store import Location, StorageAccess, locate, locate_experiment, resolve_storage

SECRET = "hunter2-hunter2"


class Block:
    """Stands for a storage."""

    def __init__(self, url, name=None):
        self.place = Location(url, StorageAccess({"secret": SECRET}, block=name))

    def location(self):
        return self.place


@pytest.mark.parametrize("given", ["/data", Path("/data"), "file:///data/"])
def test_a_folder(given):
    assert locate(given) == Location("/data")


def test_none_is_the_variable(monkeypatch):
    monkeypatch.setenv("TUNE_FLOWS_STORAGE", "s3://bucket/from-env/")

    assert locate(None).url == locate("").url == "s3://bucket/from-env"


@pytest.mark.parametrize("given", [7, {"url": "s3://b", "secret": SECRET}, b"/data"])
def test_what_is_no_storage_is_not_repeated(given):
    with pytest.raises(InvalidParameter, match=f"storage_path: got a {type(given).__name__}, exp") as caught:
        locate(given)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://AKIA:{SECRET}@bucket/x",
        f"S3A://AKIA:with/slash/{SECRET}@bucket",
        f"sftp://me:{SECRET}@host/x",
        f"s3://bucket/x?secret={SECRET}",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url):
    with pytest.raises(InvalidParameter, match="storage_path: got") as caught:
        resolve_storage(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["memory://container@account/x", "s3://arn:aws:s3:eu:1:accesspoint/a", "/a:b@c"]
)
def test_other_urls_may_have_such_characters(url):
    assert resolve_storage(url) == url


def test_an_object_brings_its_access():
    saved = Block("s3://lake/tuning", "lake")

    assert locate(saved) is saved.place
    place = locate_experiment("s3://lake/tuning/churn", saved)
    assert (place.url, place.access.block) == ("s3://lake/tuning/churn", "lake")
    assert locate_experiment("s3://lake/tuning/churn").access.is_default


def test_this_process_remembers_what_no_other_can_load():
    locate(Block("s3://unsaved/tuning"))

    assert locate_experiment("s3://unsaved/tuning/churn").access.options == {"secret": SECRET}
    assert locate_experiment("s3://unsaved/tuning2/churn").access.is_default
