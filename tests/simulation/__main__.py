"""The simulation from the command line."""

from tests.simulation.cli import main

main()
