"""The Prefect side of tune_flows; always import it as `tune_flows.tasks`, wherever the folder is."""
