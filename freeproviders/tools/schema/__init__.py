"""JSON schemas: judging values, bending values to fit, and describing schemas to models."""
