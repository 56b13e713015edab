"""What tasks can be done by: one module for each service that a Resource can name."""
