"""`torpor workflow`: each action in a module of its own, imported when it is asked for."""
