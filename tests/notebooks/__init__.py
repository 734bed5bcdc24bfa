"""The notebooks: each is run whole in a fresh kernel, and is committed with what it showed."""
