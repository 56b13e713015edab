"""What stands between Torpor's events and a handler that a template deployed; written beside it."""
