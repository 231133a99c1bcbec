"""Trunks: the carriers, PBXes and SBCs that calls go through, each with its own identity, policy and limits.

Owns      which trunk a call belongs to, what its numbers and headers look like, what it may take, how it fares. Pure.
Not here  the settings they come from (settings/trunks.py), the calls (calls.py), SIP itself (transports/sip).
"""
