"""The events role's public API: how events come in by HTTP, from whatever client."""
