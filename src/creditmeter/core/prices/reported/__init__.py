"""What a provider reported of a call, in its own words, read into counts: response by response."""
