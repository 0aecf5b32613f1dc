"""What the cases of tests/net/run share: namespaces, nodes, stations, and starts that must fail. All traffic stays
inside the namespaces (198.18.0.0/15).
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
NODE, STATION, PORT = "198.18.0.1", "198.18.0.2", 7878
READY = re.compile(r"ready (\S+):(\d+) mode=(\w+) capacity=(\d+) lsn=(\d+) epoch=(\d+)(?: state=(\w+))?")


class Place:
    """Set once by main()."""

    build = scratch = secret_file = None
    sanitized = False  # built with an address sanitizer


place = Place()


class Failed(Exception):
    pass


def must(condition, why):
    if not condition:
        raise Failed(why)


def run(*command, check=True, timeout=60, **more):
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **more)
    if check and result.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit {result.returncode}: {(result.stdout + result.stderr).strip()[-300:]}")
    return result


class Network:
    """A node's namespace and a station's, joined by a veth pair, or one namespace for both: and a TAP, or loopback."""

    serial = 0
    transport = "udp"  # of its clients

    def __init__(self, kind):
        Network.serial += 1
        name = f"wild{os.getpid()}n{Network.serial}"
        self.kind, self.node_ns = kind, name
        self.interface = f"w{os.getpid()}"[:12] + "n"
        self.peer = self.interface[:-1] + "p" if kind == "veth" else self.interface
        self.station_ns = name + "s" if kind == "veth" else name
        self.nodes, self.namespaces = [], []
        for namespace in {self.node_ns, self.station_ns}:
            self.add_namespace(namespace)
        if kind == "veth":
            run("ip", "-n", self.node_ns, "link", "add", self.interface, "type", "veth", "peer", "name", self.peer,
                "netns", self.station_ns)
            # The node must see and send real checksums.
            for namespace, interface in ((self.node_ns, self.interface), (self.station_ns, self.peer)):
                run("ip", "netns", "exec", namespace, "sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1",
                    check=False)
                run("ip", "netns", "exec", namespace, "ethtool", "-K", interface, "tx", "off")
                run("ip", "-n", namespace, "link", "set", interface, "up")
            self.address_station()

    def add_namespace(self, namespace):
        run("ip", "netns", "add", namespace)
        self.namespaces.append(namespace)
        run("ip", "-n", namespace, "link", "set", "lo", "up")

    def address_station(self):
        run("ip", "-n", self.station_ns, "addr", "replace", f"{STATION}/24", "dev", self.peer)

    def nic(self):
        return f"af_packet:{self.interface}" if self.kind == "veth" else f"tap:{self.interface}"

    def start(self, *options, **more):
        node = Node(self, ["--nic", self.nic(), "--address", f"{NODE}/24", *options], **more)
        self.nodes.append(node)
        node.wait_ready()
        if self.kind == "tap":
            self.address_station()
        return node

    def station(self, *command, **more):
        return run("ip", "netns", "exec", self.station_ns, *command, **more)

    def client(self, *command, auth=None, **more):
        return self.station(f"{place.build}/tools/wild-client-example", "--transport", self.transport, "--endpoint",
                            f"{NODE}:{PORT}", *(auth or ["--auth-secret-file", place.secret_file]), *command, **more)

    def close(self):
        for node in self.nodes:
            node.kill()
        for namespace in self.namespaces:
            run("ip", "netns", "del", namespace, check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        networks.remove(self)


def hear_hangups():
    """Tests that run under nohup hand on that SIGHUP is ignored, and a node leaves it at that."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Node:
    def __init__(self, network, options, auth=None, environ=None, binary=None):
        self.stderr = tempfile.TemporaryFile("w+")
        auth = ["--auth-secret-file", place.secret_file] if auth is None else auth
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", network.node_ns, *(binary or [f"{place.build}/app/wild"]), *options, *auth],
            stdout=subprocess.PIPE, stderr=self.stderr, text=True, env={**os.environ, **(environ or {})},
            preexec_fn=hear_hangups)
        self.pid = self.process.pid  # ip becomes the command
        self.ready = None

    def log(self):
        self.stderr.seek(0)
        return self.stderr.read()

    def wait_ready(self):
        line = self.process.stdout.readline()
        self.ready = READY.fullmatch(line.strip())
        must(self.ready, f"no ready line but {line!r}; stderr: {self.log().strip()[-400:]}")

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(timeout=10)
        must(code < 0 or not os.path.exists(f"/run/dpdk/wild{self.pid}"), "the EAL's folder was left")
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        # Who is killed leaves the EAL's folder to the next process of that number, which may be one that must leave nothing.
        shutil.rmtree(f"/run/dpdk/wild{self.pid}", ignore_errors=True)
        self.process.stdout.close()
        self.stderr.close()

    def resident_kib(self):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])


networks = []


def network(kind):
    made = Network(kind)
    networks.append(made)
    return made


def clean_up():
    for left in networks:
        left.close()


def operations(net):
    client = net.client
    client("health")
    client("set", "k", "v one")
    must(client("get", "k").stdout.rstrip("\n") == "v one", "get prints the value")
    must(client("incr", "n", "5").stdout.strip() == "5", "incr prints the result")
    must(client("incr", "n").stdout.strip() == "6", "incr counts on")
    client("delete", "k")
    gone = client("get", "k", check=False)
    must(gone.returncode == 1 and gone.stdout == "", "an absent key: exit 1, nothing on stdout")
    load = client("load-test", "--seconds", "2").stdout.strip().splitlines()[-1]
    figures = re.fullmatch(r"load-test: (\d+) operations, (\d+) errors, (\d+) mismatches, .*", load)
    must(figures and int(figures[1]) > 0 and figures[2] == "0" and figures[3] == "0", load)


def traces(network_, pid):
    """What a node could leave behind: interfaces, files beside the tests' own, the EAL's folder of that process."""
    folders = [f"{parent}/dpdk/wild{pid}" for parent in ("/run", "/tmp")]
    return (run("ip", "-n", network_.node_ns, "-br", "link").stdout,
            sorted(os.path.join(folder, name) for folder, _, names in os.walk(place.scratch) for name in names),
            [folder for folder in folders if os.path.exists(folder)])


def fails(network_, options, auth=None, environ=None, prefix=(), code=1, program=None):
    """A start that must fail: the exit code, one line on stderr that says why, and nothing left. Returns the line."""
    auth = ["--auth-secret-file", place.secret_file] if auth is None else auth
    command = ["ip", "netns", "exec", network_.node_ns, *prefix, program or f"{place.build}/app/wild", *options, *auth]
    before = traces(network_, 0)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **(environ or {})}) as process:  # ip and the prefix become the node
        try:
            stdout, stderr = process.communicate(timeout=20)
        except subprocess.TimeoutExpired as still_runs:
            process.kill()
            raise Failed(f"{options}: it started") from still_runs
    must(process.returncode == code, f"{options}: exit {process.returncode}, not {code}: {stderr.strip()}")
    must(stdout == "", f"{options}: printed {stdout!r}")
    lines = [line for line in stderr.splitlines() if not re.match(r"wild: (warning|info): ", line)]
    must(len(lines) == 1 and lines[0].startswith("wild: "), f"{options}: not one line but {stderr!r}")
    must(traces(network_, process.pid) == before, f"{options}: left {traces(network_, process.pid)}, before: {before}")
    return lines[0]


def write_secret(name, text):
    path = os.path.join(place.scratch, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path
