"""Settings: what they are called, what they may be, where their values come from."""
