"""Settlement: what the central store decides: postings, draws, refunds, leases, recalls and alerts."""
