"""`python -m emotalk`: the command of the same name."""

from emotalk.cli import main

main()
