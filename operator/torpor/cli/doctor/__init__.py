"""`torpor doctor`: facts about an installation, and what follows from them."""
