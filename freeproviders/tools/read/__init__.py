"""Reading of a model's output: text, thinking, calls and objects, however cut. No I/O."""
