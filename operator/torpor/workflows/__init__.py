"""Workflows: Amazon States Language state machines, executed durably."""
