"""The executor for Ray: `executor.RayExecutor`. Importing this package does not load Ray; its modules do."""
