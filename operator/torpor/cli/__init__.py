"""The `torpor` command: one module a verb."""
