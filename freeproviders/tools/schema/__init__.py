"""JSON schemas: what fits them, what is bent to fit, and how a model is told of them."""
