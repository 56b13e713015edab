"""CloudEvents SQL 1.0: the filter language over an event's attributes.

It is compiled once into closures. It is total: an evaluation always ends, and always has a value.
"""

from torpor.triggers.filter.cesql.expression import Cesql, Evaluation, compile_cesql
from torpor.triggers.filter.cesql.failures import CesqlError, Failure, FailureKind

__all__ = ["Cesql", "CesqlError", "Evaluation", "Failure", "FailureKind", "compile_cesql"]
