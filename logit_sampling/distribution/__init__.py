"""The scores of a batch on their way through a chain: what a strategy may ask and change."""
