"""Credentials reach the server, and nobody else."""

import io
import logging
import pickle
import traceback
from urllib.parse import quote

import pytest
from rich.console import Console
from rich.traceback import Traceback

from tests.signed_s3 import Credentials, signed_s3
from tune_flows.core.errors import StorageError
from tune_flows.store import CheckpointStore, ObjectStore, StorageAccess

RIGHT = Credentials()
WRONG = Credentials(secret="not/the-Secret+9876543210", token=RIGHT.token)
UNHEARD_OF = "a-version-that-is-unheard-of"


@pytest.fixture
def server(s3):
    with signed_s3(s3.endpoint) as server:
        yield server


@pytest.fixture
def reached(server):
    """Access to the server by an access key."""

    def access(credentials=RIGHT, **options):
        given = {"key": credentials.key, "secret": credentials.secret, "token": credentials.token}
        return StorageAccess({"endpoint_url": server.endpoint, **given, **options}, block="lake")

    return access


def shown(error):
    """Everything that a traceback of the error can show: causes, and local variables at full length."""
    console = Console(file=io.StringIO(), width=400)
    console.print(
        Traceback.from_exception(
            type(error),
            error,
            error.__traceback__,
            show_locals=True,
            locals_max_length=None,
            locals_max_string=None,
            max_frames=0,
        )
    )
    return f"{console.file.getvalue()}{''.join(traceback.format_exception(error))}"


def secrets_in(text):
    return [secret for secret in (RIGHT.secret, WRONG.secret, RIGHT.token) if secret in text]


def test_a_store_signs_with_what_it_was_given(s3_url, reached, server):
    store = pickle.loads(pickle.dumps(ObjectStore(f"{s3_url}/x", access=reached())))

    store.check_writable()
    assert store.create("log/1", b"mine")
    assert store.get("log/1") == b"mine"
    assert store.list() == ["log/1"]
    assert all(right for _, _, right in server.asked)


def test_a_wrong_secret_is_one_clear_error(s3_url, reached, server):
    store = ObjectStore(f"{s3_url}/x", access=reached(WRONG))

    with pytest.raises(StorageError, match="permission denied: check the credentials") as caught:
        store.get("experiment.json")

    message = str(caught.value)
    assert message.startswith(
        f"read {s3_url}/x/experiment.json (endpoint {store.access.options['endpoint_url']}"
    )
    assert "block 'lake'" in message
    assert secrets_in(shown(caught.value)) == []


@pytest.mark.parametrize("credentials", [RIGHT, WRONG])
def test_nothing_shows_a_secret(s3_url, s3, reached, caplog, credentials):
    caplog.set_level(logging.DEBUG)
    stores = [
        ObjectStore(f"{s3_url}/x", access=reached(credentials), retry_budget_s=0),
        ObjectStore("s3://no-such-bucket/x", access=reached(credentials), retry_budget_s=0),
    ]
    texts = [f"{one!r} {one} {vars(one)}" for one in (*stores, CheckpointStore("/x", access=reached()))]

    for store in stores:
        try:
            store.put("a", b"1")
            store.list()
        except StorageError as error:
            texts.append(shown(error))

    assert any(record.name == "botocore.auth" for record in caplog.records)
    assert len(texts) >= 4
    assert secrets_in("".join(texts) + caplog.text) == []


def test_a_library_that_tells_a_secret_is_not_quoted(s3_url, reached):
    access = reached(config_kwargs={"signature_version": UNHEARD_OF})

    with pytest.raises(StorageError) as caught:
        ObjectStore(s3_url, access=access).get("a")

    assert UNHEARD_OF not in shown(caught.value)


SLASHED = "s3cr3t+abc/def"


QUOTED = "s3cr3t\\'abc"


@pytest.mark.parametrize(
    ("message", "note"),
    [
        (f"refused {SLASHED}", "asked once"),
        ("refused", f"asked with {SLASHED}"),
        (f"https://h/?sig={quote(SLASHED, safe='')}", "asked once"),
        (f"https://h/{quote(SLASHED)}/x", "asked once"),
        ("refused", f"https://h/?sig={quote(SLASHED, safe='')}"),
        (f"refused {[QUOTED]}", "asked once"),
        ("refused", f"asked with {QUOTED}"),
    ],
)
def test_an_error_is_replaced_wherever_it_tells_a_secret(message, note):
    def operation():
        error = OSError(message)
        error.add_note(note)
        raise error

    with pytest.raises(StorageError) as caught:
        StorageAccess({"key": "AKIA", "secret": SLASHED, "token": QUOTED}).guard(operation)

    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_a_secret_that_is_part_of_another_does_not_spare_its_rest():
    secret = "qwertyuiopasdfghjkl"

    def operation():
        raise OSError(f"refused {secret}")

    with pytest.raises(StorageError) as caught:
        StorageAccess({f"key{n}": secret[:n] for n in range(8, len(secret) + 1)}).guard(operation)

    assert str(caught.value) == "OSError: refused ********"


def test_an_error_without_secrets_keeps_its_notes():
    error = OSError("refused")
    error.add_note("asked once")

    def operation():
        raise error

    with pytest.raises(OSError, match="refused") as caught:
        StorageAccess({"key": "AKIA", "secret": SLASHED}).guard(operation)

    assert caught.value is error


def test_a_client_that_cannot_be_made_shows_nothing(s3_url, reached):
    access = reached(config_kwargs={"no_such_option": 1})

    with pytest.raises(StorageError, match="no_such_option") as caught:
        ObjectStore(s3_url, access=access).get("a")

    assert secrets_in(shown(caught.value)) == []


def test_an_unreachable_endpoint_is_named(s3_url, reached):
    access = reached(endpoint_url="http://127.0.0.1:9")

    with pytest.raises(StorageError, match=r"endpoint http://127\.0\.0\.1:9, block 'lake'"):
        ObjectStore(s3_url, access=access, retry_budget_s=0).get("a")
