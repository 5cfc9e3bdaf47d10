"""Reports: what is told of an account: forecasts, usage summaries and plan estimates."""
