"""The LlamaIndex package over replicas: real requests to local servers, and LlamaIndex as it is installed."""
