"""The fax service provider contract: names, values, structures, completion ports, probing. No I/O, no trio."""
