"""The class of the flow `tune`: a Prefect flow with errors of its own, which can be narrowed for others.

Rules of this module:

- What a caller passes reaches the flow as it is: an object stays the same object.
- What a run shows of its parameters could be given again, on a form too, wherever it has such a form.
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
"""From the parameters of a run to its name."""


def tune_flow(*, name: str, run_name: RunName) -> Callable[[Callable[P, R]], "TuneFlow[P, R]"]:
    """Decorator that makes a function with the parameters of `tune` a flow.

    Args:
        name: Of the flow.
        run_name: Names a run by its parameters, those that are fixed among them.
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
    """Whether some are fixed."""

    if not TYPE_CHECKING:  # to type checkers the function's signature counts, as of every flow

        def __call__(
            self, *args: object, return_state: bool = False, wait_for: object = None, **given: object
        ) -> object:
            """Run the flow, as every flow.

            Raises:
                InvalidParameter: A parameter is unknown, missing or given twice. There is no flow run yet.
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
        """A flow that tunes this trainable and no other: what one deploys for others.

        Assign it to a variable at the top level of a module, and call, serve or deploy it as one does with
        `tune`; its entrypoint is `my_module:my_variable`. Its parameters are given by keyword.

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
                is a parameter of the flow, open or among the presets.
            description: What the flow's page says; None: what it tunes, and what is fixed.
            presets: Parameters of `tune` that stay on the form, with other defaults. What a run gets of them
                comes from outside: import paths among them are restricted like all others.
            fixed: Parameters of `tune` that a run can neither see nor change. Everything that is neither the
                trainable nor among these stays open. Import paths among them are the author's own choice,
                which `TUNE_FLOWS_ALLOWED_TRAINABLES` does not restrict. A storage block is named here as
                `block:NAME`; a reference (`{"$ref": ...}`) would not be resolved.

        Raises:
            InvalidParameter: There is no such parameter, it is given twice, or its value cannot be. Final.
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
        """A new flow of this class with some options of a Prefect flow changed."""
        changed = super().with_options(**options)
        made = copy(self)
        vars(made).update(vars(changed))
        return made

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The parameters as the types of the signature take them; objects as they are.

        Raises:
            InvalidParameter: One has the wrong type.
        """
        require_types(inspect.signature(self.fn).parameters, parameters)
        return super().validate_parameters(parameters)

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """What the run shows: a trainable by its import path, if it has one, policies in their JSON form."""
        return super().serialize_parameters(as_json(parameters))

    def to_deployment(self, *args: Any, **options: Any) -> RunnerDeployment:  # noqa: ANN401
        """A deployment, as of every flow; `parameters` may hold objects that have a JSON form."""
        made = super().to_deployment(*args, **self._deployable(options))
        return cast("RunnerDeployment", made)  # in an event loop an awaitable, as of every flow

    async def ato_deployment(self, *args: Any, **options: Any) -> RunnerDeployment:  # noqa: ANN401
        """As `to_deployment`."""
        return await super().ato_deployment(*args, **self._deployable(options))

    def _deployable(self, options: dict[str, Any]) -> dict[str, Any]:
        self._find_home()
        return options | {"parameters": as_json(options.get("parameters") or {})}

    def _find_home(self) -> None:
        """Take the name of the variable that holds this flow: a process that is to run it looks there.

        Raises:
            InvalidParameter: There is none.
        """
        if not self.is_narrowed or self._storage is not None:  # from storage it comes with its entrypoint
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
