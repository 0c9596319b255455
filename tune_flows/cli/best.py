"""`tune-flows best`: the best trial so far."""

from tune_flows.cli.exits import Exit, print_err

__all__ = ["best"]


def best(url: str, /, *, json: bool = False) -> int:
    """Show the best trial: its value, configuration and checkpoint; with --json its last metrics too.

    Exit code 1 if no trial has a usable value of the metric.

    Args:
        url: Where the experiment lies.
        json: Print JSON: trial_id, metric, value, iteration, config, metrics, checkpoint_url; else null.
    """
    from tune_flows.cli.locations import objects_at, view_of
    from tune_flows.cli.output import fields, print_json, show_all
    from tune_flows.cli.summary import best_of, flat, number

    view = view_of(objects_at(url))
    found = best_of(view)
    if json:
        print_json(found)
    elif found is not None:
        pairs = [
            ("trial", f"{found['trial_id']}, iteration {found['iteration']}"),
            (found["metric"], number(found["value"])),
            *((f"  {name}", str(value)) for name, value in flat(found["config"] or {}).items()),
            ("checkpoint", found["checkpoint_url"] or "none"),
        ]
        show_all(fields(pairs))
    if found is None:
        wanted = (
            "no metric is tuned" if view.metric is None else f"no trial has a value of {view.metric!r} yet"
        )
        print_err(f"tune-flows: {view.url}: {wanted}")
        return Exit.FAILED
    return Exit.DONE
