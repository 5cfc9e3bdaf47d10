"""Reports about an account: forecasts, usage summaries and estimates of plans."""
