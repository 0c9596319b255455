import os

import pytest

from tune_flows.core.errors import InvalidParameter
from tune_flows.store import experiment_url, resolve_storage
from tune_flows.store.locations import refuse_credentials


def test_the_default_is_the_variable_then_the_home_directory(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("TUNE_FLOWS_STORAGE", raising=False)
    assert resolve_storage(None) == "/home/somebody/.tune_flows"
    monkeypatch.setenv("TUNE_FLOWS_STORAGE", "s3://bucket/from-env/")
    assert resolve_storage(None) == "s3://bucket/from-env"
    assert resolve_storage("~/given") == "/home/somebody/given"
    assert resolve_storage(" ") == "s3://bucket/from-env"


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ("here", f"{os.getcwd()}/here"),
        ("/a/../b/", "/b"),
        ("file:///a/b%20c/", "/a/b c"),
        ("s3://bucket", "s3://bucket"),
        ("S3a://bucket/a//", "s3://bucket/a"),
        ("memory://x/y", "memory://x/y"),
        (" s3://bucket/a\n", "s3://bucket/a"),
        ("\t/a ", "/a"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
        ("memory://x@y/a:b", "memory://x@y/a:b"),
        ("memory://x:80/a", "memory://x:80/a"),
        ("/a:b@c", "/a:b@c"),
        ("file:///a:b@c", "/a:b@c"),
        (" local:///a:b@c", "/a:b@c"),
    ],
)
def test_paths_become_absolute_and_urls_stay(given, resolved):
    assert resolve_storage(given) == resolved


@pytest.mark.parametrize(
    "given",
    [
        "block:lake",
        "nope://x",
        "s3://",
        "s3:///",
        "s3://b/x?y=1",
        "simplecache::s3://b/x",
        "file://host/x",
        "s3:/b/x",
    ],
)
def test_what_cannot_be_storage_is_refused(given):
    with pytest.raises(InvalidParameter, match="storage_path: got"):
        resolve_storage(given)


@pytest.mark.parametrize(
    "given",
    [
        "s3://key:secret@bucket",
        "S3A://key:sec/ret@bucket/x",
        " s3://key:sec/ret@bucket",
        "s3:/key:secret@bucket",
        "s3:///key:sec/ret@bucket",
        "s3://key:sec\nret@bucket",
        "https://user:secret@host",
        "https://user:sec/ret@host",
        "ftp://user:sec/ret@host",
        "ftp://user:sec@ret@host",
        "ftp://me@home:sec/ret@host",
        "file://user:sec/ret@host/x",
        "memory://host:80/ret@x",  # a port or a password: nobody can tell
    ],
)
def test_a_password_is_refused_and_not_repeated(given):
    with pytest.raises(InvalidParameter, match=r"url: got .* a URL without credentials") as refused:
        refuse_credentials(given, "url")
    assert "sec" not in str(refused.value)
    assert "ret@" not in str(refused.value)
    with pytest.raises(InvalidParameter, match="a URL without credentials"):
        resolve_storage(given)


def test_a_chain_is_refused_without_what_it_leads_to():
    with pytest.raises(InvalidParameter, match="expected a plain URL") as refused:
        resolve_storage("zip://a/b.zip::s3://key:secret@bucket")
    assert "secret" not in str(refused.value)


def test_a_missing_package_is_named():
    with pytest.raises(InvalidParameter, match=r"gs:// to be usable here.*gcsfs"):
        resolve_storage("gs://bucket/x")


def test_the_experiment_lies_below_the_storage():
    assert experiment_url("s3://bucket/tuning/", "churn-2.1_x") == "s3://bucket/tuning/churn-2.1_x"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ü", "x" * 201, "a\n"])
def test_names_that_could_leave_the_folder_are_refused(name):
    with pytest.raises(InvalidParameter, match="name: got"):
        experiment_url("/data", name)
