"""`torpor chaos`: one module for each place where faults are done."""
