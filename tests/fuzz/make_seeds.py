#!/usr/bin/env python3
"""Writes the seeds of the protocol's fuzz targets: tests/fuzz/make_seeds.py (from anywhere).

The other files of tests/fuzz/corpus/ were found by libFuzzer and minimised (-merge=1).
"""
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))


def journal_seeds():
    """fuzz_journal.c: how, (where it is cut,) the time; then text, or lines by program."""
    text, head, cut, now = 1, 2, 4, bytes([3])
    write_set, delete, ok, unanswered, refused = range(5)
    never = bytes([1])

    def line(event, lsn, expiry):
        return bytes([event]) + struct.pack("<H", 24) * (event < 2) + bytes([lsn * 2 + 1]) + expiry

    def story(*events, expiry=never):
        return b"".join(line(event, 9 + n, expiry) for n, event in enumerate(events))

    both = story(write_set, ok, write_set, unanswered, write_set, ok, delete, refused, write_set, unanswered, delete)
    soon = story(write_set, ok, write_set, unanswered, expiry=bytes([2]))
    lines = [b"set load:00000000042 5f3a91c2.17 32 -", b"ok load:00000000042 5f3a91c2.17 4294967312 -",
             b"set load:00000000042 5f3a91c2.18 32 1795000000000", b"unanswered load:00000000042 5f3a91c2.18",
             b"delete load:00000000007 00000001.1", b"set load:000000000 (cut)", b"refused load:00000000007 00000001.1"]
    whole = b"\n".join(lines) + b"\n"
    for name, seed in {
        "lines": bytes([0]) + now + both,
        "lines-cut": bytes([cut, 77, 1]) + now + both + soon,
        "lines-late": bytes([0]) + bytes([2]) + soon + both,
        "outcome-first": bytes([0]) + now + story(ok),
        "outcome-twice": bytes([0]) + now + story(write_set, ok, ok),
        "two-runs": bytes([0]) + now + bytes([128 + 2, 7, 24, 0, 3, 1]) + both,
        "text": bytes([text | head]) + now + whole,
        "text-cut": bytes([text | head | cut, 60, 0]) + now + whole,
        "text-headless": bytes([text]) + now + whole,
        "text-empty": bytes([text]) + now,
        "text-head": bytes([text | head]) + now,
        "text-nul": bytes([text | head]) + now + whole.replace(b"set", b"s\0t", 1),
        "text-long": bytes([text | head]) + now + 200 * b"x" + b" (cut)\n" + whole,
        "text-numbers": bytes([text | head]) + now + b"set load:99999999999 ffffffff.4294967295 1024 18446744073709551615\n"
        + b"ok load:99999999999 ffffffff.4294967295 18446744073709551615 18446744073709551615\n",
    }.items():
        write("journal", name, seed)


def vectors():
    found = {}
    with open(os.path.join(HERE, "../unit/vectors.txt"), encoding="ascii") as file:
        for line in file:
            if " = " in line and not line.startswith("#") and not line.rstrip().endswith('"'):
                name, value = line.strip().split(" = ")
                found[name] = bytes.fromhex(value)
    return found


def write(target, name, data):
    folder = os.path.join(HERE, "corpus", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "seed-" + name), "wb") as file:
        file.write(data)


# fuzz_tcp.c's steps. Numbers: what is expected (0), or a base and an offset.
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
MSS, MSS_SACK = b"\x01\xb4\x05", b"\x03\xb4\x05"


def tcp_segment(flags, seq=b"\0", ack=b"\0", window=0xFFFF, length=0, options=b"\0", peer=0, op=0):
    return (bytes([op, peer, flags]) + seq + (ack if flags & ACK or op & 1 else b"") + struct.pack(">H", window)
            + bytes([length]) + options)


def tcp_user(what, much=0, peer=0):
    return bytes([0xB0, peer, what, much])


def tcp_time(power):
    return bytes([0xA0, power])


