"""What tests share: real nodes and servers that they start, and what to do where a part is missing."""
