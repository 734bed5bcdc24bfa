"""The same classes under the namespace that LlamaIndex users expect."""
