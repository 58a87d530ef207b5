"""What tests share: the real servers that they start, and what happens where one is not installed."""
