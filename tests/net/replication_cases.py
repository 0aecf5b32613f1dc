"""Cases of tests/net/run: a primary and its replicas over kernel sockets on loopback, as the guide starts them; killed, stopped,
emptied, short of replicas, and visited by strangers."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

from kernel_cases import Loopback
from lab import NODE, STATION, Node, fails, must, network, place, run

SECRET = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
PRIMARY = ("--mode", "primary", "--auth-secret", SECRET, "--enable-wal", "--wal-path", "primary.wal", "--port", "7878",
           "--replication-port", "9001")
REPLICA = ("--mode", "replica", "--auth-secret", SECRET, "--primary-address", "127.0.0.1", "--primary-port", "9001")
CLUSTER = ("--primary", "127.0.0.1:7878", "--replica", "127.0.0.1:7879", "--replica", "127.0.0.1:7880")


class Cluster(Loopback):
    """Nodes as the guide has them, in a folder of the cluster's own: --wal-path is relative. With a generated secret, unless
    another is given: a passphrase costs every command a third of a second."""

    def __init__(self, name, secret=SECRET):
        super().__init__()
        self.secret = secret
        self.home = os.path.join(place.scratch, "replication-" + name)
        os.makedirs(self.home)

    def node(self, options, name=None):
        options = [self.secret if option == SECRET else option for option in options]
        node = Node(self, options, auth=[], environ={"WILD_REPLICA_ID": name} if name else None,
                    binary=["env", "-C", self.home, f"{place.build}/app/wild"])
        self.nodes.append(node)
        node.wait_ready()
        return node

    def primary(self, *more):
        return self.node([*PRIMARY, *more])

    def replica(self, port, *more, serving=True, options=REPLICA):
        node = self.node([*options, "--port", str(port), *more], f"replica{port - 7878}")
        must(node.ready[3] == "replica", str(node.ready))
        if serving:
            self.until_serving(port)
        return node

    def ask(self, *command, port=None, **more):
        endpoint = ["--endpoint", f"127.0.0.1:{port}"] if port else []
        return self.station(f"{place.build}/tools/wild-client-example", "--auth-secret", self.secret, *endpoint, *command, **more)

    def page(self, port, path):
        """Its status and its JSON."""
        shown = self.station("curl", "-s", "-m", "5", "-w", "\n%{http_code}", f"http://127.0.0.1:{port}{path}").stdout
        body, status = shown.rsplit("\n", 1)
        return int(status), json.loads(body)

    def stats(self, port=7878):
        return self.page(port, "/stats")[1]

    def count(self, name, port=7878):
        return self.stats(port)["counters"]["replication_" + name]

    def until(self, holds, what, seconds=20):
        give_up = time.monotonic() + seconds
        while not holds():
            must(time.monotonic() < give_up, what() if callable(what) else what)
            time.sleep(0.02)

    def until_serving(self, port):
        self.until(lambda: self.page(port, "/health")[0] == 200, lambda: str(self.page(port, "/health")))

    def until_level(self, *ports):
        """Until the replicas have what the primary has now."""
        lsn = self.stats()["lsn"]
        self.until(lambda: all(self.stats(port)["lsn"] >= lsn for port in ports),
                   lambda: f"{lsn}: {[self.stats(port)['lsn'] for port in ports]}")

    def value(self, port, key):
        return self.ask("get", key, port=port, check=False).stdout.rstrip("\n")

    def load(self, seconds, *more):
        return subprocess.Popen(
            ["ip", "netns", "exec", self.node_ns, f"{place.build}/tools/wild-client-example", "--auth-secret", self.secret,
             "--primary", "127.0.0.1:7878", "load-test", "--seconds", str(seconds), "--keys", "3000", "--get-percent", "20",
             *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def python(self, program, **more):
        return self.station("python3", "-c", program, **more)


def no_errors(load):
    shown = load.communicate(timeout=60)[0]
    must(" 0 errors, 0 mismatches" in shown, shown)
    return shown


def case_the_guides_quick_start():
    with Cluster("quick-start", "mysecret") as net:
        primary = net.primary()
        must(primary.ready[3] == "primary" and "replicas connect to port 9001 (sockets)" in primary.log(), primary.log())
        replicas = [net.replica(7879), net.replica(7880)]
        net.ask(*CLUSTER, "set", "k", "v one")
        for port in (7879, 7880):
            net.until(lambda: net.value(port, "k") == "v one", f"{port} does not show the write")
        load = net.ask("load-test", "--seconds", "2")
        must(" 0 errors, 0 mismatches" in load.stdout, load.stdout)
        test = net.ask(*CLUSTER, "replication-test").stdout
        must(re.search(r"replication-test: \d+ writes, 2 replicas, 0 missing, 0 wrong, lag p50 \d+ us, p99 \d+ us", test), test)
        test = net.ask(*CLUSTER, "config-test").stdout
        must("3 endpoints, 0 wrong" in test, test)
        net.until_level(7879, 7880)
        stats, of_replica = net.stats(), net.stats(7879)
        must(stats["mode"] == "primary" and stats["replicas"] == 2 and stats["replicas_serving"] == 2, str(stats))
        must(of_replica["mode"] == "replica" and of_replica["state"] == "serving", str(of_replica))
        net.until(lambda: net.stats()["items"] == net.stats(7879)["items"] == net.stats(7880)["items"], "other items")
        must(of_replica["epoch"] == stats["epoch"] and of_replica["counters"]["replication_bootstraps"] == 1, str(of_replica))
        refused = net.ask("set", "k", "v", port=7879, check=False)
        must(refused.returncode != 0 and "does not accept writes" in refused.stderr, refused.stderr)
        # Who takes a replica for the primary is told where that is.
        net.ask("--primary", "127.0.0.1:7879", "set", "told", "where")
        net.until(lambda: net.value(7880, "told") == "where", "the write that a replica sent to the primary")
        metrics = net.station("curl", "-s", "http://127.0.0.1:7879/metrics").stdout
        must(re.search(r"\nwild_replication_applied_records_total [1-9]", metrics), metrics[-2000:])
        for node in replicas:
            must(node.stop() == 0, node.log())
        net.until(lambda: net.stats()["replicas"] == 0, "replicas that left in order are still counted")
        must(net.count("cut") == 0 and net.count("timed_out") == 0, str(net.stats()["counters"]))
        must(primary.stop() == 0, primary.log())


def case_a_replica_that_is_killed_under_load_comes_back_and_catches_up():
    with Cluster("killed-replica") as net:
        net.primary("--snapshot-log", "64")
        net.ask("set", "before", "1")
        replica = net.replica(7879, "--primary-port", "9001", options=REPLICA[:-2])
        net.replica(7880)
        load = net.load(6, "--journal", os.path.join(net.home, "journal"))
        for _ in range(3):
            time.sleep(0.5)
            replica.kill()
            net.nodes.remove(replica)
            replica = net.replica(7879)
        no_errors(load)
        net.ask("set", "after", "1")
        net.until_level(7879, 7880)
        for port in (7879, 7880):
            must(net.value(port, "before") == "1" and net.value(port, "after") == "1", str(port))
            check = net.ask("verify", "--journal", os.path.join(net.home, "journal"), port=port, check=False)
            must(check.returncode == 0, f"{port}: {check.stdout}{check.stderr}")


def case_a_replica_that_is_stopped_costs_the_primary_nothing_and_goes_on():
    with Cluster("frozen-replica") as net:
        net.primary()
        replica = net.replica(7879)
        os.kill(replica.pid, signal.SIGSTOP)
        no_errors(net.load(3))
        net.until(lambda: net.stats()["replicas"] == 0, "a replica that says nothing is still counted")
        must(net.count("timed_out") >= 1, str(net.stats()["counters"]))
        os.kill(replica.pid, signal.SIGCONT)
        net.until_level(7879)
        must(net.count("bootstraps", 7879) == 1, "it went on from where it was")
        net.until(lambda: net.stats()["items"] == net.stats(7879)["items"], "other items")


def case_replicas_serve_while_the_primary_is_dead_and_follow_it_again():
    with Cluster("killed-primary") as net:
        primary = net.primary()
        net.replica(7879)
        net.replica(7880)
        load = net.load(4)
        time.sleep(1)
        net.ask(*CLUSTER, "set", "last", "1")
        net.until(lambda: net.value(7879, "last") == "1" and net.value(7880, "last") == "1", "the write")
        primary.kill()
        net.nodes.remove(primary)
        load.communicate(timeout=60)
        for port in (7879, 7880):
            must(net.page(port, "/health")[0] == 200, "reads go on")
            must(net.value(port, "last") == "1", "what it had")
        net.primary()
        net.ask("set", "new", "2", port=7878)
        net.until(lambda: net.value(7879, "new") == "2" and net.value(7880, "new") == "2", "the write after the restart")
        for port in (7879, 7880):
            must(net.count("bootstraps", port) == 1, "it resumed")
            must(net.stats(port)["epoch"] == 2 and net.value(port, "last") == "1", str(net.stats(port)))
        net.until_level(7879, 7880)
        net.until(lambda: net.stats()["items"] == net.stats(7879)["items"] == net.stats(7880)["items"], "other items")


def case_a_primary_that_comes_back_empty_takes_nothing_away():
    with Cluster("emptied-primary") as net:
        primary = net.primary()
        replica = net.replica(7879)
        net.ask("set", "k", "kept", port=7878)
        net.until(lambda: net.value(7879, "k") == "kept", "the write")
        must(primary.stop() == 0, primary.log())
        shutil.rmtree(os.path.join(net.home, "primary.wal"))
        net.primary()
        net.until(lambda: "another cluster" in replica.log() or "foreign" in replica.log(), lambda: replica.log())
        net.ask("set", "k", "other", port=7878)
        time.sleep(1)
        must(net.value(7879, "k") == "kept" and net.page(7879, "/health")[0] == 200, "it keeps what it has, and serves it")


def case_a_primary_that_stops_leaves_replicas_with_all_that_was_written():
    with Cluster("drained-primary") as net:
        primary = net.primary()
        replica = net.replica(7879)
        load = net.load(4, "--journal", os.path.join(net.home, "journal"))
        time.sleep(1.5)
        begun = time.monotonic()
        must(primary.stop() == 0, primary.log())
        must(time.monotonic() - begun < 3, "it took its time")
        load.communicate(timeout=60)
        check = net.ask("verify", "--journal", os.path.join(net.home, "journal"), port=7879, check=False)
        must(check.returncode == 0, f"{check.stdout}{check.stderr}")
        must(replica.stop() == 0, replica.log())


def case_strangers_at_the_replication_port_are_counted_and_cost_nothing():
    with Cluster("strangers") as net:
        net.primary()
        net.replica(7879)
        wrong = net.replica(7880, serving=False, options=[*REPLICA[:2], "--auth-secret", "another secret", *REPLICA[4:]])
        net.until(lambda: net.count("bad_key") > 0, "no other secret was noticed")
        must(net.page(7880, "/health")[0] == 503 and net.page(7880, "/health")[1]["state"] == "catching_up", "it serves nothing")
        net.until(lambda: "secret" in wrong.log().lower(), lambda: wrong.log())
        must(wrong.stop() == 0, "a replica that has no primary stops, too")
        before = net.count("bad_key")
        net.python("import os, socket\n"
                   "for round in range(12):\n"
                   "    s = socket.create_connection(('127.0.0.1', 9001)); s.settimeout(5)\n"
                   "    try:\n"
                   "        s.sendall(os.urandom(1 + 120 * round))\n"
                   "        while s.recv(4096): raise SystemExit('garbage was answered')\n"
                   "    except OSError: pass\n"
                   "    s.close()\n")
        net.until(lambda: net.count("bad_key") > before, "no garbage was counted")
        silent = net.python("import socket, time\n"
                            "many = [socket.create_connection(('127.0.0.1', 9001)) for _ in range(60)]\n"
                            "begun = time.monotonic()\n"
                            "for s in many:\n"
                            "    s.settimeout(10)\n"
                            "    try: assert s.recv(1) == b''\n"
                            "    except ConnectionError: pass\n"
                            "print(time.monotonic() - begun)\n").stdout
        must(float(silent) < 8, silent)
        must(net.count("silent") > 0, str(net.stats()["counters"]))
        net.ask("set", "k", "v", port=7878)
        net.until(lambda: net.value(7879, "k") == "v", "the replica is cut off")
        must(net.count("bootstraps", 7879) == 1 and net.count("connects", 7879) == 1, "its session was disturbed")


def case_writes_wait_for_as_many_replicas_as_asked_for():
    with Cluster("min-replicas") as net:
        primary = net.primary("--min-replicas", "1", "--replica-ack", "applied", "--replication-timeout-ms", "2000")

        def refused():
            status, health = net.page(7878, "/health")
            return status == 503 and health["state"] == "read_only" and "--min-replicas" in health["why"]

        net.until(refused, lambda: str(net.page(7878, "/health")))
        write = net.ask("set", "k", "v", port=7878, check=False)
        must(write.returncode != 0 and "accepts no writes" in write.stderr, write.stderr)
        replica = net.replica(7879)
        net.until(lambda: net.page(7878, "/health")[0] == 200, lambda: str(net.page(7878, "/health")))
        for number in range(50):
            net.ask("set", "k", f"v{number}", port=7878)
        must(net.value(7879, "k") == "v49", "an acknowledged write is not on the replica")
        no_errors(net.load(2))
        # It says nothing any more, and what waits for it is not told that it is done.
        os.kill(replica.pid, signal.SIGSTOP)
        write = net.ask("--timeout", "3000", "set", "k", "not told", port=7878, check=False)
        must(write.returncode != 0, "a write was acknowledged by nobody but the primary")
        net.until(refused, lambda: str(net.page(7878, "/health")))
        read = net.ask("get", "k", port=7878, check=False)
        must("not told" not in read.stdout, "a read shows what could be taken back")
        os.kill(replica.pid, signal.SIGCONT)
        net.until(lambda: net.page(7878, "/health")[0] == 200, lambda: str(net.page(7878, "/health")))
        net.ask("set", "k", "v", port=7878)
        must(net.value(7879, "k") == "v", "the replica's")
        log = primary.log()
        must("no more writes until they do" in log and "writes go on" in log, log)


def case_a_running_replica_is_told_whom_to_follow():
    with Cluster("follow") as net:
        socket = os.path.join(net.home, "control")

        def order(*command, code=0):
            asked = net.station(f"{place.build}/tools/wildctl", "-s", socket, *command, check=False)
            must(asked.returncode == code, f"{command}: exit {asked.returncode}: {asked.stdout}{asked.stderr}")
            return asked.stdout + asked.stderr

        net.primary()
        net.ask("set", "k", "v1", port=7878)
        net.replica(7879, "--control-socket", socket, serving=False, options=[*REPLICA[:-1], "9009"])
        net.until(lambda: "127.0.0.1:9009" in order("status"), "whom it asks")
        must(net.page(7879, "/health")[0] == 503, "it serves nothing")
        # A name that the resolver does not know, then one that it knows.
        order("follow", "nowhere.invalid:9001")
        must(order("follow", "localhost:9001") == "it asks localhost:9001 from now on\n", "no answer")
        net.until_serving(7879)
        must(net.value(7879, "k") == "v1", "it serves what the primary has")
        # Away from it: what it has is served on.
        order("follow", "127.0.0.1:9009")
        net.until(lambda: net.stats()["replicas"] == 0, lambda: str(net.stats()))
        net.ask("set", "k", "v2", port=7878)
        must(net.value(7879, "k") == "v1", "it follows still")
        order("follow", "127.0.0.1:9001")
        net.until(lambda: net.value(7879, "k") == "v2", "it did not come back")
        net.until(lambda: re.search("order +follow: it asks 127.0.0.1:9001 from now on", order("status")), "its last order")
        must("this node knows of no members" in order("members"), order("members"))
        order("follow", "127.0.0.1", code=2)


def case_a_replica_follows_a_name_and_a_secret_between_nodes():
    with Cluster("name") as net:
        between = os.path.join(net.home, "between-nodes")
        with open(os.open(between, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write("another secret\n")
        # First the replica: it waits for its primary.
        replica = net.replica(7879, "--replication-secret-file", between, serving=False,
                              options=[*REPLICA[:4], "--primary-address", "localhost"])
        must(net.page(7879, "/health")[0] == 503, "it serves nothing")
        net.until(lambda: "primary localhost:9001: nobody listens there" in replica.log(), lambda: replica.log())
        net.primary("--replication-secret-file", between)
        net.until_serving(7879)
        net.ask("set", "k", "v", port=7878)
        net.until(lambda: net.value(7879, "k") == "v", "the write")
        must(replica.log().count("nobody listens there") == 1, "a line for every try")


class Elsewhere:
    """Where a Node runs that belongs to the station's side."""

    def __init__(self, net):
        self.node_ns = net.station_ns


