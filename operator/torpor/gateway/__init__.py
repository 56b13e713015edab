"""The request path: every invocation of a function passes here."""
