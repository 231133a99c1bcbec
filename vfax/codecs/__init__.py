"""Octets to values and back; no state beyond one call of one function or one decoder object."""
