"""Entry point of `python -m emotalk`."""

from emotalk.cli import main

main()
