# SPDX-License-Identifier: Apache-2.0
"""What the demo understands of `vipd --print=model`."""
import dataclasses
import re

FRONTEND = re.compile(r"frontend (\S+):(\d+)/(\S+) owner=(\S+) verdict=(\S+)(.*)")
ENDPOINT = re.compile(r"  endpoint (\S+):(\d+) weight=(\d+)(.*)")


@dataclasses.dataclass
class Frontend:
    """A frontend with its endpoints."""
    addr: str
    port: int
    protocol: str
    owner: str  # namespace/name:port
    verdict: str
    affinity: bool
    endpoints: list = dataclasses.field(default_factory=list)  # addresses that take requests


def parse(text):
    frontends = []
    for line in text.split("\n"):
        if match := FRONTEND.match(line):
            addr, port, protocol, owner, verdict, rest = match.groups()
            frontends.append(Frontend(addr.strip("[]"), int(port), protocol, owner, verdict,
                                      " affinity=" in rest))
        elif (match := ENDPOINT.match(line)) and " drain" not in match[4] and match[3] != "0":
            frontends[-1].endpoints.append(match[1].strip("[]"))
    return frontends
