"""The fax service: loads providers, runs their jobs, keeps what they receive."""
