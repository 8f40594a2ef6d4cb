#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Answers in the place of Pods: everybody who asks is told which Pod answered.

Started once for all of them. Reads commands as JSON lines from stdin and confirms each with a line
(the next one is sent after that):

    {"start": "shop/web-1", "netns": "pod3", "addrs": ["10.244.0.2"], "ports": [["TCP", 8080]]}
    {"stop": "shop/web-1"}

A request is whatever arrives: one that looks like HTTP gets an HTTP answer, any other a line. The
connection stays open for the next one. Stopping closes the listeners and the open connections, as
the end of a process does. Ends with its stdin.
"""
import json
import selectors
import socket
import sys

from lab import hosts

BACKLOG = 1024
REQUEST_MAX = 4096
KINDS = {
    "TCP": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "SCTP": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
    "UDP": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
}


def answer_to(request, name):
    if request.split(b" ", 1)[0] in (b"GET", b"HEAD", b"POST"):
        return (f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                f"Content-Length: {len(name) + 1}\r\n\r\n{name}\n").encode()
    return name.encode() + b"\n"


class StandIns:
    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.sockets = {}  # name -> its sockets

    def start(self, name, netns, addrs, ports):
        with hosts.inside(netns):
            for addr in addrs:
                for protocol, port in ports:
                    self.listen(name, addr, protocol, port)

    def listen(self, name, addr, protocol, port):
        kind, number = KINDS[protocol]
        family = socket.AF_INET6 if ":" in addr else socket.AF_INET
        sock = socket.socket(family, kind, number)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind((addr, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
            self.add(name, sock, self.accept)
        else:
            self.add(name, sock, self.answer_datagrams)

    def add(self, name, sock, ready):
        self.sockets.setdefault(name, set()).add(sock)
        self.selector.register(sock, selectors.EVENT_READ, (ready, name))

    def drop(self, name, sock):
        self.selector.unregister(sock)
        self.sockets[name].discard(sock)
        sock.close()

    def stop(self, name):
        for sock in list(self.sockets.pop(name, ())):
            self.selector.unregister(sock)
            sock.close()

    def accept(self, name, listener):
        try:
            while True:
                sock, _ = listener.accept()
                sock.setblocking(False)
                self.add(name, sock, self.answer_stream)
        except BlockingIOError:
            pass

    def answer_stream(self, name, sock):
        try:
            request = sock.recv(REQUEST_MAX)
            if request:
                sock.send(answer_to(request, name))
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.drop(name, sock)

    def answer_datagrams(self, name, sock):
        try:
            while True:
                request, client = sock.recvfrom(REQUEST_MAX)
                sock.sendto(answer_to(request, name), client)
        except OSError:
            pass

    def obey(self, line):
        command = json.loads(line)
        if "start" in command:
            self.start(command["start"], command["netns"], command["addrs"], command["ports"])
        else:
            self.stop(command["stop"])

    def serve(self):
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        while True:
            for key, _ in self.selector.select():
                if key.data:
                    ready, name = key.data
                    if key.fileobj.fileno() >= 0:
                        ready(name, key.fileobj)
                    continue
                line = sys.stdin.readline()
                if not line:
                    return
                self.confirm(line)

    def confirm(self, line):
        try:
            self.obey(line)
            print("ok", flush=True)
        except (OSError, ValueError, KeyError) as error:
            print(f"failed: {error}", flush=True)


if __name__ == "__main__":
    StandIns().serve()
