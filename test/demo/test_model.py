# SPDX-License-Identifier: Apache-2.0
"""What the demo understands of vipd's printers."""
import model

MODEL = """\
frontend 10.96.0.10:53/UDP owner=default/names:dns verdict=forward snat=nonlocal priority=2
  endpoint 10.244.0.2:5353 weight=1 local
  endpoint 10.244.0.3:5353 weight=1 drain local
frontend [fd00:96::a]:80/TCP owner=shop/web verdict=reject snat=nonlocal affinity=600s priority=2
"""


def test_model():
    names, web = model.parse(MODEL)
    assert (names.addr, names.port, names.protocol) == ("10.96.0.10", 53, "UDP")
    assert names.owner == "default/names:dns" and not names.affinity
    assert names.endpoints == ["10.244.0.2"], "a draining endpoint takes no requests"
    assert (web.addr, web.verdict, web.affinity, web.endpoints) == ("fd00:96::a", "reject", True, [])
