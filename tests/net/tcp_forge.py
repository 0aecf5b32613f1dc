"""Segments that no Linux TCP would send, from a stranger on the wire: made byte by byte, sent by packet sockets."""
import socket
import struct
import time

from lab import NODE, STATION, must
from tcp_lab import TIMEOUT_S, inside

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ETH_P_IP, ETH_P_ALL = 0x0800, 0x0003
SO_RCVBUFFORCE = 33


def ones_sum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def segment(flags, seq, ack=0, *, sport, dport, source=STATION, window=0xFFFF, payload=b"", options=b""):
    """An IPv4 packet to the node with one TCP segment; payload and options of even length."""
    source, target = socket.inet_aton(source) if isinstance(source, str) else source, socket.inet_aton(NODE)
    tcp = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, (20 + len(options)) // 4 << 4,
                      flags, window, 0, 0) + options + payload
    check = ones_sum(source + target + struct.pack("!HH", 6, len(tcp)) + tcp) ^ 0xFFFF
    tcp = tcp[:16] + struct.pack("!H", check) + tcp[18:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + source + target
    return header[:10] + struct.pack("!H", ones_sum(header) ^ 0xFFFF) + header[12:] + tcp


class Stranger:
    """A third station on the bridge, which hears nothing of the others' talk."""

    def __init__(self, wire):
        self.namespace = wire.middle_ns + "x"
        wire.add_namespace(self.namespace)
        wire.plug(self.namespace, "strange0", "to_stranger")
        with inside(self.namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.bind(("strange0", ETH_P_IP))
        self.socket.settimeout(TIMEOUT_S)
        self.ends, self.ack = {}, 0
        to, own = wire.mac(wire.node_ns, wire.interface), wire.mac(self.namespace, "strange0")
        self.ethernet = bytes.fromhex((to + own).replace(":", "")) + struct.pack("!H", ETH_P_IP)

    def send(self, packet):
        while True:
            try:
                self.socket.send(self.ethernet + packet)
                return
            except BlockingIOError:  # the socket's buffer is full
                pass
            except OSError as why:
                must(why.errno == 105, f"send: {why}")  # ENOBUFS

    def open(self, dport, sport):
        """A connection of the stranger's own, from an address that nobody has; its numbers begin with 0."""
        self.ends = {"sport": sport, "dport": dport, "source": "198.18.0.77"}
        for _ in range(20):  # the link may lose segments
            self.send(segment(SYN, 0, options=struct.pack("!BBHBBBB", 2, 4, 1460, 1, 3, 3, 7), **self.ends))
            time.sleep(0.005)
            for packet in self.heard():
                tcp = packet[34:]
                if tcp[13] == SYN | ACK and struct.unpack("!H", tcp[2:4])[0] == sport:
                    self.ack = struct.unpack("!I", tcp[4:8])[0] + 1
                    self.send(segment(ACK, 1, self.ack, **self.ends))
                    return
        must(False, "the station does not accept the stranger")

    def send_data(self, at, payload):
        self.send(segment(ACK, at, self.ack, payload=payload, **self.ends))

    def heard(self):
        """Segments from the node's port that came to the stranger."""
        self.socket.setblocking(False)
        packets = []
        try:
            while True:
                packets.append(self.socket.recv(2048))
        except BlockingIOError:
            pass
        self.socket.settimeout(TIMEOUT_S)
        return [packet for packet in packets if packet[26:30] == socket.inet_aton(NODE)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class Tap:
    """What passes at Linux's end of a connection: its numbers, for guesses that are nearly right."""

    def __init__(self, wire):
        with inside(wire.station_ns):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        self.socket.bind((wire.peer, ETH_P_ALL))
        self.socket.setblocking(False)

    def numbers(self, connection):
        """(seq, ack) of the last segment that Linux sent on this connection, and the bytes that it carried."""
        port, last = connection.getsockname()[1], None
        try:
            while True:
                packet = self.socket.recv(2048)
                tcp = packet[34:]
                if packet[12:14] == b"\x08\x00" and packet[23] == 6 and struct.unpack("!H", tcp[:2])[0] == port:
                    seq, ack = struct.unpack("!II", tcp[4:12])
                    length = struct.unpack("!H", packet[16:18])[0] - 20 - (tcp[12] >> 4) * 4
                    last = (seq + length) & 0xFFFFFFFF, ack
        except BlockingIOError:
            pass
        must(last, "no segment of the connection was seen")
        return last

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
