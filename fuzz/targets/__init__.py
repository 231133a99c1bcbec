"""The harnesses, one target a module: see fuzz/harness.py for what a harness is."""
