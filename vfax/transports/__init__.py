"""Roads: how octets travel."""
