"""Cases of tests/net/run: the same clients' bytes to a node on a DPDK port and to one over kernel sockets. What comes
back is the same, byte for byte, and so is how it ends.

WILD_SEED: of the random scripts (7). Masked, before replies are compared, is what two nodes cannot have in common:
  * a reply's history: each node has a random one. It must be the same in all of a node's replies.
  * HEALTH's uptime; and its items and lines in use once there was a FLUSH, as those are given back by and by
  * in pages: the time in Date, the numbers of /stats and /metrics, and where chunks end (with the room in segments)
At the end the nodes have counted the same, but for what depends on how bytes were delivered (DELIVERY).
"""
import json
import random
import re
import select
import socket
import struct
import threading
import time
from types import SimpleNamespace

from differential_scripts import (CAPACITY, FLUSH, GOOD, HEALTH, MAGIC, MESSAGE_HEADER, PLAIN, RECORD_HEADER, Script,
                                  http_scripts, native_scripts, request, sealed_scripts)
from lab import NODE, PORT, Node, must, network, place, run
from tcp_lab import SEED, TIMEOUT_S, inside

OWN, KERNEL = NODE, "127.0.0.1"  # both are reached from the station's namespace
PAUSE_S, LATE_S = 0.0005, 0.1
LATE_BYTES = 4096
REPLY_HEADER, HEALTH_BYTES = 24, 48
ITEMS, LINES, UPTIME = slice(16, 24), slice(32, 40), slice(40, 48)  # in HEALTH's value
DATE = rb"\r\nDate: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n"
DELIVERY = {"native_tcp_blocked", "native_tcp_buffer_waits"}


def two_nodes(net, auth):
    """The same node twice: on the network's port, and over kernel sockets among its clients."""
    options = ["--workers", "1", "--capacity", str(CAPACITY)]
    net.start(*options, auth=auth)
    beside = Node(SimpleNamespace(node_ns=net.station_ns), ["--nic", "kernel", "--bind-address", KERNEL, *options],
                  auth=auth)
    net.nodes.append(beside)
    beside.wait_ready()


# ---- playing ----

def speak(connection, piece, heard):
    """Writes it; and reads meanwhile, or a long one could wait for us to read what it asks for."""
    while len(piece) > 1 << 16:
        readable, writable, _ = select.select([connection], [connection], [], TIMEOUT_S)
        must(readable or writable, "neither side moves")
        if writable:
            piece = piece[connection.send(piece[:1 << 12]):]
        if readable:
            heard += connection.recv(1 << 16)
    connection.sendall(piece)


def listen(connection, heard):
    """To the end of what the node says; how it ends."""
    try:
        while part := connection.recv(1 << 16):
            heard += part
        return "fin"
    except ConnectionError:
        return "reset"
    except TimeoutError:
        return "open"


def play(address, script):
    """What came back, and how it ended: fin, reset, or open, which no script leaves a connection."""
    heard, was_reset = bytearray(), False
    with socket.socket() as connection:
        connection.settimeout(TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if script.late:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LATE_BYTES)
        connection.connect((address, PORT))
        try:
            for piece in script.pieces:
                speak(connection, piece, heard)
                if script.pause:
                    time.sleep(PAUSE_S)
            if script.ends == "client":
                connection.shutdown(socket.SHUT_WR)
        except OSError as why:  # the system tells of a reset once: here, or when we read on
            must(not isinstance(why, TimeoutError), f"{script.name}: nothing is taken")
            was_reset = True
        if script.late:
            time.sleep(LATE_S)
        end = listen(connection, heard)
    return bytes(heard), "reset" if was_reset else end


