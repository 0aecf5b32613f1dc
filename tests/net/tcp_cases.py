"""Cases of tests/net/run: our TCP carries what Linux's sends, and the other way round, over links good and bad.

WILD_TCP_BYTES: how much goes each way in the bulk case (2^30).
"""
import os
import resource
import selectors
import socket
import struct
import threading
import time

from lab import NODE, must, run
from tcp_lab import (DISCARD, ECHO, REQUEST, SOURCE, TIMEOUT_S, ask_source, download, exchange, in_background,
                     inside, receive_exactly, receive_pattern, send_pattern, station_on, upload)

MB = 1 << 20


def rate(what, count, started):
    """For information only."""
    print(f"# {what}: {count / (time.monotonic() - started) / 1e6:.0f} MB/s", flush=True)


def both_ways(wire, count, what=None):
    started = time.monotonic()
    download(wire, count)
    if what:
        rate(f"{what}, to Linux", count, started)
    started = time.monotonic()
    upload(wire, count)
    if what:
        rate(f"{what}, from Linux", count, started)


def at_once(wire, station, count):
    """The same connection carries both directions at the same time."""
    with wire.connect(SOURCE) as connection:
        ask_source(connection, count)
        with in_background(send_pattern, connection, count):
            receive_pattern(connection, count)
        connection.shutdown(socket.SHUT_WR)
        take_sources(station, count)


def take_sources(station, received):
    """The station's report of the session of source that got this much of the pattern, perhaps behind others'."""
    while True:
        session = station.session()
        must(session[4], f"the station got wrong bytes: {session}")
        if session[0] == "source" and session[2] == received:
            return session


# ---- bulk ----

def case_tcp_carries_bulk_each_way():
    count = int(os.environ.get("WILD_TCP_BYTES", str(1 << 30)), 0)
    with station_on(bridged=False) as (wire, station):
        both_ways(wire, count, "bulk")
        at_once(wire, station, 32 * MB)
        station.stop()


