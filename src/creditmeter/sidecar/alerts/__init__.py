"""Alerts on their way out: claiming them at the central store, signing them and posting them to the webhook."""
