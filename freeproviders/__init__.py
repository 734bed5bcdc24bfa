"""Free LLM chat over one async core."""
