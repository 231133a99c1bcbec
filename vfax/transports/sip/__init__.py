"""SIP, pure: octets and time in, octets and events out. The sockets are in transports/udp.py."""
