"""`creditmeter demo`: shows a day of metering in one command, without any set-up."""
