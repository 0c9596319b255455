"""The class of the flow `tune`: a Prefect flow with its own errors, from which narrower flows can be made.

Rules of this module:

- Arguments reach the flow unchanged: an object stays the same object.
- The parameters that a run shows can be passed again, also on a form, wherever they have a JSON form.
"""

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from prefect import Flow
from prefect.deployments.runner import RunnerDeployment
from prefect.runtime import flow_run
from prefect.utilities.callables import parameter_docstrings

from tune_flows.core.errors import InvalidParameter
from tune_flows.parameters.codec import as_json
from tune_flows.parameters.presets import FlowPreset, require_call, require_types

__all__ = ["TuneFlow", "tune_flow"]

P = ParamSpec("P")
R = TypeVar("R")

RunName = Callable[[Mapping[str, Any]], str]
"""Maps the parameters of a run to the name of the run."""


def tune_flow(*, name: str, run_name: RunName) -> Callable[[Callable[P, R]], "TuneFlow[P, R]"]:
    """Decorator that turns a function with the parameters of `tune` into a flow.

    Args:
        name: Name of the flow.
        run_name: Makes the name of a run from its parameters, including fixed ones.
    """

    def made(fn: Callable[P, R]) -> TuneFlow[P, R]:
        about = (inspect.getdoc(fn) or "").split("\nArgs:")[0].strip()
        flow = TuneFlow(fn, name=name, description=about, flow_run_name=lambda: run_name(flow_run.parameters))
        flow.run_name = run_name
        return flow

    return made


class TuneFlow(Flow[P, R]):
    """A flow with the parameters of `tune`, or with some of them; made by `tune_flow`."""

    run_name: RunName
    is_narrowed: bool = False
    """Whether some parameters are fixed."""

    if not TYPE_CHECKING:  # type checkers see the function's signature, as with every flow

        def __call__(
            self, *args: object, return_state: bool = False, wait_for: object = None, **given: object
        ) -> object:
            """Run the flow, as `Flow.__call__`.

            Raises:
                InvalidParameter: A parameter is unknown, missing or given twice. No flow run is created.
            """
            require_call(self.name, self.fn, args, given)
            return super().__call__(*args, return_state=return_state, wait_for=wait_for, **given)

    def with_trainable(
        self,
        trainable: str | type | Callable[..., Any] | object,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        presets: Mapping[str, Any] | None = None,
        **fixed: Any,  # noqa: ANN401 - parameters of `tune`
    ) -> "TuneFlow[..., R]":
        """Return a flow that tunes only this trainable, for example to deploy it for others.

        Assign it to a variable at the top level of a module, and call, serve or deploy it like `tune`; its
        entrypoint is `my_module:my_variable`. Its parameters are passed by keyword.

            churn = tune.with_trainable(
                "churn.train:train",
                name="tune-churn",
                param_space={"lr": loguniform(1e-4, 1e-1)},
                metric="auc",
                presets={"num_samples": 50},
            )

        Args:
            trainable: As for `tune`; an import path is imported when a run begins.
            name: Name of the flow; None: `tune-` and the name of the trainable. The name of the experiment
                is a parameter of the flow, which may be left open or preset.
            description: Text of the flow's page; None: what it tunes, and which parameters are fixed.
            presets: Parameters of `tune` that stay on the form, with other defaults. Their values in a run
                come from outside, so import paths in them are restricted like all others.
            fixed: Parameters of `tune` that a run can neither see nor change. All parameters except these
                and the trainable stay open. Import paths among them are the author's own choice, which
                `TUNE_FLOWS_ALLOWED_TRAINABLES` does not restrict. A storage block is named here as
                `block:NAME`; a reference (`{"$ref": ...}`) would not be resolved.

        Raises:
            InvalidParameter: A parameter is unknown, given twice, or has an invalid value. Final.
        """
        narrowed = FlowPreset.of(self.fn, trainable, fixed, presets or {})
        about = description or narrowed.description
        base = copy(self)
        said = parameter_docstrings(inspect.getdoc(self.fn))
        base.fn = narrowed.function(about, said, module=_calling_module())
        made = base.with_options(
            name=name or f"tune-{re.split(r'[.:]', narrowed.label)[-1].strip('<>')}",
            description=about,
            flow_run_name=lambda: self.run_name(narrowed.hidden | flow_run.parameters),
        )
        made.is_narrowed = True
        return cast("TuneFlow[..., R]", made)

    def with_options(self, **options: Any) -> "TuneFlow[P, R]":  # noqa: ANN401 - as of every flow
        """Return a copy of this flow with some options of a Prefect flow changed."""
        changed = super().with_options(**options)
        made = copy(self)
        vars(made).update(vars(changed))
        return made

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters validated against the signature; objects stay as they are.

        Raises:
            InvalidParameter: A parameter has the wrong type.
        """
        require_types(inspect.signature(self.fn).parameters, parameters)
        return super().validate_parameters(parameters)

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return what the run shows: a trainable as its import path if it has one, policies as JSON."""
        return super().serialize_parameters(as_json(parameters))

    def to_deployment(self, *args: Any, **options: Any) -> RunnerDeployment:  # noqa: ANN401
        """Return a deployment, as every flow does; `parameters` may hold objects that have a JSON form."""
        made = super().to_deployment(*args, **self._deployable(options))
        return cast("RunnerDeployment", made)  # in an event loop an awaitable, as with every flow

    async def ato_deployment(self, *args: Any, **options: Any) -> RunnerDeployment:  # noqa: ANN401
        """Return a deployment; see `to_deployment`."""
        return await super().ato_deployment(*args, **self._deployable(options))

    def _deployable(self, options: dict[str, Any]) -> dict[str, Any]:
        self._find_home()
        return options | {"parameters": as_json(options.get("parameters") or {})}

    def _find_home(self) -> None:
        """Set module and name to those of the variable that holds this flow, for processes that import it.

        Raises:
            InvalidParameter: No variable at the top level of a module holds the flow.
        """
        if not self.is_narrowed or self._storage is not None:  # a flow from storage has its entrypoint
            return
        for module in [sys.modules.get(self.__module__), *list(sys.modules.values())]:
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if value is self and module is not None:
                    self.__module__ = self.fn.__module__ = module.__name__
                    self.__name__ = self.fn.__name__ = self.fn.__qualname__ = name
                    return
        raise InvalidParameter.of(
            "flow", self.name, "a flow that a variable at the top level of a module holds"
        )


def _calling_module() -> str:
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return "__main__" if frame is None else str(frame.f_globals.get("__name__"))
