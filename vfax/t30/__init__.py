"""The T.30 engine and its tables: pure, driven by line signals, orders and time."""
