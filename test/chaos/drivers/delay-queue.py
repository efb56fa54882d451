"""Holds packets back for a while: `delay-queue.py QUEUE MS JITTER_MS SEED`, in the network namespace whose rules send packets to that queue.

For kernels without netem. Speaks to the kernel's packet queue (nfnetlink_queue) over a netlink socket; needs nothing but Python. Packets keep
their order: a link that is slow is not one that shuffles. Prints `ready` when packets wait here. Ends, and lets go of all packets, when its
input is closed or at SIGTERM; the rule that feeds it should be gone by then.
"""

import collections
import errno
import random
import select
import signal
import socket
import struct
import sys
import time

NETLINK_NETFILTER = 12
SUBSYSTEM_QUEUE = 3
MESSAGE_PACKET, MESSAGE_VERDICT, MESSAGE_CONFIG = 0, 1, 2
FLAG_REQUEST, FLAG_ACKNOWLEDGE = 1, 4
TYPE_ERROR = 2
CONFIG_COMMAND, CONFIG_PARAMETERS, CONFIG_LENGTH_MAX = 1, 2, 3
COMMAND_BIND = 1
COPY_META = 1
ATTRIBUTE_PACKET_HEADER, ATTRIBUTE_VERDICT_HEADER = 1, 2
VERDICT_ACCEPT = 1
SO_RCVBUFFORCE = 33
PACKETS_MAX = 65536
RECEIVE_BYTES = 1 << 20


def attribute(kind, payload):
    padding = b"\0" * (-len(payload) % 4)
    return struct.pack("=HH", 4 + len(payload), kind) + payload + padding


def message(kind, flags, queue, payload):
    body = struct.pack("!BBH", socket.AF_UNSPEC, 0, queue) + payload
    return struct.pack("=IHHII", 16 + len(body), SUBSYSTEM_QUEUE << 8 | kind, flags, 0, 0) + body


def messages(data):
    """(type, body) of each netlink message in a datagram."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if length < 16:
            return
        yield kind, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def packet_id(body):
    offset = 4
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        if length < 4:
            return None
        if kind == ATTRIBUTE_PACKET_HEADER:
            return struct.unpack_from("!I", body, offset + 4)[0]
        offset += (length + 3) & ~3
    return None


def configure(link, queue, payload):
    link.send(message(MESSAGE_CONFIG, FLAG_REQUEST | FLAG_ACKNOWLEDGE, queue, payload))
    for kind, body in messages(link.recv(65536)):
        if kind == TYPE_ERROR:
            code = -struct.unpack_from("=i", body)[0]
            if code != 0:
                raise OSError(code, errno.errorcode.get(code, "unknown error"))


def main():
    queue, delay_ms, jitter_ms, seed = (int(float(text)) for text in sys.argv[1:5])
    chance = random.Random(seed)
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    try:
        link.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    except OSError:
        pass
    link.bind((0, 0))
    configure(link, queue, attribute(CONFIG_COMMAND, struct.pack("!BBH", COMMAND_BIND, 0, 0)))
    configure(link, queue, attribute(CONFIG_PARAMETERS, struct.pack("!IB", 0, COPY_META)))
    configure(link, queue, attribute(CONFIG_LENGTH_MAX, struct.pack("!I", PACKETS_MAX)))
    link.setblocking(False)

    waiting = collections.deque()

    def release(now):
        while waiting and waiting[0][0] <= now:
            verdict = struct.pack("!II", VERDICT_ACCEPT, waiting.popleft()[1])
            link.send(message(MESSAGE_VERDICT, FLAG_REQUEST, queue, attribute(ATTRIBUTE_VERDICT_HEADER, verdict)))

    def end(*_):
        release(float("inf"))
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    last = 0.0
    while True:
        now = time.monotonic()
        release(now)
        timeout = max(0.0, waiting[0][0] - now) if waiting else None
        readable, _, _ = select.select([link, sys.stdin], [], [], timeout)
        if sys.stdin in readable and not sys.stdin.buffer.raw.read(4096):
            end()
        if link not in readable:
            continue
        while True:
            try:
                data = link.recv(RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                # The kernel had more to tell than the buffer takes: those packets are lost, as on an overloaded link.
                if error.errno == errno.ENOBUFS:
                    continue
                raise
            now = time.monotonic()
            for kind, body in messages(data):
                if kind != SUBSYSTEM_QUEUE << 8 | MESSAGE_PACKET:
                    continue
                number = packet_id(body)
                if number is None:
                    continue
                delay = max(0.0, delay_ms + chance.uniform(-jitter_ms, jitter_ms)) / 1000
                last = max(last, now + delay)
                waiting.append((last, number))


main()
