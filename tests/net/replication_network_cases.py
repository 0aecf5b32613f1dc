"""Cases of tests/net/run: replication on a network of its own, beside the clients'. Over ports: two nodes and a station, each in a
namespace, joined by two switches in another, and cables that are pulled. Over kernel sockets: addresses of loopback."""
import json
import os
import re
import time

from lab import NODE, STATION, Network, Node, fails, must, networks, place, run
from replication_cases import PRIMARY, REPLICA, Cluster

REPLICA_NODE = "198.18.0.3"
PRIMARY_ROAD, REPLICA_ROAD = "198.18.1.1", "198.18.1.3"  # of replication


class TwoNetworks(Network):
    """Each node has a cable to the clients' switch (c) and one to replication's (r); the station has one to the first."""

    def __init__(self):
        super().__init__("bare")
        self.fabric = self.node_ns
        for switch in "cr":
            run("ip", "-n", self.fabric, "link", "add", f"sw{switch}", "type", "bridge")
            self.prepare(self.fabric, f"sw{switch}")
        self.namespace = {}
        for host in "pqs":  # primary, replica, station
            self.namespace[host] = f"{self.fabric}{host}"
            self.add_namespace(self.namespace[host])
            for switch in "cr" if host != "s" else "c":
                plug, end = f"{switch}{host}", f"w{os.getpid()}{switch}"
                run("ip", "-n", self.fabric, "link", "add", plug, "type", "veth", "peer", "name", end, "netns",
                    self.namespace[host])
                run("ip", "-n", self.fabric, "link", "set", plug, "master", f"sw{switch}")
                self.prepare(self.fabric, plug)
                self.prepare(self.namespace[host], end)
        self.station_ns = self.namespace["s"]
        run("ip", "-n", self.station_ns, "addr", "add", f"{STATION}/24", "dev", f"w{os.getpid()}c")

    @staticmethod
    def prepare(namespace, interface):
        run("ip", "netns", "exec", namespace, "sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1", check=False)
        run("ip", "netns", "exec", namespace, "ethtool", "-K", interface, "tx", "off", check=False)
        run("ip", "-n", namespace, "link", "set", interface, "up")

    def node(self, host, address, road, *options):
        place_of = type("Place", (), {"node_ns": self.namespace[host]})
        node = Node(place_of, ["--nic", f"af_packet:w{os.getpid()}c", "--address", f"{address}/24", "--replication-nic",
                               f"af_packet:w{os.getpid()}r", "--replication-address", f"{road}/24", "--capacity", "20000",
                               "--control-socket", self.socket(host), *options])
        self.nodes.append(node)
        node.wait_ready()
        return node

    def socket(self, host):
        return os.path.join(place.scratch, f"{self.namespace[host]}.control")

    def cable(self, plug, state):
        run("ip", "-n", self.fabric, "link", "set", plug, state)

    def ask(self, address, *command, **more):
        return self.station(f"{place.build}/tools/wild-client-example", "--auth-secret-file", place.secret_file, "--endpoint",
                            f"{address}:7878", *command, **more)

    def told(self, host, *command):
        return json.loads(run(f"{place.build}/tools/wildctl", "-s", self.socket(host), "-j", *command).stdout)

    def until(self, holds, what, seconds=20):
        give_up = time.monotonic() + seconds
        while not holds():
            must(time.monotonic() < give_up, what)
            time.sleep(0.02)

    def until_level(self):
        lsn = self.told("p", "status")["lsn"]
        self.until(lambda: self.told("q", "status")["lsn"] >= lsn, f"the replica is not at {lsn}: {self.told('q', 'status')}")


def shows(net, address, key, value):
    return lambda: net.ask(address, "get", key, check=False).stdout.rstrip("\n") == value


def case_replication_has_a_port_of_its_own():
    net = TwoNetworks()
    networks.append(net)
    with net:
        primary = net.node("p", NODE, PRIMARY_ROAD, "--mode", "primary", "--enable-wal", "--wal-path",
                           os.path.join(place.scratch, f"{net.fabric}.wal"))
        must(f"replicas connect to port 9001 of {PRIMARY_ROAD} (port)" in primary.log(), primary.log())
        must(primary.ready[1] == NODE, str(primary.ready))
        net.ask(NODE, "set", "k", "v one")
        replica = net.node("q", REPLICA_NODE, REPLICA_ROAD, "--mode", "replica", "--primary-address", PRIMARY_ROAD)
        must(f"follows {PRIMARY_ROAD}:9001 from {REPLICA_ROAD} (port)" in replica.log(), replica.log())
        net.until(shows(net, REPLICA_NODE, "k", "v one"), "the replica does not show the write")
        load = net.ask(NODE, "load-test", "--seconds", "2", "--get-percent", "20", "--keys", "3000").stdout
        must(" 0 errors, 0 mismatches" in load, load)
        net.until_level()
        # What one is told of the other is where clients find it, on their own network.
        must(net.told("p", "replicas")[0]["address"] == f"{REPLICA_NODE}:7878", str(net.told("p", "replicas")))
        net.station(f"{place.build}/tools/wild-client-example", "--auth-secret-file", place.secret_file, "--primary",
                    f"{REPLICA_NODE}:7878", "set", "told", "where")
        net.until(shows(net, NODE, "told", "where"), "a client was not sent to the primary")
        # The clients' network carries no replication: nobody listens there, and no worker has handed anything over.
        tried = net.station("python3", "-c", f"import socket; socket.create_connection(('{NODE}', 9001), 5)", check=False)
        must("ConnectionRefusedError" in tried.stderr, tried.stderr)
        stats = net.station("curl", "-s", f"http://{NODE}:7878/stats").stdout
        must(json.loads(stats)["counters"]["handed_over"] == 0, stats)
        for node in (replica, primary):
            must(node.stop() == 0, node.log())


