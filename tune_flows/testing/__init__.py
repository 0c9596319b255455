"""For authors of plug-ins: conformance suites and the scripted parts that they run on."""
