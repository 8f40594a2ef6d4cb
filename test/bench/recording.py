# SPDX-License-Identifier: Apache-2.0
"""From what bench_record saw to what `bench_kernel replay` sends.

The messages are the program's, byte for byte, those that change something. Their grouping is not:
the replay is to be the best that the kernel can do with them, so each family's go together, in their
order, in datagrams of up to 64 KiB with one ACK at the end; nftables' in as few transactions."""
import struct

NETLINK_ROUTE, NETLINK_NETFILTER, NETLINK_GENERIC = 0, 12, 16
ORDER = (NETLINK_NETFILTER, NETLINK_GENERIC, NETLINK_ROUTE)  # as within a slice of the daemon
SEND_MAX = 64 * 1024
NLM_F_ACK = 4
GENL_ID_CTRL = 0x10
IPVS_CHANGES = (1, 2, 3, 5, 6, 7)  # IPVS_CMD_NEW_SERVICE .. IPVS_CMD_DEL_DEST but _GET_SERVICE
RTM_NEWROUTE, RTM_DELROUTE = 24, 25
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11


def read(path):
    """(protocol, datagram) in order."""
    with open(path, "rb") as recording:
        while head := recording.read(8):
            protocol, length = struct.unpack("=II", head)
            yield protocol, recording.read(length)


def kind_of(message):
    return struct.unpack_from("=H", message, 4)[0]


def messages(datagram):
    """Each padded to its end, with no ACK asked for."""
    at = 0
    while at + 16 <= len(datagram):
        length, flags = struct.unpack_from("=IxxH", datagram, at)
        end = at + ((length + 3) & ~3)
        message = bytearray(datagram[at:end])
        struct.pack_into("=H", message, 6, flags & ~NLM_F_ACK)
        yield message
        at = end


def changes_something(protocol, datagram):
    kind = kind_of(datagram)
    if protocol == NETLINK_NETFILTER:
        return kind == NFNL_MSG_BATCH_BEGIN
    if protocol == NETLINK_ROUTE:
        return kind in (RTM_NEWROUTE, RTM_DELROUTE)
    return protocol == NETLINK_GENERIC and kind != GENL_ID_CTRL and datagram[16] in IPVS_CHANGES


def packed(group, frame):
    """One datagram: the last message asks for the ACK; `frame` goes around."""
    last = group[-1]
    struct.pack_into("=H", last, 6, struct.unpack_from("=H", last, 6)[0] | NLM_F_ACK)
    begin, end = frame
    return begin + b"".join(group) + end


def datagrams(group, frame):
    waiting, length = [], 0
    for message in group:
        if waiting and length + len(message) > SEND_MAX - 256:
            yield packed(waiting, frame)
            waiting, length = [], 0
        waiting.append(message)
        length += len(message)
    if waiting:
        yield packed(waiting, frame)


def convert(source, target):
    """Returns the number of messages and of datagrams."""
    by_protocol = {protocol: [] for protocol in ORDER}
    frame = [b"", b""]
    for protocol, datagram in read(source):
        if not changes_something(protocol, datagram):
            continue
        for message in messages(datagram):
            kind = kind_of(message)
            if protocol == NETLINK_NETFILTER and kind in (NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END):
                frame[kind == NFNL_MSG_BATCH_END] = bytes(message)
            else:
                by_protocol[protocol].append(message)
    count = 0
    with open(target, "wb") as out:
        for protocol in ORDER:
            around = frame if protocol == NETLINK_NETFILTER else (b"", b"")
            for datagram in datagrams(by_protocol[protocol], around):
                count += 1
                out.write(struct.pack("=II", protocol, len(datagram)) + datagram)
    return sum(map(len, by_protocol.values())), count
