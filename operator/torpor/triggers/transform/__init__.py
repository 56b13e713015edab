"""What a target is given instead of the event: the value of JSONata, or a filled template."""

from torpor.triggers.transform.compiling import Transform, compile_transform
from torpor.triggers.transform.result import TransformFailed

__all__ = ["Transform", "TransformFailed", "compile_transform"]
