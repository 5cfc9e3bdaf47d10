"""The running sidecar: it decides from its books, writes to the journal, and settles with the central store."""
