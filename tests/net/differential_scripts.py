"""What clients say in differential_cases.py: scripts of bytes, made from a seed, in the pieces that they leave in.

No item expires while the cases run (times to live are none, an hour and more, or what no clock reaches): removals of
expired items are logged, and so would move the versions that follow, on one node sooner than on the other.
"""
import itertools
import re
import struct
from dataclasses import dataclass, field, replace

MAGIC, INIT, PLAIN = 0xF7, 1, 19
INIT_BYTES = 96
GET, SET, DELETE, INCR, TOUCH, FLUSH, ECHO, HEALTH = range(1, 9)
IF_ABSENT, IF_PRESENT, IF_VERSION, MIN_LSN, READ_MEMORY = 1, 2, 4, 8, 16
MESSAGE_HEADER, OPERATION_HEADER, RECORD_HEADER = 16, 32, 4
MESSAGE_BYTES_MAX = 16384
TTL_AT = 16  # in an operation's header
FIRST_LSN = 1 << 32
HOUR_MS = 3600 * 1000
CAPACITY = 4096


@dataclass
class Script:
    name: str
    pieces: list  # written one after the other
    ends: str = "client"  # "client": half-closes behind the last piece; "node": waits for the node to end it
    pause: bool = False  # between pieces, so that the node gets each by itself
    late: bool = False  # reads nothing until all is said, and has little room for it
    methods: list = field(default_factory=list)  # of HTTP requests

    @property
    def bytes(self):
        return b"".join(self.pieces)

    def in_pieces(self, how, pieces, pause=False):
        return replace(self, name=f"{self.name}, {how}", pieces=pieces, pause=pause)

    def byte_by_byte(self):
        whole = self.bytes
        return self.in_pieces("byte by byte", [whole[i:i + 1] for i in range(len(whole))])

    def split_everywhere(self):
        whole = self.bytes
        return [self.in_pieces(f"split behind {i} bytes", [whole[:i], whole[i:]], pause=True)
                for i in range(1, len(whole))]

    def cut_everywhere(self):
        whole = self.bytes
        return [self.in_pieces(f"ended behind {i} bytes", [whole[:i]]) for i in range(len(whole))]

    def read_late(self):
        return replace(self, name=f"{self.name}, read late", late=True)

    def in_random_pieces(self, chance, most):
        whole, pieces = self.bytes, []
        while whole:
            length = chance.randrange(1, most + 1)
            pieces.append(whole[:length])
            whole = whole[length:]
        return self.in_pieces("in random pieces", pieces)


# ---- the native protocol ----

def operation(opcode, key=b"", value=b"", *, flags=0, durability=0, ttl=0, version=0, reserved=0, number=0,
              key_length=None, value_length=None):
    """The lengths in the header are those of key and value unless they are said to be others."""
    header = struct.pack("<BBBBHHQQQ", opcode, flags, len(key) if key_length is None else key_length, durability,
                         len(value) if value_length is None else value_length, reserved, number, ttl, version)
    return header + key + value


def message(*operations, version=1, reserved=0, count=None, epoch=0, history=0):
    return struct.pack("<BBHIQ", version, reserved, len(operations) if count is None else count, epoch,
                       history) + b"".join(operations)


def record(body, kind=PLAIN, length=None, magic=MAGIC):
    return struct.pack("<BBH", magic, kind, len(body) if length is None else length) + body


def number_pair(delta, initial):
    return struct.pack("<qq", delta, initial)


