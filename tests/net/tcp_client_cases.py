"""Cases of tests/net/run: a whole node and the clients that people have, over TCP: our own, browsers and their like."""
import collections
import itertools
import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

from kernel_cases import Loopback
from lab import NODE, PORT, STATION, Failed, must, network, operations, run
from tcp_forge import SYN, Stranger, segment
from tcp_lab import SEED, Wire, in_background, inside

URL = f"http://{NODE}:{PORT}"


def lacks(*tools):
    missing = [tool for tool in tools if not shutil.which(tool)]
    return f"{', '.join(missing)} not installed" if missing else None


def served(*options):
    """A network whose clients use TCP, over a veth pair."""
    net = network("veth")
    net.transport = "tcp"
    net.start(*options)
    return net


def figures(line):
    """Operations of a load test without errors; "# " and its last line are printed, for information."""
    line = line.strip().splitlines()[-1]
    print(f"# {line}", flush=True)
    found = re.fullmatch(r"load-test: (\d+) operations, 0 errors, 0 mismatches, .*", line)
    must(found and int(found[1]) > 0, line)
    return int(found[1])


def statistics(net):
    return json.loads(net.station("curl", "-sS", "-m", "5", f"{URL}/stats").stdout)


# ---- our own ----

def case_tcp_clients_operate():
    with served() as net:
        operations(net)
        figures(net.client("load-test", "--seconds", "2", "--connections", "8", "--value-size", "200").stdout)
        must(statistics(net)["counters"]["tcp_accepted"] >= 8, "the load came by another way")
        wrong = net.client("get", "k", auth=["--auth-secret", "not the secret"], check=False)
        must(wrong.returncode == 1 and wrong.stdout == "" and wrong.stderr.count("\n") == 1, str(wrong))
        net.client("health")
        must(net.nodes[0].stop() == 0, "SIGTERM")


def case_tcp_connections_are_shared_by_two_workers():
    if len(os.sched_getaffinity(0)) < 2:
        return "needs two cores"
    with served("--workers", "2") as net:
        figures(net.client("load-test", "--seconds", "2", "--connections", "12").stdout)
        operations(net)
        numbers = statistics(net)
        must(numbers["workers"] == 2 and numbers["counters"]["tcp_accepted"] >= 12, f"/stats: {numbers}")
        must(net.nodes[0].stop() == 0, "SIGTERM")
    return None


def case_tcp_clients_over_a_bad_link_and_through_a_flood():
    chance = random.Random(SEED)
    with Wire() as wire:
        wire.transport = "tcp"
        node = wire.start()
        wire.lose(1)
        figures(wire.client("load-test", "--seconds", "2", "--connections", "4", "--timeout", "5000").stdout)
        wire.lose(0)
        result = []
        load = threading.Thread(target=lambda: result.append(wire.client(
            "load-test", "--seconds", "2", "--connections", "4", "--timeout", "5000", check=False)))
        with Stranger(wire) as stranger:
            load.start()
            while load.is_alive():
                source = bytes((10, chance.getrandbits(8), chance.getrandbits(8), chance.randrange(1, 255)))
                stranger.send(segment(SYN, chance.getrandbits(32), sport=chance.randrange(1024, 65536), dport=PORT,
                                      source=source, options=struct.pack("!BBH", 2, 4, 1460)))
            load.join()
            must(result[0].returncode == 0, str(result[0]))
            figures(result[0].stdout)
        must(node.stop() == 0, "SIGTERM")


def connect_and_hold(net, stop, made):
    """Connects from STATION as fast as it can and says nothing, or begins a request for a page; holds hundreds."""
    held = collections.deque()
    with inside(net.station_ns):
        while not stop.is_set():
            connection = socket.socket()
            connection.settimeout(0.5)
            try:
                connection.bind((STATION, 0))
                connection.connect((NODE, PORT))
                if made[0] % 2:
                    connection.send(b"GET /stats HTTP/1.1\r\n")
                made[0] += 1
                held.append(connection)
            except OSError:  # turned away
                connection.close()
            if len(held) > 800:
                held.popleft().close()
    for connection in held:
        connection.close()


