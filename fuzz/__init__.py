"""Harnesses for every place where foreign octets come in: `script/fuzz SECONDS [TARGET...]`."""
