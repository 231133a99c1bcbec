"""Simulated calls by the thousand: scenarios from dice, what must hold in each, and runs of many."""
