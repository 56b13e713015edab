"""The Amazon States Language: parsing, validation, and the pure execution of a state machine."""