def tcp_seeds():
    opened = tcp_segment(SYN, options=MSS_SACK) + tcp_segment(ACK)
    data, ended = tcp_segment(ACK | PSH, length=100), tcp_segment(ACK | FIN)
    sack = tcp_segment(ACK, ack=b"\1", options=b"\x10\x06\x0f")
    duplicate = tcp_segment(ACK, ack=b"\1")
    every = b"\x0f\xb4\x05\x07" + b"\5\0"
    return {
        "conversation": opened + data + tcp_user(0, 90) + tcp_segment(ACK) + ended + tcp_user(3) + tcp_segment(ACK),
        "close": opened + tcp_user(3) + tcp_segment(ACK) + ended + tcp_time(36) + tcp_segment(SYN, b"\x90\x0f"),
        "both-close": opened + tcp_user(3) + ended + tcp_segment(ACK) + tcp_time(40),
        "time-out": opened + tcp_user(1, 90) + b"".join(tcp_time(n) for n in range(27, 40)),
        "duplicates": opened + tcp_user(2, 200) + 5 * duplicate + tcp_segment(ACK) + tcp_time(30),
        "sack": opened + tcp_user(2, 200) + 4 * sack + tcp_time(28) + tcp_segment(ACK) + tcp_time(34),
        "gaps": opened + b"".join(tcp_segment(ACK, bytes([0x88, n]), length=60) for n in (9, 11, 13, 10, 12)) + data,
        "hold": opened + tcp_user(5) + 8 * tcp_segment(ACK, length=250) + tcp_time(32) + tcp_user(7) + data,
        "window": opened + tcp_segment(ACK, window=0) + tcp_user(1, 30) + 3 * tcp_time(31) + tcp_segment(ACK),
        "stamps": tcp_segment(SYN, options=every) + tcp_segment(ACK, options=b"\x08\2\0") + tcp_user(1, 50)
        + tcp_segment(ACK, length=90, options=b"\x08\3\0"),
        "reset": opened + tcp_segment(RST, b"\x80\x0a") + tcp_segment(RST),
        "icmp": opened + tcp_user(2, 200) + bytes([0x90, 0, 3, 4, 1]) + struct.pack("<H", 576) + tcp_time(30),
        "connect": bytes([0xC0, 4]) + tcp_segment(SYN | ACK, options=MSS, peer=4) + tcp_user(0, 10, 4),
        "simultaneous": bytes([0xC0, 4]) + tcp_segment(SYN, options=MSS, peer=4) + tcp_segment(ACK, peer=4),
        "flood": b"".join(tcp_segment(SYN, options=MSS, peer=n) for n in range(6)) + tcp_segment(ACK, peer=5),
        "burst": opened + b"".join(tcp_segment(ACK, length=200, op=2) for n in range(6)) + b"\xe0",
        "dry": opened + bytes([0xD0, 1]) + tcp_user(1, 90) + data + bytes([0xD0, 255]) + tcp_time(30),
        "options": opened + tcp_segment(SYN, options=b"\x20" + bytes([8, 10, 2, 0, 3, 1, 5, 255] + 8 * [1]), peer=1),
        "abort": opened + tcp_user(2, 100) + tcp_user(4) + data,
        "deadline": opened + tcp_user(6, 5) + tcp_time(24) + tcp_time(37) + tcp_time(38),
    }


def replication_message(kind, body):
    return struct.pack("<IB3x", 8 + len(body), kind) + body


def replication_seeds():
    history = struct.pack("<QQQQII", 7, 1 << 32, 3, 5, 1, 0)
    some, text = bytes(range(1, 81)), b"replica-1"

    def hello(name=text, version=1, flags=3):
        return replication_message(1, struct.pack("<HHIQ16sQQQIHH16s", version, 7878, flags, 9, some[:16], 8192, 7,
                                                  (1 << 32) + 4, 2, 9001, 0, some[:16]) + name)

    def welcome(count, start=1):
        return replication_message(2, struct.pack("<HHIQ16sQQQQIIB3xI16s", 1, 7878, 2, 9, some[:16], 8192, 100, 90, 1000,
                                                  100, 1000, start, count, some[:16]) + count * history)

    def call(kind, epoch):
        return replication_message(kind, struct.pack("<H6xQ16sII", 1, 9, some[:16], epoch, 0))

    def standing(mode, state):
        return replication_message(12, struct.pack("<HBBIQQIIQQ", 1, mode, state, 3, 9, 5, 65536, 3, 7, (1 << 32) + 4))

    return {
        "hello": hello(),
        "hello-nameless": hello(b""),
        "hello-longest": hello(64 * b"n", flags=7),
        "hello-later": hello(version=2),
        "welcome": welcome(1),
        "welcome-bootstrap": welcome(3, 2),
        "welcome-longest": welcome(400),
        "refuse": replication_message(3, struct.pack("<HH", 4, 0) + text),
        "refuse-longest": replication_message(3, struct.pack("<HH", 8, 0) + 200 * b"t"),
        "snapshot-begin": replication_message(4, some[:40]),
        "snapshot-chunk": replication_message(5, some),
        "snapshot-end": replication_message(6, some[:16]),
        "batch": replication_message(7, some),
        "batch-least": replication_message(7, some[:17]),
        "ack": replication_message(8, some[:24] + bytes([2]) + bytes(7)),
        "heartbeat": replication_message(9, some[:32]),
        "probe": call(10, 3),
        "probe-of-none": call(10, 0),
        "seal": call(11, 65536),
        "standing": standing(1, 1),
        "standing-fenced": standing(2, 4),
        "handover": replication_message(13, struct.pack("<II", 65536, 0)),
        "unknown": replication_message(14, some[:32]),
        "cut": welcome(2)[:-1],
    }


