"""Vectors of texts: requests as services want them written, and their answers decoded. No I/O."""
