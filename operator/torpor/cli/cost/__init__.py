"""What `torpor cost` is made of."""
