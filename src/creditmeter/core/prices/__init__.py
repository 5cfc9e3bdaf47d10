"""Prices: what work and usage cost by a rate card, and what a provider's usage object says was used."""
