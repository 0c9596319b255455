"""The parameters of `tune`: types of its signature, JSON form, presets of a flow."""

from tune_flows.parameters.configs import CheckpointConfig, FailureConfig

__all__ = ["CheckpointConfig", "FailureConfig"]
