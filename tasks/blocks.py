"""The ExperimentStorage block: a storage with its credentials, referred to by name.

    prefect block register -m tune_flows.tasks.blocks

adds it to the UI's catalogue. A reference to a saved block holds its name or id, never its contents: the
parameter `storage_path`, `TuneResult.storage_block`, `open_experiment(url, storage="lake")`.
"""

import re
from typing import Annotated, Any, ClassVar, Self

from httpx import HTTPError
from prefect.blocks.core import Block
from prefect.settings import PREFECT_API_URL
from prefect.types import SecretDict
from pydantic import (
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    HttpUrl,
    SecretStr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from tune_flows.core.errors import InvalidParameter, StorageError
from tune_flows.store.access import StorageAccess
from tune_flows.store.locations import (
    BLOCK_PREFIX,
    CREDENTIALS_IN_URL,
    protocol_of,
    refuse_credentials,
    resolve_storage,
)
from tune_flows.store.storage import Location

__all__ = ["ExperimentStorage", "StorageParam", "load_location"]

_LOGO_URL = (
    "https://raw.githubusercontent.com/PrefectHQ/prefect/420d0d6a78bb6df1fc18bcf188fdad43c1d22ea9"
    "/assets/block-logos/filesystem.png"
)
_OPTIONS_URL = "https://s3fs.readthedocs.io/en/latest/#s3-compatible-storage"


class ExperimentStorage(Block):
    """Where experiments are stored, and how to access it: any S3, or another storage that fsspec supports."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", hide_input_in_errors=True)

    _block_type_name = "Experiment Storage"
    _logo_url = HttpUrl(_LOGO_URL)
    _documentation_url = HttpUrl(_OPTIONS_URL)
    _code_example = """
        ```python
        from tune_flows import ExperimentStorage, loguniform, open_experiment, tune

        lake = ExperimentStorage(url="s3://bucket/tuning", key="AKIA...", secret="...")
        lake.save("lake")

        tune("my_project.train:train", {"lr": loguniform(1e-5, 0.1)}, storage_path="block:lake", name="churn")
        open_experiment("block:lake/churn").dataframe()
        ```"""

    url: str = Field(
        min_length=1, description="Folder or URL that the experiments lie in, such as s3://bucket/tuning."
    )
    endpoint: str | None = Field(
        default=None, description="Address of the S3 server; empty: the environment's, else that of AWS."
    )
    key: str | None = Field(
        default=None, description="ID of the S3 access key; empty: credentials of the environment."
    )
    secret: SecretStr | None = Field(default=None, description="The S3 access key itself.")
    session_token: SecretStr | None = Field(default=None, description="Token of temporary S3 credentials.")
    region: str | None = Field(default=None, description="Region of the S3 bucket.")
    options: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        description="Further options of the fsspec file system; all of them are kept secret.",
    )

    @model_validator(mode="after")
    def _is_of_one_piece(self) -> Self:
        if self.url.startswith(BLOCK_PREFIX):
            raise ValueError("url: expected a folder or a URL, got the name of another block")
        refuse_credentials(self.url, "url")
        options = self.options.get_secret_value()
        refuse_credentials(self.endpoint or str(options.get("endpoint_url", "")), "endpoint")
        if bool(self.key) != bool(_text(self.secret)):
            raise ValueError("key and secret: expected both or neither")
        if _text(self.session_token) and not self.key:
            raise ValueError("session_token: expected a key and a secret beside it")
        if protocol_of(self.url) not in ("s3", "s3a") and (self.endpoint or self.key or self.region):
            raise ValueError("endpoint, key, secret and region are for s3://; other storages take `options`")
        if protocol_of(self.url) in ("file", "local") and options:
            raise ValueError("options: a folder of this machine has none")
        return self

    @model_serializer(mode="wrap")
    def ser_model(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:  # noqa: ANN401
        """Serialize a saved block to JSON as a reference, which is what run parameters then hold."""
        if info.mode == "json" and info.context is None and self._block_document_id is not None:
            return {"$ref": {"block_document_id": str(self._block_document_id)}}
        return super().ser_model(handler, info)

    def location(self) -> Location:
        """Return the URL and the access options, for `tune_flows.store`.

        Raises:
            InvalidParameter: The URL is not valid here. Final.
        """
        given = {
            "endpoint_url": self.endpoint,
            "key": self.key,
            "secret": _text(self.secret),
            "token": _text(self.session_token),
        }
        options = self.options.get_secret_value().copy()
        options.update((name, text) for name, text in given.items() if text)
        if self.region:
            client: dict[str, Any] = options.get("client_kwargs") or {}
            options["client_kwargs"] = {**client, "region_name": self.region}
        name = self._block_document_name
        return Location(resolve_storage(self.url, parameter="url"), StorageAccess(options, block=name))


def load_location(name: str, *, parameter: str) -> Location:
    """Return the storage that the saved block `name` describes.

    Args:
        name: Name of the block document.
        parameter: The caller's parameter, for the error message.

    Raises:
        InvalidParameter: This Prefect API has no such block. Final.
        StorageError: The Prefect API refused the request or did not answer.
    """
    load: Any = ExperimentStorage.load
    api = _without_credentials(PREFECT_API_URL.value() or "the Prefect API of this process")
    try:
        block: ExperimentStorage = load(name, _sync=True)  # synchronous even in a running event loop
    except ValueError as error:
        raise InvalidParameter.of(
            parameter,
            f"{BLOCK_PREFIX}{name}",
            f"the name of an Experiment Storage block at {api}",
            "`prefect block ls` lists them, and PREFECT_API_URL says where to look.",
        ) from error
    except HTTPError as error:
        told = _without_credentials(f"{BLOCK_PREFIX}{name}: cannot be read from {api}: {error}")
        raise StorageError(told) from None  # the original may contain credentials
    return block.location()


def _without_credentials(text: str) -> str:
    """Return the text with the user and password removed from its URLs."""
    return re.sub(r"(?<=://)[^/\s@]*@", "", text)


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


class _StorageForm:
    """Annotation of a parameter that is a folder, a URL or a block; `store.locate` checks the value."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        form = handler.generate_schema(ExperimentStorage)
        return core_schema.json_or_python_schema(json_schema=form, python_schema=core_schema.any_schema())

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # The schema of the block itself would accept a whole block, secrets included, as a run's parameter.
        # Prefect adds references to a definition whose title is its name, but not everywhere it validates:
        # so this definition has another title and accepts references itself.
        block = handler(schema)
        definition = handler.resolve_ref_schema(block)
        definition.clear()
        definition |= {
            "type": "object",
            "title": ExperimentStorage.get_block_type_name(),
            "block_type_slug": ExperimentStorage.get_block_type_slug(),
            "properties": {"$ref": {"title": "Reference", "anyOf": [{"type": "string"}, {"type": "object"}]}},
            "required": ["$ref"],
            "additionalProperties": False,
        }
        path = {"type": "string", "title": "Folder or URL", "pattern": f"^(?!{CREDENTIALS_IN_URL})"}
        return {"anyOf": [path, block, {"type": "null"}]}


StorageParam = Annotated[Any, _StorageForm()]
"""A folder, a URL, `block:NAME` or an ExperimentStorage."""