def follows(net, port_of_primary, port_of_replica):
    """What is written to the one shows at the other. Both: how a client gets to it, and from which namespace."""

    def ask(where, *command, check=True):
        namespace, endpoint = where
        return run("ip", "netns", "exec", namespace, f"{place.build}/tools/wild-client-example", "--endpoint", endpoint,
                   "--auth-secret-file", place.secret_file, *command, check=check)

    def until(key, value):
        give_up = time.monotonic() + 20
        while ask(port_of_replica, "get", key, check=False).stdout.rstrip("\n") != value:
            must(time.monotonic() < give_up, f"{key} does not get there")

    ask(port_of_primary, "set", "k", "v one")
    until("k", "v one")
    load = ask(port_of_primary, "load-test", "--seconds", "2", "--get-percent", "20").stdout
    must(" 0 errors, 0 mismatches" in load, load)
    ask(port_of_primary, "set", "last", "2")
    until("last", "2")


def case_replication_runs_between_our_tcp_and_linux():
    primary = ["--mode", "primary", "--enable-wal", "--wal-path"]
    with network("veth") as net:
        # The primary on a port of its own: frames of replication come by the workers.
        node = net.start(*primary, os.path.join(place.scratch, "replication-port"))
        must("replicas connect to port 9001 (ring)" in node.log(), node.log())
        replica = Node(Elsewhere(net), ["--mode", "replica", "--primary-address", NODE, "--nic", "kernel"])
        net.nodes.append(replica)
        replica.wait_ready()
        follows(net, (net.station_ns, f"{NODE}:7878"), (net.station_ns, "127.0.0.1:7878"))
        for one in (replica, node):
            must(one.stop() == 0, one.log())
    with network("veth") as net:
        # And the replica.
        node = Node(Elsewhere(net), [*primary, os.path.join(place.scratch, "replication-sockets"), "--nic", "kernel",
                                     "--bind-address", STATION])
        net.nodes.append(node)
        node.wait_ready()
        replica = net.start("--mode", "replica", "--primary-address", STATION)
        follows(net, (net.station_ns, f"{STATION}:7878"), (net.station_ns, f"{NODE}:7878"))
        for one in (replica, node):
            must(one.stop() == 0, one.log())


def case_what_is_asked_of_replication_in_vain_is_one_line_and_exit_2():
    with Cluster("options") as net:
        for options, says in ((["--mode", "primary", "--auth-secret", "x"], "--enable-wal"),
                              (["--mode", "replica", "--auth-secret", "x"], "--primary-address"),
                              (["--mode", "replica", "--insecure-no-auth", "--primary-address", "h"], "--insecure-no-auth"),
                              (["--primary-address", "h", "--auth-secret", "x"], "--mode replica")):
            must(says in fails(net, options, auth=[], code=2), str(options))
        primary = net.primary()
        must(primary.stop() == 0, primary.log())
        net.start()
        line = fails(net, [*PRIMARY[:5], "--wal-path", os.path.join(net.home, "primary.wal"), "--port", "7979",
                           "--replication-port", "7878"], auth=[])
        must("7878" in line and "in use" in line, line)
