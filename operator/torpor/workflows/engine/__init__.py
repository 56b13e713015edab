"""The engine: owns shards of executions, advances them, and has their tasks done."""
