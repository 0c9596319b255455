"""The parameters of `tune`: their types in its signature, their JSON form, presets of a flow."""

from tune_flows.parameters.configs import CheckpointConfig, FailureConfig

__all__ = ["CheckpointConfig", "FailureConfig"]
