"""Motion file formats of other programs; channels are mapped by name."""
