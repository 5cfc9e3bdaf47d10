"""The gRPC edge: services, errors, health, and the wiring of the whole program."""
