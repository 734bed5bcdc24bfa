"""The LlamaIndex package over replicas: real requests to local servers, LlamaIndex as installed."""
