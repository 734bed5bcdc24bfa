"""The dialects of tool calls: a file for each, with its reader and its writer."""
