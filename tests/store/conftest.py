from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.s3_server import s3, s3_url  # noqa: F401
from tune_flows.store import ObjectStore


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(f"{tmp_path}/storage/experiment")


@pytest.fixture(params=["local", "s3", "memory"])
def any_store(request) -> Iterator[ObjectStore]:
    if request.param == "local":
        yield request.getfixturevalue("store")
    elif request.param == "s3":
        yield ObjectStore(f"{request.getfixturevalue('s3_url')}/storage/experiment")
    else:
        store = ObjectStore(f"memory://{uuid4().hex}/experiment")
        yield store
        store.delete_prefix("log")
