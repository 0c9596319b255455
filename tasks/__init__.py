"""The Prefect tasks; import them as `tune_flows.tasks`, whatever folder they lie in."""
