"""The API over real sockets: who may do what, what is answered, and what is refused."""
import httpx
from tests.client.plain import Host

def test_a(host: Host) -> None:
    with host.local() as c:
        print(c.get("/v1/server").json())
        r = c.post("/v1/jobs", files={"document": ("a.tif", b"II*\0")}, data={"recipient": ["+49 1", "Bob <+49 2>"]})
        print(r.status_code, r.text)
    with host.remote() as c:
        print(c.get("/v1/server").json())
        print(c.get("/v1/devices").json())
    with host.remote("x") as c:
        print(c.get("/v1/server").status_code)
    assert 0