def channel_seeds():
    # fuzz_replication_channel.c's steps: a number, 0x80 for the client's end, arguments
    def move(side, most=0xFFFF):
        return struct.pack("<BH", side << 7, most)

    def queue(side, *sizes):
        return b"".join(struct.pack("<BHB", 1 | side << 7, size, 2 | side << 7) for size in sizes)

    def change(how, side, at, much):
        return struct.pack("<BHH", how | side << 7, at, much)

    def say(side, *contents):
        return b"".join(bytes([9 | side << 7, len(c) - 1]) + c for c in contents)

    shaken = move(1) + move(0) + move(1) + move(0)
    both = queue(0, 0, 1000, 0xFF00) + queue(1, 0, 50)
    rest = 6 * (move(0) + move(1) + b"\3\x83")
    cut, again = b"\x0c", b"\x0e"
    seeds = {
        "open": (0xE0, shaken + both + rest),
        "narrow": (0x00, shaken + both + 20 * (move(0, 300) + b"\3" + move(1, 7) + b"\x83")),
        "rekeys": (0xE1, shaken + queue(0, *range(0, 9000, 600)) + queue(1, *range(20)) + rest),
        "two-secrets": (0xE4, shaken + both + rest),
        "other-secret": (0xE2, shaken + both + rest),
        "small-server": (0xE8, shaken + queue(1, 100, 232, 233) + rest),
        "refuses": (0x10, shaken + both),
        "no-room": (0x40, b"\4\1" + shaken + b"\4\0\3" + shaken + b"\x84\1" + both + b"\x84\0\x83" + rest),
        "not-ready": (0xE0, shaken + b"\4\2\x84\2" + both + rest + b"\4\x0a\x84\6" + rest + b"\4\0\x84\0" + rest),
        "not-ready-cut": (0x20, shaken + b"\x84\2" + both + rest + cut + again + shaken + both + rest + b"\x8b"),
        "close": (0x20, shaken + both + b"\x0a" + rest),
        "close-shaking": (0x20, move(1) + b"\x8a" + rest),
        "abort": (0x20, shaken + both + b"\x8b" + rest),
        "cut-again": (0xE0, shaken + both + move(0, 500) + cut + again + shaken + both + rest),
        "garbage": (0xE0, change(6, 1, 0, 95) + bytes([0x88, 9]) + b"GET / HTTP" + rest),
        "acts": (0xE0, b"\x0d\1\1\x8d\2\2" + shaken + queue(0, 0, 0, 0, 0) + queue(1, 0, 0, 0) + rest),
    }
    for name, how in (("corrupt", 5), ("drop", 6), ("repeat", 7)):
        seeds[name] = (0xE0, shaken + both + change(how, 0, 30, 40) + rest)
        for message in range(4):
            seeds[f"{name}-{message}"] = (0xE0, b"".join(move(1 - i % 2) for i in range(message)) +
                                          change(how, 1 - message % 2, 20, 3) + rest)
    messages = [m for m in replication_seeds().values() if len(m) <= 128]
    seeds["say"] = (0xE0, shaken + b"".join(say(n % 2, m) for n, m in enumerate(messages)) + rest)
    seeds["say-in-pieces"] = (0xE0, shaken + b"".join(say(0, m[:5], m[5:9], m[9:]) for m in messages if len(m) > 9) + rest)
    return {name: bytes([options]) + steps + b"\0" for name, (options, steps) in seeds.items()}