class Maker:
    """Random operations, in order as far as their framing goes, over a few keys, so that they meet."""

    def __init__(self, chance):
        self.chance, self.number = chance, 0
        self.keys = [chance.randbytes(length) for length in (1, 2, 8, 13, 31, 32, 33, 64, 100, 249, 250)]
        self.keys += [f"key {i}".encode() for i in range(9)]

    def value(self):
        return self.chance.choice([b"", b"0", b"41", b"-7", b"9223372036854775807", b"12x", bytes(9), b"a" * 31,
                                   self.chance.randbytes(200), self.chance.randbytes(1023), b"z" * 1024])

    def operation(self):
        chance, self.number = self.chance, self.number + 1
        opcode = chance.choices([GET, SET, DELETE, INCR, TOUCH, ECHO, HEALTH, FLUSH, 0, 9, 77, 255],
                                [60, 60, 15, 40, 15, 15, 6, 2, 1, 1, 1, 1])[0]
        key = chance.choice(self.keys) if opcode <= TOUCH else b""
        value = {SET: self.value, ECHO: self.value,
                 INCR: lambda: number_pair(chance.choice([1, -1, 5, (1 << 63) - 1, -1 << 63]),
                                           chance.choice([0, 0, 100, -1 << 63]))}.get(opcode, bytes)()
        more = {"number": self.number if chance.random() < 0.95 else max(1, self.number - chance.randrange(300)),
                "ttl": chance.choice([0, 0, 0, HOUR_MS, 10 * HOUR_MS, 1 << 62, (1 << 64) - 1]),
                "version": chance.choice([0, 1, FIRST_LSN, FIRST_LSN + chance.randrange(1000), 1 << 60])}
        if opcode == GET:
            more["flags"] = chance.choice([0, 0, 0, READ_MEMORY, MIN_LSN])
        elif opcode in (SET, DELETE, INCR, TOUCH):
            more["flags"] = chance.choice([0, 0, 0, IF_ABSENT, IF_PRESENT, IF_VERSION])
            more["durability"] = chance.choice([0, 0, 0, 0, 1, 2, 3])
        odd = chance.random()
        if odd < 0.02:
            more["flags"] = chance.getrandbits(8)
        elif odd < 0.03:
            more["durability"] = chance.getrandbits(8)
        elif odd < 0.04:
            more["reserved"] = chance.getrandbits(16)
        elif odd < 0.05:
            key = chance.choice([b"", bytes(251), bytes(255)])
        elif odd < 0.06:
            value = bytes(chance.choice([1, 15, 17, 1025, 1500]))
        return operation(opcode, key, value, **more)

    def message(self, most=8):
        operations = [self.operation()]
        for _ in range(self.chance.randrange(most)):
            operations.append(self.operation())
            if sum(map(len, operations)) > MESSAGE_BYTES_MAX - MESSAGE_HEADER:
                operations.pop()
                break
        history = self.chance.choice([0, 0, self.chance.getrandbits(64)])
        return message(*operations, epoch=self.chance.choice([0, 1, 7]), history=history)


GOOD = record(message(operation(ECHO, value=b"before", number=1)))


def native(name, *records, ends="client"):
    return Script(name, [b"".join(records)], ends)


def each_opcode():
    """Every opcode with every answer that it has, alone and all together."""
    k, n = b"each", b"number"
    operations = [
        operation(GET, k), operation(SET, k, b"v", ttl=HOUR_MS), operation(GET, k),
        operation(SET, k, b"w", flags=IF_ABSENT), operation(SET, b"absent", b"w", flags=IF_PRESENT),
        operation(SET, k, b"w", flags=IF_VERSION, version=5), operation(GET, k, flags=READ_MEMORY),
        operation(GET, k, flags=MIN_LSN, version=FIRST_LSN), operation(GET, k, flags=MIN_LSN, version=1 << 60),
        operation(INCR, n, number_pair(5, 10)), operation(INCR, n, number_pair(-20, 0)), operation(GET, n),
        operation(INCR, n, number_pair(1, 0), flags=IF_ABSENT), operation(INCR, k, number_pair(1, 0)),
        operation(INCR, n, number_pair(-1 << 63, 0)), operation(TOUCH, k, ttl=HOUR_MS), operation(TOUCH, b"absent"),
        operation(DELETE, k, flags=IF_VERSION, version=1), operation(DELETE, k), operation(DELETE, k),
        operation(ECHO, value=b"say it again"), operation(ECHO), operation(HEALTH),
        operation(SET, b"large", b"x" * 1024), operation(GET, b"large"), operation(SET, b"y" * 250, b""),
        operation(GET, b"y" * 250), operation(SET, k, b"v", durability=2), operation(SET, k, b"v", durability=9),
        operation(SET, k, bytes(1025)), operation(SET, bytes(251), b"v"), operation(GET), operation(FLUSH, b"k"),
        operation(INCR, n, b"8 bytes!"), operation(HEALTH, flags=IF_ABSENT), operation(GET, k, reserved=1),
        operation(SET, k, b"v", flags=IF_ABSENT | IF_PRESENT), operation(9), operation(255, b"key", b"value")]
    alone = [record(message(one)) for one in operations]
    yield native("every opcode, each in a message", *alone)
    yield native("every opcode in one message", record(message(*operations)))
    lost = message(operation(GET, k, flags=MIN_LSN, version=1 << 60), history=0x1234)
    yield native("a lost history", record(lost))


