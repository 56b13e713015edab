"""What the APIs that speak AWS's protocols share: refusals, request shapes, signatures, answers."""
