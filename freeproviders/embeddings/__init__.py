"""Vectors of texts: services, local servers, the embedded engine, and a floor that needs nothing."""
