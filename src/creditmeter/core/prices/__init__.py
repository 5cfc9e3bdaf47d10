"""Prices: what work costs by a rate card, and what a provider's usage object says was used."""