def malformed_records():
    """Each ends the connection by itself."""
    for kind in range(256):
        if kind not in (INIT, PLAIN):
            yield f"kind {kind}", record(message(operation(HEALTH)), kind=kind)
    for magic in (0, 0xF6, 0x47):  # behind a good record; before it, these are other protocols
        yield f"magic {magic}", record(message(operation(ECHO)), magic=magic)
    for length in (0, MESSAGE_BYTES_MAX + 1, 0xFFFF):
        yield f"a record of {length} bytes", record(b"", length=length)


def malformed_messages():
    echo, get = operation(ECHO, value=b"x"), operation(GET, b"key")
    for version in (0, 2, 255):
        yield f"version {version}", message(echo, version=version)
    yield "reserved", message(echo, reserved=1)
    for count in (0, 2, 512, 0xFFFF):
        yield f"a count of {count}, not 1", message(echo, count=count)
    yield "a count of 1, not 2", message(echo, get, count=1)
    yield "nothing but a header", message()
    yield "less than a header", message(echo)[:MESSAGE_HEADER - 1]
    yield "one byte", b"\x01"
    yield "a byte too many", message(echo, get) + b"\0"
    yield "a byte too few", message(echo, get)[:-1]
    yield "a key beyond the end", message(operation(GET, b"key", key_length=4))
    yield "a value beyond the end", message(operation(SET, b"key", b"v", value_length=0xFFFF))
    yield "half an operation", message(echo)[:MESSAGE_HEADER + OPERATION_HEADER // 2]
    yield "good ones before a bad one", message(operation(SET, b"never", b"v"), get, operation(GET, b"k", key_length=9))


def malformed():
    for name, bad in itertools.chain(malformed_records(),
                                     ((name, record(bad)) for name, bad in malformed_messages())):
        yield native(f"{name}, first", bad, ends="node")
        yield native(f"{name}, second", GOOD, bad, ends="node")
        yield native(f"{name}, before a good one", GOOD, bad, GOOD, GOOD)


def changed_bytes():
    """Two records with one byte changed, everywhere; but for the low bytes of times to live (see above)."""
    first = record(message(operation(ECHO, value=b"first", number=1)))
    second = record(message(operation(GET, b"each", number=2), operation(TOUCH, b"number", number=3)))
    whole = first + second
    starts = (RECORD_HEADER + MESSAGE_HEADER, len(first) + RECORD_HEADER + MESSAGE_HEADER,
              len(first) + RECORD_HEADER + MESSAGE_HEADER + OPERATION_HEADER + 4)
    spared = {start + TTL_AT + i for start in starts for i in range(3)}
    for at in range(len(whole)):
        for change in (0x01, 0xFF):
            if at not in spared:
                changed = whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1:]
                yield native(f"byte {at} changed by {change}", changed)


