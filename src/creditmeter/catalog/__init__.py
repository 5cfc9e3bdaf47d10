"""The price list of the genai-prices package, compiled into values of the core."""