def main():
    v = vectors()
    for name, program in channel_seeds().items():
        write("replication_channel", name, program)
    # fuzz_replication_message.c: a message
    for name, message in replication_seeds().items():
        write("replication_message", name, message)
    # fuzz_message.c: replies (1), padding (2), then the message
    write("message", "request", b"\0" + v["message.request"])
    write("message", "padded", b"\2" + v["message.request"] + bytes(40))
    write("message", "replies", b"\1" + v["message.replies"])
    write("message", "health", b"\1" + v["message.replies"][-48:])
    write("message", "operands", b"\0" + struct.pack("<qq", -1, 1))
    write("message", "cut", b"\0" + v["message.request"][:-5])
    # fuzz_datagram.c: a suite, then steps (receive, how the counter moves, kind, message length; ...)
    for suite in range(3):
        step = bytes([0, 65, 1, 20, 0])
        write("datagram", f"in-order-{suite}", bytes([suite]) + 6 * step)
        write("datagram", f"repeated-{suite}", bytes([suite]) + step + 3 * bytes([0, 64, 1, 5, 0]))
        write("datagram", f"edges-{suite}", bytes([suite]) + step +
              b"".join(bytes([0, 200]) + struct.pack("<H", 32768 + d) + bytes([1, 1, 0])
                       for d in (1023, -1023, -1, 1, 1025, -1024, 2048)))
        write("datagram", f"huge-{suite}", bytes([suite]) +
              b"".join(bytes([0, 230]) + struct.pack("<Q", c) + bytes([1, 0, 0]) for c in (2**64 - 2, 2**64 - 1, 0)))
        write("datagram", f"close-{suite}", bytes([suite]) + step + bytes([0, 65, 0]) + bytes([0, 64, 0]))
        write("datagram", f"damaged-{suite}", bytes([suite]) + bytes([192, 65, 1, 20, 0, 1, 40, 0]) + step)
    write("datagram", "foreign", b"\0\xff" + v["mac.request"])
    write("datagram", "plain", b"\0\xff" + bytes([0xF7, 9, 1, 0]) + bytes(12) + v["message.request"])
    # fuzz_record.c: 0, 2: sealed (ChaCha20, AES): limits, count, lengths, changes, pieces; 1, 3: bytes from nowhere
    def sealed(suite, often, lengths, changes, pieces):
        return (bytes([suite, often, len(lengths)]) + b"".join(struct.pack("<H", n) for n in lengths) +
                bytes([len(changes)]) + b"".join(changes) + b"".join(struct.pack("<H", n) for n in pieces))

    def change(how, at, length, byte=b""):
        return bytes([how]) + struct.pack("<HH", at, length) + byte

    def foreign(expected, data):
        return bytes([1, expected]) + b"".join(bytes([len(part) - 1]) + part
                                               for part in (data[i:i + 50] for i in range(0, len(data), 50)))

    for suite in (0, 2):
        write("record", f"whole-{suite}", sealed(suite, 0, [50, 7, 299, 12], [], []))
        write("record", f"rekeys-{suite}", sealed(suite, 1, [9000, 7, 9, 12, 40, 1, 2, 3, 16383], [], [1, 2, 3, 1459]))
        write("record", f"flip-{suite}", sealed(suite, 0, [50, 60, 70], [change(0, 75, 0, b"\1")], [30, 30]))
        write("record", f"cut-{suite}", sealed(suite, 0, [50, 50, 50], [change(1, 71, 71)], []))
        write("record", f"repeat-{suite}", sealed(suite, 0, [50, 50, 50], [change(2, 71, 71)], []))
        write("record", f"end-{suite}", sealed(suite, 0, [50, 50, 50], [change(3, 142, 0)], []))
    write("record", "init", foreign(1 << 1, v["aes.tcp.init"]))
    write("record", "confirm", foreign(1 << 4 | 0x40, v["aes.tcp.confirm"] + v["aes.tcp.record.request"]))
    write("record", "plain", foreign(0x80, b"".join(bytes([0xF7, 19]) + struct.pack("<H", len(m)) + m
                                                    for m in 3 * [v["message.request"]])))
    write("record", "kinds", foreign(0xFF, b"".join(v["aes.tcp." + n] for n in ("init", "cookie", "response", "ready"))))
    # fuzz_handshake.c: what is attacked (+ 8: by an insider), then changes (offset, byte) or (255, message)
    for what, message in ((0, "init"), (3, "cookie"), (4, "response"), (6, "confirm"), (14, "ready")):
        write("handshake", f"genuine-{message}", bytes([what]))
        write("handshake", f"insider-{message}", bytes([what | 8]))
        write("handshake", f"foreign-{message}", bytes([what, 255]) + v["mac." + message])
        write("handshake", f"cut-{message}", bytes([what, 225, 31]))
    for name, offset, byte in (("version", 3, 9), ("role", 4, 2), ("transport", 5, 2), ("suites", 6, 4),
                               ("reserved", 7, 1), ("index", 8, 1), ("ephemeral", 20, 1)):
        write("handshake", f"init-{name}", bytes([8, offset, byte]))
    for name, offset, byte in (("version", 2, 2), ("suite", 3, 4), ("session", 8, 1), ("node", 64, 1)):
        write("handshake", f"response-{name}", bytes([12, offset, byte]))
    # fuzz_native.c: bench mode or not, then steps. 4: operations in a session (peer, version, history, count,
    # per operation shape, opcode, flags, [length], id, ttl, version; close, damage, cut, room, again)
    def ask(peer, opcode, shape=3, flags=0, close=0, damage=b"\0\0", again=b"\0", last=128):
        return (bytes([4 | last, peer, 1, 0, 0, shape, opcode, flags, 4, 0, 99, close]) + damage + b"\3" + again)

    confirm, init, turn = bytes([2 | 128, 2, 0, 0, 3]), bytes([1 | 128, 0, 0, 0, 0, 3]), bytes([7, 0])
    everything = b"".join(ask(peer, opcode) for peer in (0, 1) for opcode in (2, 1, 5, 4, 3, 6, 7, 8, 9))
    write("native", "operations", b"\0" + everything)
    write("native", "burst", b"\0" + everything.replace(bytes([4 | 128]), bytes([4])))
    write("native", "confirm-and-use", b"\0" + ask(2, 2) + confirm + ask(2, 2) + ask(2, 1, close=255) + ask(2, 1))
    write("native", "damaged", b"\0" + ask(0, 2, damage=bytes([1, 1, 5, 0, 0])) + ask(1, 2, damage=bytes([0, 15, 40, 0])))
    write("native", "replayed", b"\0" + ask(0, 2, again=b"\7\3\0") + ask(1, 1, again=b"\7\3\1"))
    write("native", "elsewhere", b"\0" + ask(0, 2, again=b"\7\3\3") + ask(1, 1, again=b"\7\3\0"))
    write("native", "handshake", b"\0" + init + turn + init + turn)
    write("native", "insider", b"\0" + bytes([1 | 128, 1, 2, 4, 0, 0, 1, 0, 0, 3]) + turn)
    write("native", "time", b"\0" + ask(0, 2) + bytes([7, 7, 2, 0]) + ask(0, 2) + bytes([7, 3]) + ask(0, 1))
    write("native", "plain", b"\1" + bytes([6 | 128, 0, 1, 0, 0, 3, 2, 0, 4, 0, 99, 0, 1, 3]) * 3)
    write("native", "echo", b"\1" + bytes([6 | 128, 0, 1, 0, 0, 3, 1, 0, 4, 0, 99, 40, 0, 3]))
    write("native", "bytes", b"\0" + bytes([0 | 128, 20, 0]) + bytes([0xF7, 6, 1, 0]) + bytes(16) + bytes([0, 3]))
    # fuzz_native_tcp.c: the node's temper, then steps (what, which client, ...)
    def ask_tcp(which, *opcodes, split=0, damage=64):
        return (bytes([2, which, len(opcodes) - 1]) + b"".join(bytes([o, 0, 3, 4, 0]) for o in opcodes) +
                struct.pack("<HB", split, damage))

    def session(which, temper=0):
        return bytes([12, which, temper, 0, which, 15, 0, 9, which, 255, 1, which, 15, 0, 9, which, 255])

    write("native_tcp", "operations", b"\0" + session(0) + ask_tcp(0, 2, 1, 4, 8, 7, 6) + bytes([9, 0, 255, 6, 0, 15, 0]))
    write("native_tcp", "two", b"\0" + session(0) + session(1) + ask_tcp(0, 2) + ask_tcp(1, 1, 1, split=30))
    write("native_tcp", "slow", b"\0" + session(0, 2) + 8 * ask_tcp(0, 8, 8, 8, 8) + bytes([9, 0, 60, 15, 0, 13, 0, 200]))
    write("native_tcp", "never-whole", b"\0" + session(0) + ask_tcp(0, 2, 2, 2, split=70, damage=255) + bytes([13, 0, 60]))
    write("native_tcp", "damaged", b"\0" + session(0) + ask_tcp(0, 2) + ask_tcp(0, 1, damage=7) + ask_tcp(0, 1))
    write("native_tcp", "gone-computing", b"\0" + bytes([12, 0, 0, 14, 0, 0, 0, 15, 0, 8, 0, 15, 0, 14, 0]) + session(1))
    write("native_tcp", "http", b"\x08" + bytes([12, 0, 0, 5, 0, 41]) + b"GET /stats HTTP/1.1\r\nHost: 198.18.0.1\r\n\r\n\x0f\0")
    write("native_tcp", "plain", b"\x04" + bytes([12, 0, 0, 5, 0, 52]) + bytes([0xF7, 19, 48, 0]) + bytes([1, 0, 1, 0]) +
          bytes(12) + bytes([8]) + bytes(31))
    # fuzz_http.c: the stream's temper, how many piece lengths and they, then what the peer says
    def http(temper, pieces, *lines):
        return bytes([temper, len(pieces)]) + bytes(pieces) + "\r\n".join(lines + ("", "")).encode("latin-1")

    stats, host = "GET /stats HTTP/1.1", "Host: 198.18.0.1:7878"
    write("http", "stats", http(0, [], stats, host))
    write("http", "pieces", http(0, [1, 2, 3, 5, 8, 13], stats, host, "Connection: keep-alive"))
    write("http", "pipelined", http(3, [40], stats, host, "", "GET /metrics HTTP/1.1", host, "", "HEAD /health HTTP/1.1",
                                    host, "", "GET /none HTTP/1.0"))
    write("http", "slow", http(7, [], "GET /metrics HTTP/1.1", host))
    write("http", "absolute", http(1, [], "GET http://[::1]:80/health?x HTTP/1.1", host))
    write("http", "methods", http(0, [], "OPTIONS * HTTP/1.1", host, "", "PUT /stats HTTP/1.1", host, "Content-Length: 0"))
    write("http", "post", http(0, [], "POST /stats HTTP/1.1", host))
    write("http", "origin", http(0, [], stats, host, "Origin: null"))
    write("http", "foreign", http(0, [], stats, "Host: evil.example"))
    write("http", "body", http(0, [], stats, host, "Content-Length: 5", "", "hello"))
    write("http", "coding", http(0, [], stats, host, "Transfer-Encoding: chunked", "Content-Length: 0"))
    write("http", "folded", http(0, [], stats, host, " more"))
    write("http", "version", http(0, [], "GET / HTTP/2.0", host))
    write("http", "large", http(0, [], stats, host, *(f"X-{i}: {100 * 'v'}" for i in range(70))))
    # fuzz_wal.c: how many histories, then steps
    def block(count=3, value=20, back=0):
        return struct.pack("<BBHB", 0, count, value, back)

    def changed(offset, value, follow=0):
        return block() + struct.pack("<BHBB", 3, offset, value, follow) + block() + block()

    segment, history = b"\1", b"\2"
    log = 3 * block() + segment + history + block(0) + block(15, 1000) + segment + 2 * block(9, 300)
    write("wal", "whole", b"\3" + log)
    write("wal", "torn", b"\0" + block() + block(15, 900, 4) + struct.pack("<BBHB", 4, 0, 5000, 1) + block(2, 2, 20))
    write("wal", "damaged", b"\0" + block() + struct.pack("<BBHB", 4, 0, 100, 1) + 2 * block() + segment + block())
    write("wal", "stale", b"\1" + log + struct.pack("<BBBBBB", 6, 0, 1, 0, 8, 31))
    write("wal", "resized", b"\1" + log + struct.pack("<BBH", 7, 0, 9000))
    write("wal", "removed", b"\1" + log + b"\x0b\1")
    write("wal", "gap", b"\1" + block() + b"\x08\2" + block() + segment + block())
    write("wal", "raw", b"\0" + block() + struct.pack("<BBHB", 5, 0, 4096, 9) + b"WLB1" + bytes(5))
    for name, offset, value in (("length", 13, 2), ("format", 16, 2), ("count", 20, 4), ("lsn", 24, 9),
                                ("history", 32, 2), ("durable", 48, 200), ("segment", 56, 2), ("offset", 65, 32),
                                ("reserved", 70, 1), ("record", 98, 1), ("padding", 40, 1)):
        write("wal", name, b"\1" + changed(offset, value))
        write("wal", name + "-followed", b"\1" + changed(offset, value, 1))
    for how in (1, 2, 4, 8, 16):
        write("wal", f"position-{how}", b"\1" + log + struct.pack("<BB", 10, how) + bytes([2]) + bytes(7))
    for name, offset, value, how in (("crc", 4, 1, 0), ("format", 8, 2, 1), ("count", 10, 1, 1), ("more", 10, 9, 1),
                                     ("first", 136, 1, 1), ("members", 12, 1, 1), ("size", 2, 0, 2)):
        write("wal", "meta-" + name, b"\1" + log + struct.pack("<BHBB", 9, offset, value, how))
    # fuzz_snapshot.c: options, then a length and its bytes for each part; sums are made right by the target
    first_lsn = 1 << 32

    def record(lsn, key, value, expiry=0, kind=1):
        bytes_ = struct.pack("<QQBBHB3x", lsn, expiry, kind, len(key), len(value), 0) + key + value
        return bytes_ + bytes(-len(bytes_) % 8)

    def part(magic, index, content, start=first_lsn + 9, form=1):
        return struct.pack("<4sIIIH6xQ", magic, 0, 32 + len(content), index, form, start) + content

    def snapshot(*chunks, end=first_lsn + 50, flush=0, items=None, form=1):
        count = sum(len(chunk) for chunk in chunks) if items is None else items
        parts = [part(b"WSH1", 0, bytes(range(16)) + struct.pack("<QQIIQQQ", 3, 7, 8192, 9, flush, 1000, 99), form=form)]
        parts += [part(b"WSC1", 1 + i, b"".join(chunk)) for i, chunk in enumerate(chunks)]
        parts.append(part(b"WSF1", 1 + len(chunks), struct.pack("<QQII", end, count, 0, 0)))
        return b"\1" + b"".join(struct.pack("<H", len(p)) + p for p in parts)

    some = [record(first_lsn + n, b"key-%d" % n, bytes(n * 3)) for n in range(8)]
    more = [record(first_lsn + 20 + n, bytes([n]) * (n + 1), b"", expiry=5) for n in range(8)]
    write("snapshot", "empty", snapshot())
    write("snapshot", "one", snapshot([some[1]]))
    write("snapshot", "two", snapshot(some, more))
    write("snapshot", "flushed", snapshot(more, flush=first_lsn + 20))
    write("snapshot", "flushed-later", snapshot(some, flush=first_lsn + 20))
    write("snapshot", "items", snapshot(some, items=9))
    write("snapshot", "beyond", snapshot(more, end=first_lsn + 21))
    write("snapshot", "newer", snapshot(some, form=2))
    write("snapshot", "delete", snapshot([record(first_lsn, b"k", b"", kind=2)]))
    write("snapshot", "many", snapshot([record(first_lsn + n, b"%04d" % n, bytes(1000)) for n in range(50)]))
    write("snapshot", "sums-wrong", b"\0" + snapshot(some)[1:])
    journal_seeds()
    # fuzz_tcp.c: a byte of configuration, then steps
    for number, (name, steps) in enumerate(sorted(tcp_seeds().items())):
        write("tcp", name, bytes([0]) + steps)
        if number % 4 == 0:
            write("tcp", name + "-short", bytes([0x7F]) + steps)


if __name__ == "__main__":
    main()
