"""HAProxy as the data plane: every request natively, cold ones held by a Lua action."""
