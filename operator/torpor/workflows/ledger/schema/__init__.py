"""The tables and functions of the ledger: numbered scripts, each applied once, in order."""
