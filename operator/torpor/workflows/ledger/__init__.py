"""The ledger: PostgreSQL holds every definition, execution, frontier and history event."""
