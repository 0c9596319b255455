"""Conformance suites for authors of plug-ins, and the scripted runs that they use."""