def case_either_networks_cable_is_pulled_and_the_other_goes_on():
    net = TwoNetworks()
    networks.append(net)
    with net:
        net.node("p", NODE, PRIMARY_ROAD, "--mode", "primary", "--enable-wal", "--wal-path",
                 os.path.join(place.scratch, f"{net.fabric}.wal"))
        net.node("q", REPLICA_NODE, REPLICA_ROAD, "--mode", "replica", "--primary-address", PRIMARY_ROAD)
        net.ask(NODE, "set", "k", "1")
        net.until(shows(net, REPLICA_NODE, "k", "1"), "the first write")
        # The replica's clients: it follows all the same.
        net.cable("cq", "down")
        must(net.ask(REPLICA_NODE, "--timeout", "500", "get", "k", check=False).returncode != 0, "the cable was not pulled")
        net.ask(NODE, "set", "k", "2")
        net.until_level()
        must(net.told("p", "replicas")[0]["state"] == "streaming", str(net.told("p", "replicas")))
        # The primary's, too: replication has nothing to carry, and the session lives for longer than its time-out.
        net.cable("cp", "down")
        time.sleep(2)
        follows = net.told("p", "replicas")[0]
        must(follows["state"] == "streaming" and follows["lag_ms"] < 1000, str(follows))
        net.cable("cp", "up")
        net.cable("cq", "up")
        net.until(shows(net, REPLICA_NODE, "k", "2"), "what was written meanwhile")
        # Replication's: clients are answered by both, by the replica with what it has.
        net.cable("rp", "down")
        net.ask(NODE, "set", "k", "3")
        net.until(lambda: net.told("p", "replicas") == [], "a replica that is not reached is still counted")
        load = net.ask(NODE, "load-test", "--seconds", "1", "--keys", "3000").stdout
        must(" 0 errors, 0 mismatches" in load, load)
        must(shows(net, REPLICA_NODE, "k", "2")(), "the replica serves what it has")
        net.cable("rp", "up")
        net.until(shows(net, REPLICA_NODE, "k", "3"), "it does not follow again")
        net.until_level()
        bootstraps = json.loads(net.station("curl", "-s", f"http://{REPLICA_NODE}:7878/stats").stdout)["counters"]
        must(bootstraps["replication_bootstraps"] == 1, "it began anew")


def case_replication_has_an_address_of_its_own_over_kernel_sockets():
    with Cluster("own-address") as net:
        primary = net.primary("--replication-address", "127.0.0.2")
        must("replicas connect to port 9001 of 127.0.0.2 (sockets)" in primary.log(), primary.log())
        listens = net.station("ss", "-Hltn", "sport", "=", ":9001").stdout
        must(re.findall(r"\s(\S+):9001\s", listens) == ["127.0.0.2"], listens)
        of_road = ["127.0.0.2" if option == "127.0.0.1" else option for option in REPLICA]
        net.replica(7879, "--replication-address", "127.0.0.3", options=of_road)
        joined = net.station("ss", "-Htn", "state", "established", "dport", "=", ":9001").stdout
        must(re.search(r"127\.0\.0\.3:\d+\s+127\.0\.0\.2:9001", joined), joined)
        # A client that takes the replica for the primary is sent to where clients are answered.
        net.ask("--primary", "127.0.0.1:7879", "set", "told", "where")
        net.until(lambda: net.value(7879, "told") == "where", "the write")
        must(primary.stop() == 0, primary.log())
        nobodys = "198.18.77.1"
        line = fails(net, [*PRIMARY[:5], "--wal-path", os.path.join(net.home, "primary.wal"), "--port", "7979",
                           "--replication-address", nobodys], auth=[])
        must(f"{nobodys} is no address of this machine" in line and "--replication-address" in line, line)
        line = fails(net, [*of_road, "--port", "7979", "--replication-address", nobodys], auth=[])
        must(f"{nobodys} is no address of this machine" in line and "--replication-address" in line, line)