def on_both(net, what):
    """Runs what(address) for both nodes at once, with sockets of the station's; both results."""
    results, failures = {}, []

    def body(address):
        try:
            with inside(net.station_ns):
                results[address] = what(address)
        except Exception as why:  # pylint: disable=broad-except
            failures.append(f"at {address}: {why!r}")

    threads = [threading.Thread(target=body, args=(address,), daemon=True) for address in (OWN, KERNEL)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    must(not failures, f"{failures} (WILD_SEED={SEED})")
    return results[OWN], results[KERNEL]


# ---- masks ----

class Masks:
    """Of one node: what it says in replies, without what is its own."""

    def __init__(self):
        self.history, self.flushed = None, False
        self.seen = set()  # statuses

    def message(self, body):
        must(len(body) >= MESSAGE_HEADER, f"a reply message of {len(body)} bytes")
        count, = struct.unpack_from("<H", body, 2)
        history = body[8:16]
        must(self.history in (None, history) and any(history), "a node's history changes")
        self.history = history
        out, at = bytearray(body), MESSAGE_HEADER
        out[8:16] = bytes(8)
        for _ in range(count):
            must(at + REPLY_HEADER <= len(body), "a reply is cut off")
            opcode, status, length = struct.unpack_from("<BBH", body, at)
            self.seen.add(status)
            at += REPLY_HEADER
            if opcode == HEALTH and status == 0:
                must(length == HEALTH_BYTES, "HEALTH's length")
                for masked in (UPTIME, *((ITEMS, LINES) if self.flushed else ())):
                    out[at + masked.start:at + masked.stop] = bytes(8)
            self.flushed = self.flushed or (opcode == FLUSH and status == 0)
            at += length
        must(at == len(body), "a reply message has something behind its replies")
        return bytes(out)

    def records(self, script, heard):
        """Of a PLAIN connection."""
        out, at = [], 0
        while at < len(heard):
            must(len(heard) - at >= RECORD_HEADER, f"{script.name}: a record is cut off")
            magic, kind, length = struct.unpack_from("<BBH", heard, at)
            at += RECORD_HEADER
            must(magic == MAGIC and kind == PLAIN and at + length <= len(heard), f"{script.name}: not a record of ours")
            out.append(self.message(heard[at:at + length]))
            at += length
        return out

    def responses(self, script, heard):
        """Of HTTP: heads and bodies in turn."""
        out = []
        for method in script.methods:
            if not heard:
                break
            head, blank, heard = heard.partition(b"\r\n\r\n")
            must(blank and head.startswith(b"HTTP/1.1 "), f"{script.name}: no head: {head[:80]}")
            self.seen.add(int(head[9:12]))
            masked, dates = re.subn(DATE, b"\r\n", head)
            must(dates == 1, f"{script.name}: one date: {head}")
            body = b""
            if method != "HEAD":
                body, heard = body_of(script, head, heard)
            out += [masked, masked_numbers(body)]
        must(not heard, f"{script.name}: more than was asked for: {heard[:80]}")
        return out


def body_of(script, head, heard):
    """A response's body, and what follows it."""
    if length := re.search(rb"\r\nContent-Length: (\d+)", head):
        return heard[:int(length[1])], heard[int(length[1]):]
    if b"\r\nTransfer-Encoding: chunked" not in head:
        return heard, b""
    body = b""
    while True:
        chunk = re.match(rb"([0-9a-f]{1,8})\r\n", heard)
        must(chunk, f"{script.name}: no chunk: {heard[:40]}")
        length, heard = int(chunk[1], 16), heard[chunk.end():]
        must(heard[length:length + 2] == b"\r\n", f"{script.name}: a chunk without its end")
        body, heard = body + heard[:length], heard[length + 2:]
        if length == 0:
            return body, heard


def masked_numbers(page):
    if page.startswith(b'{"version":'):
        return re.sub(rb'":\d+', b'":0', page)
    if page.startswith(b"# HELP wild_"):
        return re.sub(rb"^(wild_[a-z0-9_]+) \d+$", rb"\1 0", page, flags=re.MULTILINE)
    return page


# ---- comparing ----

def first_difference(own, kernel):
    for i, (a, b) in enumerate(zip(own, kernel)):
        if a != b:
            return f"part {i}: {a[:300]!r} against {b[:300]!r}"
    return f"{len(own)} parts against {len(kernel)}"


def compare(name, own, kernel):
    """Each: parts, and the end."""
    must(own[1] == kernel[1], f"{name} (WILD_SEED={SEED}): ends by {own[1]} against {kernel[1]} over the kernel")
    must(own[0] == kernel[0], f"{name} (WILD_SEED={SEED}): {first_difference(own[0], kernel[0])} over the kernel")
    must(not own[1].startswith("open"), f"{name} (WILD_SEED={SEED}): both leave it open")


def play_and_compare(net, scripts, parse):
    """parse: one of Masks' functions. Returns the statuses and ends that came."""
    started = time.monotonic()
    own, kernel = on_both(net, lambda address: [play(address, script) for script in scripts])
    masks, ends = (Masks(), Masks()), set()
    for script, a, b in zip(scripts, own, kernel):
        compare(script.name, *((parse(mask, script, heard), end) for mask, (heard, end) in zip(masks, (a, b))))
        ends.add(a[1])
    print(f"# WILD_SEED={SEED}: {len(scripts)} scripts, {sum(len(heard) for heard, _ in own)} bytes came back, "
          f"{time.monotonic() - started:.1f} s", flush=True)
    must(masks[0].seen == masks[1].seen and ends == {"fin", "reset"}, f"ends: {ends}")
    return masks[0].seen


def counters(address):
    with socket.create_connection((address, PORT), timeout=TIMEOUT_S) as connection:
        connection.sendall(request("GET /stats HTTP/1.0"))
        page = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    return json.loads(page.partition(b"\r\n\r\n")[2])["counters"]


def compare_counters(net):
    own, kernel = on_both(net, counters)
    for name in own:
        if name.startswith(("native_", "http_")) and name not in DELIVERY:
            must(own[name] == kernel[name], f"{name}: {own[name]} against {kernel[name]} over the kernel")


def case_differential_native_and_http_without_a_secret():
    chance = random.Random(SEED)
    with network("veth") as net:
        two_nodes(net, ["--insecure-no-auth"])
        seen = play_and_compare(net, list(http_scripts(chance)), Masks.responses)
        must(seen == {200, 400, 404, 405, 413, 414, 431, 505}, f"HTTP's statuses: {seen}")
        seen = play_and_compare(net, list(native_scripts(chance)), Masks.records)
        must(seen == {0, 1, 2, 3, 4, 5, 6, 8, 9, 13, 14}, f"statuses of operations: {seen}")
        compare_counters(net)
        for node in net.nodes:
            must(node.stop() == 0, f"SIGTERM: {node.log()}")


# ---- sealed ----

def sessions(scripts, address):
    """What sealed_client printed for each: parts, and the end."""
    done = run(f"{place.build}/tests/net/sealed_client", address, str(PORT), place.secret_file,
               input="".join(line + "\n" for _, lines in scripts for line in lines), timeout=60)
    results, parts = [], []
    for line in done.stdout.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "end":
            results.append((parts, rest))
            parts = []
        else:
            parts.append(bytes.fromhex(rest) if kind == "message" else line)
    must(len(results) == len(scripts), f"sealed_client: {len(results)} sessions: {done.stderr}")
    return results


def case_differential_sealed_sessions():
    chance = random.Random(SEED)
    with network("veth") as net:
        two_nodes(net, None)
        started = time.monotonic()
        scripts = list(sealed_scripts(chance))
        own, kernel = on_both(net, lambda address: sessions(scripts, address))
        masks, ends = (Masks(), Masks()), set()
        for (name, _), *both in zip(scripts, own, kernel):
            compare(name, *(([part if isinstance(part, str) else mask.message(part) for part in parts], end)
                            for mask, (parts, end) in zip(masks, both)))
            ends.add(both[0][1])
        print(f"# WILD_SEED={SEED}: {len(scripts)} sessions, {sum(len(parts) for parts, _ in own)} records came back, "
              f"{time.monotonic() - started:.1f} s", flush=True)
        must(ends >= {"fin", "reset"} and masks[0].seen == masks[1].seen >= {0, 1, 2, 3, 6, 8, 9, 12, 13, 14},
             f"{ends} {masks[0].seen}")
        strangers = [Script("PLAIN", [GOOD], "node"), Script("PLAIN, and the end", [GOOD])]
        own, kernel = on_both(net, lambda address: [play(address, script) for script in strangers])
        must(own == kernel == [(b"", "reset")] * 2, f"PLAIN at nodes with a secret: {own} {kernel}")
        compare_counters(net)
        for node in net.nodes:
            must(node.stop() == 0, f"SIGTERM: {node.log()}")
