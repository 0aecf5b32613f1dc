"""Cases of tests/net/run: peers that scan, flood, forge, do not read and do not write."""
import random
import re
import shutil
import socket
import struct
import threading
import time

from lab import NODE, must
from tcp_forge import ACK, FIN, PSH, RST, SYN, Stranger, Tap, segment
from tcp_lab import (CHUNK, DISCARD, ECHO, PATTERN_BYTES, REQUEST, SEED, SLOW, SOURCE, ask_source, download, exchange,
                     in_background, pattern, receive_exactly, receive_pattern, send_pattern, station_on, upload)

MB = 1 << 20


class GoodClient:
    """Asks on one connection, and on new ones, as long as the block lasts; any failure fails the case."""

    def __init__(self, wire):
        self.wire, self.stop, self.asked, self.opened, self.slowest_s = wire, threading.Event(), 0, 0, 0.0

    def ask(self, connection):
        started = time.monotonic()
        exchange(connection, self.asked)
        self.asked += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - started)

    def body(self):
        with self.wire.connect(REQUEST) as old:
            while not self.stop.is_set():
                self.ask(old)
                with self.wire.connect(REQUEST) as new:
                    self.ask(new)
                self.opened += 1

    def __enter__(self):
        self.background = in_background(self.body)
        self.background.__enter__()
        return self

    def __exit__(self, kind, value, trace):
        self.stop.set()
        self.background.__exit__(kind, value, trace)
        if kind is None:
            print(f"# a good client asked {self.asked} times on {self.opened} connections, at most "
                  f"{self.slowest_s * 1000:.0f} ms for an answer", flush=True)
            must(self.opened >= 3, f"the good client opened {self.opened} connections only")


def case_tcp_half_open_scans():
    if not shutil.which("nmap"):
        return "nmap is not installed"
    with station_on() as (wire, station):
        ports = ["-n", "-Pn", "-T5", "--max-retries", "1", "-p", "6981-7020", NODE]
        scan = wire.station("nmap", "-sS", *ports).stdout
        found = {int(port) for port in re.findall(r"^(\d+)/tcp open ", scan, re.MULTILINE)}
        must(found == {ECHO, DISCARD, SOURCE, REQUEST, SLOW}, f"open ports: {found}: {scan}")
        must("35 closed tcp ports (reset)" in scan, scan)
        for kind in ("-sF", "-sX", "-sA"):
            wire.station("nmap", kind, *ports)
        station.wait_for("half-open connections are left", lambda counts: counts["half_open"] == 0)
        with wire.connect(REQUEST) as connection:
            exchange(connection, 1)
        last = station.stop()
        must(last["opened"] == 1, f"a scan opened connections: {last}")
    return None


def case_tcp_syn_flood():
    chance = random.Random(SEED)
    with station_on() as (wire, station), Stranger(wire) as stranger:
        before = station.counts()
        with GoodClient(wire) as good:
            floods = 0
            while floods < 20000 or good.opened < 3:
                source = bytes((10, chance.getrandbits(8), chance.getrandbits(8), chance.randrange(1, 255)))
                stranger.send(segment(SYN, chance.getrandbits(32), sport=chance.randrange(1024, 65536), dport=REQUEST,
                                      source=source, options=struct.pack("!BBH", 2, 4, 1460)))
                floods += 1
            # and acknowledgements of cookies that nobody sent
            for _ in range(5000):
                source = bytes((10, chance.getrandbits(8), chance.getrandbits(8), chance.randrange(1, 255)))
                stranger.send(segment(ACK, chance.getrandbits(32), chance.getrandbits(32), dport=REQUEST,
                                      sport=chance.randrange(1024, 65536), source=source))
        counts = station.counts()
        must(counts["half_open"] <= 512 and counts["connections"] <= 512 + 2, f"half-open connections: {counts}")
        must(counts["tcp_cookie_sent"] > 0, f"no cookies were sent: {counts}")
        must(counts["opened"] - before["opened"] == good.opened + 1, f"sessions that nobody asked for: {counts}")
        # what the flood made the node send: an answer each, and those half-open again
        must(len(stranger.heard()) <= floods + 5000 + 4 * 512, "it answered more than was asked")
        station.stop(connections=None)


def case_tcp_forged_segments_of_a_stranger():
    for stamps in (1, 0):
        with station_on() as (wire, station):
            wire.sysctl(tcp_timestamps=stamps)
            with Stranger(wire) as stranger, Tap(wire) as tap, wire.connect(ECHO) as connection:
                forge(station, stranger, tap, connection)
                # The forger's tools work: with the exact number, a reset is one.
                seq, _ = tap.numbers(connection)
                stranger.send(segment(RST, seq, sport=connection.getsockname()[1], dport=ECHO))
                station.wait_for("the exact reset", lambda counts: counts["connections"] == 0)
            station.stop()


def echoed(connection, text):
    connection.sendall(text)
    answer = receive_exactly(connection, len(text))
    must(answer == text, f"the echo of {text!r} is {answer!r}")


