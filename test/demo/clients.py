# SPDX-License-Identifier: Apache-2.0
"""Asks Services and keeps count: who answered, what failed.

`ask` sends requests one after the other; `Load` opens new connections at a steady rate beside some
that are kept open, for as long as it is told. Every request has a deadline; whatever is not a whole
answer in time is a failure with a name.
"""
import asyncio
import collections
import dataclasses
import socket
import time

from lab import hosts
from standins import KINDS

DEADLINE_SEC = 5
RETRY_UDP_SEC = 1  # a datagram may be lost by right: asked again once a second until the deadline
FAILURES_MAX = 3  # in a row of requests: then the point is made
KEPT_PAUSE_SEC = 0.2
HTTP = b"GET / HTTP/1.1\r\nHost: demo\r\n\r\n"


@dataclasses.dataclass(frozen=True)
class Target:
    """A Service port as its clients see it."""
    protocol: str
    addr: str
    port: int

    def __str__(self):
        addr = f"[{self.addr}]" if ":" in self.addr else self.addr
        return f"{addr}:{self.port}/{self.protocol}"


def open_socket(host, target):
    kind, number = KINDS[target.protocol]
    family = socket.AF_INET6 if ":" in target.addr else socket.AF_INET
    with hosts.inside(host):
        sock = socket.socket(family, kind, number)
    sock.setblocking(False)
    return sock


def name_in(answer):
    """Who answered: the last line of what came."""
    return answer.decode(errors="replace").rstrip("\n").rsplit("\n", 1)[-1]


def failure_name(error):
    # A datagram that is refused on its own node's way out fails at once with EPERM.
    names = {TimeoutError: "no answer", ConnectionRefusedError: "refused",
             PermissionError: "refused", ConnectionResetError: "reset"}
    return next((name for kind, name in names.items() if isinstance(error, kind)), str(error))


async def converse(sock, request):
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, request)
    answer = await loop.sock_recv(sock, 4096)
    if not answer:
        raise ConnectionResetError
    return name_in(answer)


async def ask_once(host, target):
    """One new flow: the name of who answered. OSError or TimeoutError."""
    sock = open_socket(host, target)
    try:
        async with asyncio.timeout(DEADLINE_SEC):
            await asyncio.get_running_loop().sock_connect(sock, (target.addr, target.port))
            if target.protocol != "UDP":
                return await converse(sock, HTTP)
            while True:
                try:
                    async with asyncio.timeout(RETRY_UDP_SEC):
                        return await converse(sock, b"who\n")
                except TimeoutError:
                    continue
    finally:
        sock.close()


@dataclasses.dataclass
class Count:
    answers: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    failures: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    @property
    def answered(self):
        return sum(self.answers.values())

    @property
    def failed(self):
        return sum(self.failures.values())

    async def add(self, asking):
        try:
            self.answers[await asking] += 1
        except OSError as error:  # TimeoutError is one, too
            self.failures[failure_name(error)] += 1


def ask(host, target, times):
    async def all_of_them():
        count = Count()
        while count.answered < times and count.failed < FAILURES_MAX:
            await count.add(ask_once(host, target))
        return count
    return asyncio.run(all_of_them())


class Load:
    """New connections at a rate, beside kept ones that ask again and again."""

    def __init__(self, host, target, rate, kept):
        self.host, self.target = host, target
        self.rate, self.kept = rate, kept
        self.new = Count()
        self.broken = collections.Counter()  # who held the kept connections that broke
        self.held = collections.Counter()  # who holds the kept connections
        self.ending = False

    async def run(self, story):
        """Loads until the coroutine `story` is through; its result."""
        kept = [asyncio.create_task(self.keep_one()) for _ in range(self.kept)]
        stream = asyncio.create_task(self.open_new())
        try:
            return await story
        finally:
            self.ending = True
            await asyncio.gather(stream, *kept)

    async def open_new(self):
        """At the rate on average: what a pause made late is caught up with."""
        start, sent, running = time.monotonic(), 0, set()
        while not self.ending:
            due = int((time.monotonic() - start) * self.rate)
            for _ in range(min(due - sent, self.rate)):
                task = asyncio.create_task(self.new.add(ask_once(self.host, self.target)))
                running.add(task)
                task.add_done_callback(running.discard)
            sent = max(sent, due)
            await asyncio.sleep(0.01)
        if running:
            await asyncio.wait(running)

    async def keep_one(self):
        sock = open_socket(self.host, self.target)
        name = None
        try:
            async with asyncio.timeout(DEADLINE_SEC):
                await asyncio.get_running_loop().sock_connect(
                    sock, (self.target.addr, self.target.port))
            while not self.ending:
                async with asyncio.timeout(DEADLINE_SEC):
                    answer = await converse(sock, b"still there?\n")
                if name is None:
                    self.held[answer] += 1
                name = answer
                await asyncio.sleep(KEPT_PAUSE_SEC)
        except OSError:
            self.broken[name] += 1
            self.held[name] -= 1
        finally:
            sock.close()
