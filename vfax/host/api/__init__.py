"""The API for clients: HTTP over a Unix socket, where the kernel says who comes, or over TLS, where a token does.

Owns      what is asked and answered (routes.py and the modules of its handlers), who may (identity.py), bodies within
          limits (parsing.py, multipart.py, uploads.py), streams of events (streams.py), sockets (listening.py).
Not here  what the host does about it (door.HostDoor), who is notified of what (notify.Hub).
"""