def case_tcp_survives_loss():
    for percent, count in ((1, 24 * MB), (5, 4 * MB)):
        with station_on() as (wire, station):
            wire.lose(percent)
            both_ways(wire, count, f"{percent} % lost")
            at_once(wire, station, count // 4)
            wire.lose(0)
            last = station.stop()
            must(last["tcp_recoveries"] + last["tcp_tail_probes"] > 0 and last["tcp_gap_kept"] > 0, str(last))


def case_tcp_without_linux_s_options():
    for off in ({"tcp_timestamps": 0}, {"tcp_sack": 0}, {"tcp_window_scaling": 0},
                {"tcp_timestamps": 0, "tcp_sack": 0, "tcp_window_scaling": 0}, {"tcp_ecn": 1}):
        with station_on() as (wire, station):
            wire.sysctl(**off)
            both_ways(wire, 6 * MB)
            at_once(wire, station, 2 * MB)
            wire.lose(1)
            both_ways(wire, MB)
            wire.lose(0)
            station.stop()


# ---- many ----

class Crowd:
    """Connections that are all open at once; each asks one question."""

    def __init__(self, wire, count):
        self.selector = selectors.DefaultSelector()
        self.left, self.answered, self.connections, self.wire = count, 0, [], wire

    def begin(self, together):
        with inside(self.wire.station_ns):
            for _ in range(min(self.left, together)):
                connection = socket.socket()
                connection.setblocking(False)
                connection.connect_ex((NODE, REQUEST))
                self.selector.register(connection, selectors.EVENT_WRITE)
                self.connections.append(connection)
                self.left -= 1

    def turn(self):
        for key, events in self.selector.select(timeout=5):
            connection = key.fileobj
            if events & selectors.EVENT_WRITE:
                must(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0, "a connection was refused")
                connection.send(struct.pack("<Q", connection.fileno()) * 8)
                self.selector.modify(connection, selectors.EVENT_READ)
            else:
                reply = connection.recv(100)
                must(reply == bytes(byte ^ 0xFF for byte in struct.pack("<Q", connection.fileno()) * 8), "wrong reply")
                self.selector.unregister(connection)
                self.answered += 1


def case_tcp_ten_thousand_connections_at_once():
    count = 10000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        return f"needs {count + 100} open files, {hard} are allowed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, hard))
    with station_on() as (wire, station):
        wire.sysctl(ip_local_port_range="10000 60000")
        crowd, until = Crowd(wire, count), time.monotonic() + 60
        while crowd.answered < count:
            in_flight = len(crowd.connections) - crowd.answered
            if in_flight < 200:
                crowd.begin(100)
            crowd.turn()
            must(time.monotonic() < until, f"{crowd.answered} of {count} answered in a minute")
        counts = station.counts()
        must(counts["connections"] == count, f"connections: {counts}")
        with wire.connect(REQUEST) as one_more:
            exchange(one_more, 1)
        for connection in crowd.connections:
            connection.close()
        last = station.stop()
        must(last["tcp_accepted"] == count + 1, f"accepted: {last}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return None


def case_tcp_connections_that_the_node_closes():
    """The node's end waits in TIME-WAIT, for each of them."""
    with station_on() as (wire, station):
        for number in range(1000):
            with wire.connect(SOURCE) as connection:
                ask_source(connection, 10, number)
                receive_pattern(connection, 10, number)
        last = station.stop()
        must(last["time_wait"] + last["tcp_time_wait_reused"] == 1000, f"TIME-WAITs: {last}")


# ---- ends ----

def case_tcp_half_closes_both_ways():
    count = 4 * MB
    with station_on() as (wire, station):
        with wire.connect(SOURCE) as connection:  # Linux ends first, and is sent all the same
            ask_source(connection, count, 99)
            connection.shutdown(socket.SHUT_WR)
            receive_pattern(connection, count, 99)
        must(station.session()[:4] == ("source", "closed", 0, count), "the first session")
        with wire.connect(SOURCE) as connection:  # the station ends first, and takes all the same
            ask_source(connection, 10)
            receive_pattern(connection, 10)
            send_pattern(connection, count)
        must(station.session() == ("source", "closed", count, 10, True), "the second session")
        station.stop()


def case_tcp_resets_in_the_middle():
    linger = struct.pack("ii", 1, 0)
    with station_on() as (wire, station):
        for port in (SOURCE, DISCARD, ECHO):
            with wire.connect(port) as connection:
                if port == SOURCE:
                    ask_source(connection, 1 << 40)
                    receive_exactly(connection, MB)
                else:
                    connection.settimeout(0.3)
                    try:
                        send_pattern(connection, 100 * MB if port == DISCARD else 4 * MB)
                    except TimeoutError:  # nobody reads the echo
                        pass
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        for _ in (SOURCE, DISCARD):
            session = station.session()
            must(session[1] == "reset" and session[4], f"how it ended: {session}")
        station.stop()


def case_tcp_a_peer_that_vanishes_and_returns():
    with station_on() as (wire, station):
        with wire.connect(SOURCE) as connection:
            ask_source(connection, 16 * MB)
            first = receive_exactly(connection, 1000)
            run("ip", "-n", wire.middle_ns, "link", "set", "to_linux", "down")
            time.sleep(1.5)
            must(station.counts()["tcp_timeouts"] > 0, "nothing timed out")
            run("ip", "-n", wire.middle_ns, "link", "set", "to_linux", "up")
            must(len(first) == 1000, "the beginning")
            with wire.connect(ECHO) as other:
                other.sendall(b"hello")
                must(receive_exactly(other, 5) == b"hello", "echo")
            receive_pattern(connection, 16 * MB - 1000, 1000)
        with wire.connect(SOURCE) as connection:  # for good: the node ends with frames in flight
            ask_source(connection, 64 * MB)
            receive_exactly(connection, 1000)
            run("ip", "-n", wire.middle_ns, "link", "set", "to_linux", "down")
            time.sleep(0.3)
            last = station.stop(connections=1)
            must(last["send_frames"] > 0, f"nothing was in flight: {last}")


# ---- paths ----

def case_tcp_finds_a_black_hole():
    """Long packets vanish and no router says so."""
    with station_on() as (wire, station):
        wire.sysctl(tcp_mtu_probing=1)
        for port in ("to_node", "to_linux"):
            wire.drop(port, "ip length > 1200")
        both_ways(wire, MB // 2)
        last = station.stop()
        must(last["tcp_path_black_hole"] > 0, f"not noticed: {last}")


def case_tcp_obeys_a_router_s_icmp():
    """A hop of 1,000 bytes behind a router that says so."""
    with station_on(bridged=False) as (wire, station):
        far = wire.node_ns + "far"
        wire.add_namespace(far)
        wire.veth(far, "far0", wire.station_ns, "near0")
        for namespace, interface, address in ((far, "far0", "198.19.0.2/24"),
                                              (wire.station_ns, "near0", "198.19.0.1/24")):
            run("ip", "-n", namespace, "addr", "add", address, "dev", interface)
        run("ip", "-n", wire.station_ns, "link", "set", "near0", "mtu", "1000")
        run("ip", "-n", far, "route", "add", "default", "via", "198.19.0.1", "mtu", "lock", "1000", "advmss", "1460")
        wire.sysctl(ip_forward=1)
        wire.station_ns, router = far, wire.station_ns
        try:
            both_ways(wire, 16 * MB)
        finally:
            wire.station_ns = router
        last = station.stop()
        must(last["tcp_path_lowered"] > 0 and last["tcp_path_black_hole"] == 0, f"not obeyed: {last}")


# ---- the node opens ----

def serve_echo(listener, connections):
    def one(connection):
        with connection:
            while part := connection.recv(1 << 16):
                connection.sendall(part)

    threads = []
    for _ in range(connections):
        connection, _ = listener.accept()
        connection.settimeout(TIMEOUT_S)
        threads.append(threading.Thread(target=one, args=(connection,), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(timeout=TIMEOUT_S)


def case_tcp_opens_to_linux():
    with station_on() as (wire, station):
        listener = wire.listen(5000)
        for connections, count, loss in ((1, 32 * MB, 0), (100, 100000, 0), (20, 50000, 2)):
            wire.lose(loss)
            with in_background(serve_echo, listener, connections):
                for _ in range(connections):
                    station.connect(wire, 5000, "source", count)
                for _ in range(connections):
                    session = station.session()
                    must(session == ("source", "closed", count, count, True), f"how it ended: {session}")
        wire.lose(0)
        with in_background(take_all, listener, MB):
            station.connect(wire, 5000, "source", MB)
            must(station.session()[:4] == ("source", "closed", 0, MB), "one way")
        listener.close()
        station.connect(wire, 5001, "source", 1)
        must(station.session()[1] == "refused", "a closed port")
        wire.nft("add table ip t", "add chain ip t c { type filter hook input priority 0; }",
                 "add rule ip t c tcp dport 5002 reject with icmp type prot-unreachable", namespace=wire.station_ns)
        station.connect(wire, 5002, "source", 1)
        must(station.session()[1] == "unreachable", "a protocol that the peer does not speak")
        station.stop()


def take_all(listener, count):
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(TIMEOUT_S)
        receive_pattern(connection, count)
