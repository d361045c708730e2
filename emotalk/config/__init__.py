"""Settings: names, types and allowed values, and reading from files and the command line."""
