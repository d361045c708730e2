"""Motion in the formats of other programs; everything is mapped by the names of channels."""