def forge(station, stranger, tap, connection):
    chance, ends = random.Random(SEED), {"sport": connection.getsockname()[1], "dport": ECHO}
    anything = lambda: chance.getrandbits(32)
    echoed(connection, b"before")
    for _ in range(1000):  # blind: numbers out of four billion
        for flags, payload in ((RST, b""), (RST | ACK, b""), (SYN, b""), (SYN | ACK, b""), (ACK, b"evil" * 8),
                               (PSH | ACK | FIN, b"evil")):
            stranger.send(segment(flags, anything(), anything(), payload=payload, **ends))
    echoed(connection, b"after blind ones")
    for distance in list(range(1, 200)) + [1000, 30000, 60000]:  # nearly right (RFC 5961 3, 4 and 5)
        seq, ack = tap.numbers(connection) if distance == 1 else (seq, ack)
        stranger.send(segment(RST, seq + distance, **ends))
        stranger.send(segment(RST | ACK, seq + distance, ack, **ends))
        stranger.send(segment(RST, seq - distance, **ends))
        stranger.send(segment(SYN, seq + distance, **ends))
        stranger.send(segment(SYN, seq, **ends))
        stranger.send(segment(ACK | PSH, seq + distance % 8, ack + 100000 + distance, payload=b"evil", **ends))
        stranger.send(segment(ACK | PSH, seq, ack - (1 << 30), payload=b"evil", **ends))
        stranger.send(segment(FIN, seq, **ends))
    counts = station.wait_for("forged segments were not counted", lambda counts: counts["tcp_reset_doubtful"] >= 200)
    must(counts["connections"] == 1, f"the connection is gone: {counts}")
    must(counts["tcp_challenges_sent"] <= 10 * 20, f"challenged too often: {counts}")
    echoed(connection, b"after near ones")
    stranger.heard()
    echoed(connection, b"to whom it belongs")
    must(not stranger.heard(), "the stranger hears the connection")


def ask_and_not_read(wire, count):
    slow = []
    for _ in range(count):
        slow.append(wire.connect(SOURCE, SO_RCVBUF=8192))
        ask_source(slow[-1], 4 * MB)
    return slow


def case_tcp_slow_readers():
    """Twenty do not read what they asked for: the others are served, and they, when they read at last."""
    with station_on() as (wire, station):
        slow = ask_and_not_read(wire, 20)
        with GoodClient(wire):
            time.sleep(1.5)  # windows stay closed for so long that they are probed
            download(wire, 4 * MB)
            receive_pattern(slow[0], 4 * MB)
        for connection in slow:
            connection.close()
        last = station.stop()
        must(last["tcp_window_probes"] > 0 and last["tcp_hogs"] == 0, f"windows were not probed: {last}")


def case_tcp_readers_who_want_all_frames():
    """A hundred ask for more than there are frames, and read nothing: the others are served, and they make room."""
    with station_on() as (wire, station):
        with GoodClient(wire):
            slow = ask_and_not_read(wire, 100)
            download(wire, 4 * MB)
            station.wait_for("nobody made room", lambda counts: counts["tcp_hogs"] > 0)
            download(wire, 4 * MB)
        for connection in slow:
            connection.close()
        station.stop()


def case_tcp_writers_who_want_all_frames():
    """Sixty connections of a stranger leave a hole and fill what is behind it: the others are served, with loss."""
    with station_on() as (wire, station), Stranger(wire) as stranger:
        wire.lose(1)
        with GoodClient(wire):
            for sport in range(2000, 2060):
                stranger.open(DISCARD, sport)
                for number in range(1, 250):
                    stranger.send_data(1 + number * 1400, b"x" * 1400)
            counts = station.wait_for("the hole was filled", lambda counts: counts["tcp_gap_dropped_frames"] > 0)
            must(counts["receive_frames"] > 4096, f"frames were not short: {counts}")
            upload(wire, MB)
            download(wire, MB)
        wire.lose(0)
        station.stop(connections=None)


def case_tcp_slow_writers():
    """Two hundred send a request byte by byte: they are cut off in time, the others are served."""
    with station_on() as (wire, station):
        slow = [wire.connect(REQUEST) for _ in range(200)]
        with GoodClient(wire):
            for _ in range(6):
                for connection in slow:
                    try:
                        connection.send(b"x")
                    except OSError:  # it has been reset
                        pass
                time.sleep(0.3)
            station.wait_for("slow writers are kept", lambda counts: counts["connections"] <= 2)
        for connection in slow:
            connection.close()
        station.stop()


def case_tcp_a_slow_service():
    """The node's window closes and opens again, for two at once."""
    with station_on() as (wire, station):
        with in_background(upload, wire, 3 * MB, SLOW):
            upload(wire, 3 * MB, SLOW)
        with wire.connect(ECHO) as connection:  # a peer that sends and does not read: held, then all comes back
            sent = 0
            while sent < 64 * MB and (part := try_send(connection, sent)):
                sent += part
            must(sent < 64 * MB, "the node took everything")
            with in_background(finish, connection, sent):
                receive_pattern(connection, sent + CHUNK)
        station.stop()


def try_send(connection, at):
    """What the connection takes within a quarter of a second."""
    connection.settimeout(0.25)
    try:
        return connection.send(pattern()[at % PATTERN_BYTES:at % PATTERN_BYTES + CHUNK])
    except TimeoutError:
        return 0


def finish(connection, sent):
    connection.settimeout(20)
    send_pattern(connection, CHUNK, sent)
    connection.shutdown(socket.SHUT_WR)
