"""Who may call what: the credentials that callers show, what each RPC needs, and how listeners are kept private."""
