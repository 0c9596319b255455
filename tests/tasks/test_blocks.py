"""The ExperimentStorage block without a Prefect server: what it is, what it shows, how a form sees it."""

import json
import pickle
import traceback
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from fastapi.encoders import jsonable_encoder
from prefect import flow
from prefect._internal.schemas.validators import validate_values_conform_to_schema
from prefect.blocks.core import Block
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.schema_tools.validation import validate
from pydantic import ValidationError

from tests.packaging.source_tree import ROOT
from tune_flows import ExperimentStorage, StorageError
from tune_flows.store import locate
from tune_flows.tasks.blocks import StorageParam

SECRET, TOKEN = "hunter2-hunter2", "token-0123456789"
FULL: dict[str, Any] = {
    "url": "s3://bucket/tuning/",
    "endpoint": "http://minio:9000",
    "key": "AKIA",
    "secret": SECRET,
    "session_token": TOKEN,
    "region": "eu-central-1",
    "options": {"client_kwargs": {"verify": "/etc/ca.pem"}, "requester_pays": True},
}


def test_a_whole_block_becomes_options():
    location = ExperimentStorage(**FULL).location()

    assert location.url == "s3://bucket/tuning"
    assert location.access.options == {
        "endpoint_url": "http://minio:9000",
        "key": "AKIA",
        "secret": SECRET,
        "token": TOKEN,
        "client_kwargs": {"verify": "/etc/ca.pem", "region_name": "eu-central-1"},
        "requester_pays": True,
    }


@pytest.mark.parametrize("url", ["/data", "s3://bucket", "memory://x"])
def test_the_url_is_enough(url: str):
    empty = {"endpoint": "", "key": "", "secret": "", "session_token": "", "region": ""}  # of a form

    for block in (ExperimentStorage(url=url), ExperimentStorage(url=url, **empty)):
        assert block.location().url == url
        assert block.location().access.is_default


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"url": ""}, "url"),
        ({"url": "block:lake"}, "the name of another block"),
        ({"url": f"s3://AKIA:{SECRET}@bucket"}, r"url: got 's3://\*\*\*@bucket'"),
        ({"endpoint": f"http://me:{SECRET}@minio"}, r"endpoint: got 'http://\*\*\*@minio'"),
        ({"endpoint": None, "options": {"endpoint_url": f"http://me:{SECRET}@minio"}}, "endpoint: got"),
        ({"secret": None}, "key and secret: expected both or neither"),
        ({"key": None}, "key and secret: expected both or neither"),
        ({"key": None, "secret": None}, "session_token: expected a key"),
        ({"url": "gs://bucket"}, "are for s3://"),
        ({"secert": SECRET}, "secert\n  Extra inputs are not permitted"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_work_is_refused_without_secrets(change: dict[str, Any], why: str):
    with pytest.raises(ValidationError, match=why) as refused:
        ExperimentStorage(**{**FULL, **change})
    assert SECRET not in str(refused.value)


def test_it_shows_no_secret():
    block = ExperimentStorage(**FULL)

    shown = [f"{block!r} {block}", json.dumps(jsonable_encoder(block)), f"{block.location()!r}"]

    assert [text for text in shown if SECRET in text or TOKEN in text or "ca.pem" in text] == []
    assert pickle.loads(pickle.dumps(block)).location().access.options["secret"] == SECRET


@flow
def somewhere(storage_path: StorageParam = None) -> None:
    """A flow with such a parameter."""


SCHEMA = somewhere.parameters.model_dump()


@pytest.mark.parametrize(
    "value",
    [
        "/data",
        "s3://bucket/x",
        "block:lake",
        None,
        {"$ref": {"block_document_slug": "experiment-storage/lake"}},
        {"$ref": {"block_document_id": "5d4b6a2e-3f1f-4b1e-9d53-1f2f6f1c2a10"}},
    ],
    ids=str,
)
def test_the_schema_takes(value: Any):
    parameters = {"storage_path": value}

    assert validate(parameters, SCHEMA, allow_none_with_default=True) == []  # for a run
    assert validate(parameters, SCHEMA, ignore_required=True) == []  # for an update of a deployment
    validate_values_conform_to_schema(parameters, SCHEMA, ignore_required=True)  # for a new deployment


@pytest.mark.parametrize("value", [FULL, {"url": "s3://b"}, f"s3://AKIA:{SECRET}@bucket", 7, {}], ids=str)
def test_the_schema_refuses(value: Any):
    """What would have its secrets in the parameters of a flow run is refused before there is one."""
    assert validate({"storage_path": value}, SCHEMA, allow_none_with_default=True)


def test_the_form_has_a_tab_for_each_way():
    path, reference, none = SCHEMA["properties"]["storage_path"]["anyOf"]
    assert reference == {
        "$ref": "#/definitions/ExperimentStorage"
    }  # the older UI looks for blocks there only
    block = SCHEMA["definitions"]["ExperimentStorage"]

    assert (path["title"], path["type"], none["type"]) == ("Folder or URL", "string", "null")
    assert (block["title"], block["block_type_slug"]) == ("Experiment Storage", "experiment-storage")
    assert list(block["properties"]) == ["$ref"]  # by which the form finds the tab of a reference


def test_prefect_finds_the_class_of_a_stored_block():
    assert Block.get_block_class_from_key("experiment-storage") is ExperimentStorage
    line = '[project.entry-points."prefect.collections"]\ntune_flows = "tune_flows.tasks.blocks"\n'
    assert line in (ROOT / "pyproject.toml").read_text()
    point = EntryPoint("tune_flows", "tune_flows.tasks.blocks", "prefect.collections")
    assert point.load().ExperimentStorage is ExperimentStorage


def test_a_prefect_api_that_does_not_answer_is_said_to():
    with temporary_settings({PREFECT_API_URL: "http://user:hunter2@127.0.0.1:9/api"}):
        with pytest.raises(
            StorageError, match=r"block:lake: cannot be read from http://127\.0\.0\.1:9/api"
        ) as caught:
            locate("block:lake")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
