"""Files as the system knows them, for those who keep something on disk."""
