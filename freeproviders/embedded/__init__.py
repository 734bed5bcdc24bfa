"""A language model on this machine: weights fetched once and known by their hash, run by llama.cpp in a child process."""