def case_tcp_a_fast_connector_keeps_nobody_out():
    """Others shake hands and read pages meanwhile, from an address beside it."""
    with served("--connections", "128") as net:
        other = "198.18.0.9"
        run("ip", "-n", net.station_ns, "addr", "add", f"{other}/24", "dev", net.peer)
        run("ip", "-n", net.station_ns, "route", "replace", f"{NODE}/32", "dev", net.peer, "src", other)
        stop, made = threading.Event(), [0]
        with in_background(connect_and_hold, net, stop, made):
            try:
                time.sleep(0.5)  # every place for newcomers is taken
                for i in range(200):
                    net.client("health")
                    counters = statistics(net)["counters"]
                    # how often a newcomer finds every place taken is the machine's to say: until it was often enough
                    if i >= 20 and counters["native_pending_displaced"] > 100 and counters["http_displaced"] > 20:
                        break
                figures(net.client("load-test", "--seconds", "2", "--connections", "16").stdout)
                counters = statistics(net)["counters"]
            finally:
                stop.set()
        print(f"# it made {made[0]} connections, {counters['native_pending_displaced']} and "
              f"{counters['http_displaced']} were displaced", flush=True)
        must(counters["native_pending_displaced"] > 100 and counters["http_displaced"] > 20, "there was no crowd")
        must(net.nodes[0].stop() == 0, "SIGTERM")


def case_tcp_half_open_connections_take_no_place_of_a_small_node():
    chance = random.Random(SEED)
    with Wire() as wire:
        wire.transport = "tcp"
        node = wire.start("--connections", "64")
        with Stranger(wire) as stranger:
            for _ in range(3000):
                source = bytes((10, chance.getrandbits(8), chance.getrandbits(8), chance.randrange(1, 255)))
                stranger.send(segment(SYN, chance.getrandbits(32), sport=chance.randrange(1024, 65536), dport=PORT,
                                      source=source, options=struct.pack("!BBH", 2, 4, 1460)))
            for _ in range(10):
                wire.client("health")
        must(statistics(wire)["counters"]["tcp_syn"] > 300, "there was no flood")
        must(node.stop() == 0, "SIGTERM")


def case_tcp_load_ends_with_the_node():
    with served() as net:
        done = []
        load = threading.Thread(target=lambda: done.append(net.client(
            "load-test", "--seconds", "3", "--connections", "4", check=False)))
        load.start()
        time.sleep(1)
        started = time.monotonic()
        must(net.nodes[0].stop() == 0, f"exit code: {net.nodes[0].log()}")
        must(time.monotonic() - started < 5, "stopping took long")
        load.join()
        must(done[0].returncode == 1 and " 0 mismatches" in done[0].stdout, str(done[0]))
        net.start()
        net.client("set", "k", "after a restart")


def case_tcp_silent_connections_are_ended():
    """Who says nothing, or half of something, does not stay."""
    with served() as net:
        with inside(net.station_ns):
            silent = [socket.create_connection((NODE, PORT), timeout=5) for _ in range(50)]
        for connection in silent[25:]:
            connection.send(b"GE")
        net.client("health")
        for connection in silent:
            connection.settimeout(20)
            try:
                must(connection.recv(1) == b"", "something was said to a silent connection")
            except ConnectionResetError:
                pass
            connection.close()
        for _ in range(100):
            if statistics(net)["tcp_connections"] <= 1:
                return
            time.sleep(0.05)
        raise Failed(f"connections are left: {statistics(net)['tcp_connections']}")


# ---- others ----

def case_curl_and_wget_read_the_pages():
    if why := lacks("curl", "wget"):
        return why
    with served() as net:
        curl = lambda *more: net.station("curl", "-sS", "-m", "5", *more, check=False)
        health = curl("-w", " %{http_code} %{content_type}", f"{URL}/health")
        must(re.fullmatch(r'\{"healthy":true,.*\}\s+200 application/json', health.stdout), health.stdout)
        must(statistics(net)["state"] == "serving", "/stats")
        must("# TYPE " in curl(f"{URL}/metrics").stdout, "/metrics")
        twice = curl("-v", f"{URL}/stats", f"{URL}/health").stderr
        must("Re-using existing connection" in twice, twice)
        for path in ("stats", "metrics", "health"):
            head = curl("-I", f"{URL}/{path}").stdout
            must(head.startswith("HTTP/1.1 200 OK\r\n") or head.startswith("HTTP/1.1 200 OK\n"), head)
            must(net.station("wget", "-q", "-T", "5", "-t", "1", "-O", "-", f"{URL}/{path}").stdout, f"wget {path}")
        for expected, *arguments in ((404, f"{URL}/"), (404, f"{URL}/stats/"), (405, "-X", "DELETE", f"{URL}/stats"),
                                     (413, "-X", "GET", "-d", "x=y", f"{URL}/stats"),
                                     (200, "--http1.0", f"{URL}/stats")):
            code = curl("-o", "/dev/null", "-w", "%{http_code}", *arguments).stdout
            must(code == str(expected), f"{arguments}: {code}, not {expected}")
    return None