def first_bytes():
    for byte in range(256):
        yield native(f"first byte {byte}, and the end", bytes([byte]))
    for text in (b"GE", b"GET", b"GETX", b"GETX ", b"HEA", b"HEAD", b"OPTIONS", b"OPTIONX", b"DELET", b"",
                 b"\xf7\x13", b"\xf7\x13\0\0", b"\xf7\x99", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x02\0\x01",
                 b"*1\r\n$4\r\nPING\r\n"):
        yield native(f"{text!r}, and the end", text)
    for text in (b"GETX / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"\xf7\x99", b"\x16\x03\x01\x02\0\x01", b"get / HTTP/1.1"):
        yield native(f"{text!r}", text, ends="node")
    yield native("nothing at all", ends="node")


def inits(chance):
    init = struct.pack("<BB", MAGIC, INIT) + chance.randbytes(INIT_BYTES - 2)
    yield native("a random INIT", init, ends="node")
    yield native("half an INIT", init[:INIT_BYTES // 2])
    yield native("an INIT behind PLAIN", GOOD, init, ends="node")
    yield native("a random INIT", init, ends="node").byte_by_byte()


def large(chance):
    maker = Maker(chance)
    echoes = [record(message(operation(ECHO, value=chance.randbytes(1000), number=i))) for i in range(300)]
    yield native("300 echoes of 1,000 bytes", *echoes)
    fills = record(message(*(operation(SET, key, b"v" * 1024) for key in maker.keys[:8])))
    reads = [record(message(*(operation(GET, maker.keys[i % 8], number=i) for i in range(count))))
             for count in (15, 16, 100, 300)]
    yield native("more values than a reply holds", fills, *reads)
    yield native("500 values", *([record(message(operation(GET, maker.keys[0]), operation(ECHO)))] * 500)).read_late()
    yield native("as many operations as fit", record(message(*(operation(HEALTH) for _ in range(511)))))
    most = message(operation(ECHO, value=b"e" * 1024), *(operation(ECHO, value=b"f" * 1024) for _ in range(14)))
    rest = MESSAGE_BYTES_MAX - len(most) - OPERATION_HEADER
    most = message(*(operation(ECHO, value=b"f" * 1024) for _ in range(15)), operation(ECHO, value=b"g" * rest))
    yield native("the largest message", record(most), GOOD, record(most))


def random_ones(chance, count):
    maker = Maker(chance)
    for i in range(count):
        most = 120 if i % 10 == 9 else 8
        script = native(f"random script {i}", *(record(maker.message(most)) for _ in range(chance.randrange(1, 12))))
        yield script
        yield script.in_random_pieces(chance, chance.choice([3, 50, 400, 3000]))
        if len(script.bytes) < 3000:
            yield script.byte_by_byte()


def split():
    script = native("three records", record(message(operation(INCR, b"splits", number_pair(1, 0), number=1))),
                    record(message(operation(GET, b"splits", number=2), operation(ECHO, value=b"e", number=3))),
                    record(message(operation(HEALTH, number=4))))
    yield script
    yield script.byte_by_byte()
    yield from script.split_everywhere()
    yield from script.cut_everywhere()


def fill():
    """Until the table is full. Before the first FLUSH: what that gives back, it gives back in its own time."""
    keys = [f"fill {i}".encode() for i in range(CAPACITY + 200)]
    for name, each in (("a table filled", [operation(SET, key, b"v") for key in keys]),
                       ("and read again", [operation(GET, key) for key in keys[-800::7]]),
                       ("and emptied", [operation(DELETE, key) for key in keys])):
        yield native(name, *(record(message(*each[i:i + 200])) for i in range(0, len(each), 200)))


def native_scripts(chance):
    yield from each_opcode()
    yield from split()
    yield from malformed()
    yield from changed_bytes()
    yield from first_bytes()
    yield from inits(chance)
    yield from large(chance)
    yield from fill()
    yield from random_ones(chance, 80)


# ---- sealed sessions: lines for sealed_client.c ----

HELLO = ["connect", "init", "send 0", "response"]  # CONFIRM waits to be sent
OPEN = [*HELLO, "send 0", "ready"]
LEAVE = ["close", "send 0", "finish"]
CONFIRM_BYTES, TAG_BYTES = 32, 16
ECHO_MESSAGE = message(operation(ECHO, value=b"in a sealed record", number=7))


def seals(*messages):
    return [f"seal {body.hex()}" for body in messages]


def sealed_handshakes():
    one = seals(ECHO_MESSAGE)
    for at in range(1, INIT_BYTES):
        yield f"INIT split behind {at} bytes", ["connect", "init", f"split {at}", *OPEN[3:], *one, *LEAVE]
        yield f"INIT ended behind {at} bytes", ["connect", "init", f"keep {at}", "send 0", "end", "finish"]
    for at in range(1, CONFIRM_BYTES + RECORD_HEADER + len(ECHO_MESSAGE) + TAG_BYTES):
        yield f"CONFIRM and a record split behind {at} bytes", [*HELLO, *one, f"split {at}", *LEAVE]
        yield f"CONFIRM and a record ended behind {at} bytes", [*HELLO, *one, f"keep {at}", "send 0", "end", "finish"]
    for at in range(0, INIT_BYTES - TAG_BYTES):
        yield f"byte {at} of INIT changed", ["connect", "init", f"flip {at}", "send 0", "finish"]
    for at in range(INIT_BYTES - TAG_BYTES, INIT_BYTES):  # mac2: a cookie that is none is answered by a good one
        yield f"byte {at} of INIT changed", ["connect", "init", f"flip {at}", *OPEN[2:], *one, *LEAVE]
    for at in range(CONFIRM_BYTES):
        yield f"byte {at} of CONFIRM changed", [*HELLO, f"flip {at}", "send 0", "end", "finish"]
    yield "all byte by byte", ["connect", "init", "send 1", "response", *one, *one, "close", "send 1", "finish"]
    yield "INIT twice", ["connect", "init", "init", "send 0", "finish"]
    yield "PLAIN instead", ["connect", f"raw {GOOD.hex()}", "send 0", "finish"]
    yield "CONFIRM is missing", [*HELLO, "keep 0", *one, "send 0", "finish"]
    yield "nothing behind RESPONSE", [*HELLO, "end", "finish"]


def sealed_records(chance):
    one, length = seals(ECHO_MESSAGE), RECORD_HEADER + len(ECHO_MESSAGE) + TAG_BYTES
    maker = Maker(chance)
    splits = [line for at in range(1, length) for line in (*one, f"split {at}")]
    yield "a record split everywhere", [*OPEN, *splits, *LEAVE]
    for at in range(length):
        yield f"byte {at} of a record changed", [*OPEN, *one, *one, f"flip {length + at}", "send 0", "end", "finish"]
    for name, bad in malformed_messages():
        yield f"{name}, sealed", [*OPEN, *one, *seals(bad), *one, "send 0", "finish"]
    yield "cut off without CLOSE", [*OPEN, *one, "send 0", "end", "finish"]
    yield "more behind CLOSE", [*OPEN, *one, "close", *one, "send 0", "finish"]
    yield "PLAIN in a session", [*OPEN, *one, f"raw {GOOD.hex()}", "send 0", "finish"]
    yield "a foreign record", [*OPEN, *one, f"raw {record(bytes(40), kind=16, length=24).hex()}", "send 0", "finish"]
    again = [message(operation(INCR, b"retried", number_pair(1, 0), number=number))
             for number in (1, 2, 2, 1, 400, 399, 144, 145, 400, 3)]
    yield "writes told again, and too late", [*OPEN, *seals(*again), "send 0", *LEAVE]
    fill_up = [operation(SET, key, b"v" * 1024, number=1 + i) for i, key in enumerate(maker.keys[:12])]
    read = [operation(GET, key) for key in maker.keys[:12]] * 3
    values = seals(message(*fill_up), *[message(*read)] * 20)
    yield "more values than a reply holds, sealed", [*OPEN, *values, "send 0", *LEAVE]
    for i in range(60):
        made = seals(*(maker.message() for _ in range(chance.randrange(1, 12))))
        piece = chance.choice([0, 1, 7, 100, 2000])
        opening = HELLO if i % 3 == 0 else OPEN
        yield f"random session {i} in writes of {piece}", [*opening, *made, f"send {piece}", *LEAVE]


def sealed_scripts(chance):
    yield from sealed_handshakes()
    yield from sealed_records(chance)


# ---- HTTP ----

HOST = "Host: 198.18.0.1:7878\r\n"


def request(line, headers=HOST):
    return f"{line}\r\n{headers}\r\n".encode("latin-1")


def http(name, *requests, ends="client"):
    methods = [re.match(rb"\r?\n*([!-~]*)", one)[1].decode() for one in requests]
    return Script(name, [b"".join(requests)], ends, methods=methods)


def pages(version="1.1"):
    return [request(f"{method} {path} HTTP/{version}") for method in ("GET", "HEAD")
            for path in ("/health", "/stats", "/metrics", "/nowhere", "/health?a=b")]


def http_refused():
    """Each is answered, or not, and the node ends the connection."""
    lines = ["GET  /health HTTP/1.1", "GET /health", "GET /health HTTP/2.0", "GET /health HTTP/1.x",
             "GET /hea lth HTTP/1.1", "GET health HTTP/1.1", "GET /\x01 HTTP/1.1", "HEAD /health HTTP/3.0",
             f"GET /{'a' * 400} HTTP/1.1", "GET /health FTP/1.1", "OPTIONS  * HTTP/1.1"]
    for line in lines:
        yield f"{line[:40]!r}", request(line)
    for headers in ("A b: c\r\n", "A : b\r\n", " folded\r\n", HOST, "Content-Length: 5\r\n", "Content-Length: x\r\n",
                    "Content-Length: 1\r\nContent-Length: 2\r\n", "A\r\n", "Transfer-Encoding: chunked\r\n",
                    "A: b\nC: d\r\n", "A: \x00\r\n", "".join(f"A{i}: b\r\n" for i in range(70)),
                    f"A: {'b' * 9000}\r\n", "Origin: http://example.org\r\n", "Connection: close\r\n"):
        yield f"header {headers[:60]!r}", request("GET /health HTTP/1.1", HOST + headers)
    for headers in ("", "Host\r\n", "Host: example.org\r\n"):
        yield f"header {headers!r} alone", request("GET /health HTTP/1.1", headers)
    yield "POST", request("POST /stats HTTP/1.1")
    yield "HTTP/1.0", request("GET /health HTTP/1.0", "")
    yield "a foreign absolute target", request("GET http://example.org/health HTTP/1.1")
    yield "line ends of Unix", b"GET /health HTTP/1.1\nHost: 1.2.3.4\n\n"


def http_scripts(chance):
    for one in pages():
        yield http(f"{one[:30]!r}", one)
    for one in pages("1.0"):
        yield http(f"{one[:30]!r}", one)
    yield http("all pages pipelined", *pages())
    yield http("all pages, five times", *pages() * 5).read_late()
    yield http("all pages in HTTP/1.0, kept alive", *(one.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")
                                                     for one in pages("1.0")))
    for method in ("DELETE", "PUT", "OPTIONS", "TRACE", "PATCH"):
        yield http(f"{method}, and on", request(f"{method} /stats HTTP/1.1"), request("GET /health HTTP/1.1"))
    yield http("an absolute target", request("GET http://10.0.0.1/health HTTP/1.1", "Host: x\r\n"))
    for name, one in http_refused():
        yield http(f"{name}", one, ends="node")
        yield http(f"{name}, byte by byte", one).byte_by_byte()
        yield http(f"{name}, between others", request("GET /health HTTP/1.1"), one, request("HEAD /stats HTTP/1.1"))
    for one in (http("GET, split", request("GET /health HTTP/1.1"), request("HEAD /nowhere HTTP/1.1")),
                http("pages, split", request("GET /stats HTTP/1.1"), request("DELETE /stats HTTP/1.1")),
                http("refused, split", request("GET /health HTTP/1.1", HOST + "Content-Length: 3\r\n"))):
        yield from one.split_everywhere()
        yield from one.cut_everywhere()
        yield one.byte_by_byte()
    good = pages() + [request("DELETE /health HTTP/1.1"), b"\r\n" + request("GET /health HTTP/1.1"),
                      request("OPTIONS * HTTP/1.1")]
    bad = [one for _, one in http_refused()]
    for i in range(40):
        requests = [chance.choice(good) for _ in range(chance.randrange(1, 12))]
        if chance.random() < 0.4:
            requests.insert(chance.randrange(len(requests) + 1), chance.choice(bad))
        script = http(f"random requests {i}", *requests)
        yield script
        yield script.in_random_pieces(chance, chance.choice([2, 20, 200]))
