"""What the TCP cases of tests/net/run share: a link that can be impaired, tcp_station at one end of it, sockets of
Linux's at the other.

A wire is a namespace for the station, one for Linux, and one between them with a bridge: there segments are dropped,
strangers are attached and plugs are pulled, and neither end notices how.
"""
import ctypes
import functools
import os
import queue
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager

from lab import NODE, STATION, Failed, Network, must, networks, place, run

PATTERN_BYTES = 1048573
ECHO, DISCARD, SOURCE, REQUEST, SLOW = range(7001, 7006)
CHUNK = 1 << 18
SEED = int(os.environ.get("WILD_SEED", "7"), 0)
TIMEOUT_S = 20  # no case waits longer for one answer
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


@functools.lru_cache(maxsize=1)
def pattern():
    """As in tcp_services.c, twice over, so that a chunk starting anywhere in the first one is in one piece."""
    mask, state = (1 << 64) - 1, (SEED + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    words = []
    for _ in range(4 + PATTERN_BYTES // 8 + 1):
        state ^= state >> 12
        state = (state ^ state << 25) & mask
        state ^= state >> 27
        words.append(state * 2685821657736338717 & mask)
    once = struct.pack(f"<{len(words) - 4}Q", *words[4:])[:PATTERN_BYTES]
    return memoryview(once + once)


@contextmanager
def inside(namespace):
    """This thread makes sockets of that namespace; they stay there."""
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{namespace}", "rb") as away:
        must(libc.setns(away.fileno(), CLONE_NEWNET) == 0, "setns")
        try:
            yield
        finally:
            must(libc.setns(home.fileno(), CLONE_NEWNET) == 0, "setns back")


class Wire(Network):
    """The station's interface, Linux's, and a bridge between their other ends (or none: one veth pair)."""

    def __init__(self, bridged=True):  # pylint: disable=super-init-not-called
        Network.serial += 1
        name = f"wild{os.getpid()}n{Network.serial}"
        self.kind, self.nodes, self.namespaces = "veth", [], []
        self.node_ns, self.station_ns, self.middle_ns = name, name + "s", name + "m"
        self.interface, self.peer = "node0", "linux0"
        self.stations = []
        networks.append(self)
        for namespace in (self.node_ns, self.station_ns):
            self.add_namespace(namespace)
        if bridged:
            self.add_namespace(self.middle_ns)
            run("ip", "-n", self.middle_ns, "link", "add", "bridge0", "type", "bridge")
            run("ip", "-n", self.middle_ns, "link", "set", "bridge0", "up")
            self.plug(self.node_ns, self.interface, "to_node")
            self.plug(self.station_ns, self.peer, "to_linux")
        else:
            self.veth(self.node_ns, self.interface, self.station_ns, self.peer)
        self.address_station()

    def veth(self, namespace, interface, other_ns, other):
        run("ip", "-n", namespace, "link", "add", interface, "type", "veth", "peer", "name", other, "netns", other_ns)
        for where, which in ((namespace, interface), (other_ns, other)):
            run("ip", "netns", "exec", where, "sysctl", "-qw", f"net.ipv6.conf.{which}.disable_ipv6=1", check=False)
            run("ip", "netns", "exec", where, "ethtool", "-K", which, "tx", "off")
            run("ip", "-n", where, "link", "set", which, "up")

    def plug(self, namespace, interface, port):
        self.veth(namespace, interface, self.middle_ns, port)
        run("ip", "-n", self.middle_ns, "link", "set", port, "master", "bridge0")

    def nft(self, *lines, namespace=None):
        run("ip", "netns", "exec", namespace or self.middle_ns, "nft", "-f", "-", input="\n".join(lines) + "\n")

    def drop(self, port, rule):
        """What comes from that port and the rule selects is lost. The rules of a port replace those before."""
        self.nft(f"add table netdev {port}", f"delete table netdev {port}", f"add table netdev {port}",
                 f"add chain netdev {port} c {{ type filter hook ingress device {port} priority 0; }}",
                 *([f"add rule netdev {port} c {rule} drop"] if rule else []))

    def lose(self, percent):
        for port in ("to_node", "to_linux"):
            self.drop(port, f"numgen random mod 1000 < {int(percent * 10)}" if percent else None)

    def sysctl(self, **values):
        for name, value in values.items():
            run("ip", "netns", "exec", self.station_ns, "sysctl", "-qw", f"net.ipv4.{name}={value}")

    def mac(self, namespace, interface):
        return re.search(r"link/ether (\S+)", run("ip", "-n", namespace, "link", "show", interface).stdout)[1]

    def run_station(self):
        station = TcpStation(self)
        self.stations.append(station)
        return station

    def socket(self, kind=socket.SOCK_STREAM):
        with inside(self.station_ns):
            made = socket.socket(socket.AF_INET, kind)
        made.settimeout(TIMEOUT_S)
        return made

    def connect(self, port, **options):
        """options: names of socket options of level SOL_SOCKET and their values."""
        made = self.socket()
        for name, value in options.items():
            made.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        made.connect((NODE, port))
        return made

    def listen(self, port):
        made = self.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((STATION, port))
        made.listen(128)
        return made

    def close(self):
        for station in self.stations:
            station.kill()
        super().close()


class TcpStation:
    def __init__(self, wire):
        self.stderr = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", wire.node_ns, f"{place.build}/tests/net/tcp_station", wire.interface, f"{NODE}/24",
             str(SEED)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr, text=True, bufsize=1)
        self.lines = {"session": queue.Queue(), "counts": queue.Queue(), "ended": queue.Queue()}
        self.strange = []
        first = self.process.stdout.readline()
        must(first == "ready\n", f"tcp_station: {first!r}, {self.log()}")
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            kind, _, rest = line.strip().partition(" ")
            if kind in self.lines:
                self.lines[kind].put(rest)
            else:
                self.strange.append(line)

    def log(self):
        self.stderr.seek(0)
        return self.stderr.read()

    def tell(self, command):
        self.process.stdin.write(command + "\n")

    def counts(self):
        self.tell("counts")
        return self.take_counts()

    def take_counts(self):
        line = self.take("counts")
        return Counts({name: int(value) for name, value in (pair.split("=") for pair in line.split())})

    def take(self, kind, timeout=TIMEOUT_S):
        try:
            return self.lines[kind].get(timeout=timeout)
        except queue.Empty as none:
            raise Failed(f"no {kind} line of tcp_station in {timeout} s; {self.strange} {self.log()}") from none

    def session(self, timeout=TIMEOUT_S):
        """How the next session ends: service, end, bytes received and sent, whether all was the pattern."""
        service, end, _, received, _, sent, verdict = self.take("session", timeout).split()
        return service, end, int(received), int(sent), verdict == "good"

    def connect(self, wire, port, service, count=0, mac=None, address=STATION):
        self.tell(f"connect {address} {port} {mac or wire.mac(wire.station_ns, wire.peer)} {service} {count}")

    def wait_for(self, what, condition):
        until = time.monotonic() + TIMEOUT_S
        while not condition(counts := self.counts()):
            must(time.monotonic() < until, f"{what}: {counts}")
            time.sleep(0.02)
        return counts

    def stop(self, connections=0):
        """Ends it: nothing may be missing, and as many connections left as said (None: any number). Returns the last
        counts."""
        if connections == 0:
            self.wait_for("connections are left", lambda counts: counts["connections"] == 0)
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired as still_runs:
            raise Failed("tcp_station does not end") from still_runs
        self.reader.join()
        must(code == 0, f"tcp_station: exit code {code}, {list(self.lines['ended'].queue)} {self.log()}")
        must(not self.strange, f"tcp_station: {self.strange}")
        last = self.take_counts()
        must(connections in (None, last["connections"]), f"connections left: {last}")
        if connections == 0:
            must(last["send_frames"] == last["receive_frames"] == last["half_open"] == 0, f"frames left: {last}")
        return last

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        for file in (self.process.stdin, self.process.stdout, self.stderr):
            try:
                file.close()
            except BrokenPipeError:
                pass


class Counts(dict):
    def __missing__(self, key):
        return 0


@contextmanager
def station_on(bridged=True):
    with Wire(bridged) as wire:
        yield wire, wire.run_station()


# ---- what Linux's end does ----

def send_pattern(connection, count, start=0):
    whole = pattern()
    for at in range(start, start + count, CHUNK):
        offset = at % PATTERN_BYTES
        connection.sendall(whole[offset:offset + min(CHUNK, start + count - at)])


def receive_pattern(connection, count, phase=0):
    """Until the end of the stream, which must come behind `count` bytes of the pattern."""
    whole, got, buffer = pattern(), 0, bytearray(CHUNK)
    while length := connection.recv_into(buffer):
        offset = (phase + got) % PATTERN_BYTES
        must(memoryview(buffer)[:length] == whole[offset:offset + length], f"wrong bytes at {got} to {got + length}")
        got += length
    must(got == count, f"{got} bytes instead of {count}")


def ask_source(connection, count, phase=0):
    connection.sendall(struct.pack("<QQ", count, phase))


def download(wire, count, **options):
    with wire.connect(SOURCE, **options) as connection:
        ask_source(connection, count, 12345)
        receive_pattern(connection, count, 12345)


def upload(wire, count, port=DISCARD):
    with wire.connect(port) as connection:
        send_pattern(connection, count)
        connection.shutdown(socket.SHUT_WR)
        verdict = connection.makefile("r").read()
        must(verdict == f"ok {count}\n", f"the station's verdict: {verdict!r}")


def exchange(connection, number):
    """A request and its reply."""
    request = struct.pack("<Q", number) * 8
    connection.sendall(request)
    reply = receive_exactly(connection, 64)
    must(reply == bytes(byte ^ 0xFF for byte in request), f"wrong reply to {number}")


def receive_exactly(connection, count):
    got = b""
    while len(got) < count:
        part = connection.recv(count - len(got))
        must(part, f"the stream ended after {len(got)} bytes of {count}")
        got += part
    return got


@contextmanager
def in_background(what, *arguments):
    """Runs it beside the block, and fails if it fails; it must end with the block."""
    failure = []

    def body():
        try:
            what(*arguments)
        except Exception as why:  # pylint: disable=broad-except
            failure.append(why)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    yield thread
    thread.join(timeout=TIMEOUT_S)
    must(not thread.is_alive(), f"{what.__name__} still runs")
    if failure:
        raise Failed(f"{what.__name__}: {failure[0]!r}")