def told_while_it_stops(net, address):
    """Codes that curl gets, each over a connection of its own, until the node is gone."""
    with subprocess.Popen(["ip", "netns", "exec", net.station_ns, "curl", "-s", "--fail-early", "--connect-timeout", "1",
                           "-H", "Connection: close", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n",
                           f"http://{address}:{PORT}/health#[1-1000000]"], stdout=subprocess.PIPE, text=True) as curl:
        must(curl.stdout.readline() == "200 1\n", "before SIGTERM")
        with inside(net.station_ns), socket.create_connection((address, PORT), timeout=5):  # the node waits for it a little
            started = time.monotonic()
            must(net.nodes[-1].stop() == 0, f"SIGTERM: {net.nodes[-1].log()}")
            must(time.monotonic() - started < 2, "stopping took long")
        codes = [line.split()[0] for line in curl.stdout]  # its first failure is its last try
    must(codes[-1] == "000" and set(codes) <= {"200", "503", "000"} and codes == sorted(codes, key="200 503 000".find),
         f"not first 200, then 503, then nobody: {[(code, len(list(same))) for code, same in itertools.groupby(codes)]}")
    return codes


def case_curl_hears_why_while_a_node_stops():
    """Over connections, too, that come after SIGTERM."""
    if why := lacks("curl"):
        return why
    for make, address in ((served, NODE), (Loopback, "127.0.0.1")):
        with make() as net:
            most = 0
            for _ in range(5):  # it stops within 50 ms, and curl may be slow
                if not net.nodes or net.nodes[-1].process.poll() is not None:
                    net.start()
                most = max(most, told_while_it_stops(net, address).count("503"))
                if most >= 3:
                    break
            must(most >= 3, f"{make.__name__}: {most} heard why")
    return None


def case_browsers_that_were_lured_here_get_nothing():
    if why := lacks("curl"):
        return why
    with served() as net:
        for arguments in (["-d", "a=b"], ["-H", "Origin: http://evil.example"], ["-H", "Host: evil.example"],
                          ["-X", "POST", "-H", "Content-Type: text/plain"], ["-X", "OPTIONS", "-H", "Origin: null"],
                          ["-H", f"Host: {NODE}.evil.example"]):
            answer = net.station("curl", "-sS", "-i", "-m", "5", *arguments, f"{URL}/stats", check=False)
            must(answer.returncode == 52 and answer.stdout == "", f"{arguments}: {answer}")  # 52: an empty reply
        must(statistics(net)["counters"]["http_browser_refused"] == 6, "not counted")


def case_promtool_accepts_the_metrics():
    if why := lacks("promtool", "curl"):
        return why
    with served() as net:
        figures(net.client("load-test", "--seconds", "1").stdout)
        checked = net.station("bash", "-c", f"set -o pipefail; curl -sS -m 5 {URL}/metrics | promtool check metrics",
                              check=False)
        must(checked.returncode == 0 and checked.stdout + checked.stderr == "", str(checked))
    return None


def case_http_benchmarks_get_right_answers():
    if why := lacks("ab", "wrk"):
        return why
    with served() as net:
        result = net.station("ab", "-q", "-k", "-s", "5", "-n", "5000", "-c", "20", f"{URL}/health").stdout
        found = dict(re.findall(r"^([\w -]+): +(\d+)", result, re.MULTILINE))
        must(found["Complete requests"] == "5000" and found["Failed requests"] == "0", result)
        must(found["Keep-Alive requests"] == "5000" and "Non-2xx" not in result, result)
        result = net.station("wrk", "-t", "1", "-c", "30", "-d", "2", f"{URL}/stats").stdout
        must("requests in" in result and "Non-2xx" not in result and "Socket errors" not in result, result)
        print(f"# wrk: {' '.join(re.search(r'Requests/sec:.*', result)[0].split())}", flush=True)
        net.client("health")
    return None
