"""Cases of tests/net/run: three nodes with a log each, and all that may become of them while one takes another's place: killed,
frozen, cut off, emptied, asked twice at once, asked in vain. Over kernel sockets. Pauses are random: WILD_SEED repeats them."""
import glob
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

from failover_cases import Members
from lab import must, place, run

EVERYBODY = (1, 2, 3)


class Trio(Members):
    """Three members, the first of which leads. A write is told to be done once one more has it."""

    def __init__(self, name, least=1):
        super().__init__("trio-" + name)
        self.least = ["--min-replicas", str(least)] if least else []
        self.journal = os.path.join(self.home, "journal")
        self.seed = int(os.environ.get("WILD_SEED", "0"), 0) or random.SystemRandom().randrange(1, 1 << 32)
        self.chance = random.Random(self.seed)
        self.member_node = {}
        print(f"# {name}: WILD_SEED={self.seed}", flush=True)

    def start(self, i, leads=None, serving=False):
        self.member_node[i] = self.member(i, leads, *self.least, serving=serving)
        return self.member_node[i]

    def start_all(self):
        for i in EVERYBODY:
            self.start(i, None if i == 1 else 1)
        for i in EVERYBODY:
            self.until_serving(self.port(i))
        self.until_listed(3)

    def until_listed(self, count, at=1):
        self.until(lambda: [m["part"] for m in self.members(at)] == ["stays"] * count, lambda: self.ctl(at, "members").stdout)

    @staticmethod
    def port(i):
        return 7877 + i

    def members(self, i):
        return json.loads(self.ctl(i, "-j", "members").stdout)

    def signal(self, i, number):
        os.kill(self.member_node[i].pid, number)

    def kill(self, i):
        self.gone(self.member_node.pop(i))

    def load_on(self, i, seconds=30):
        """Writes to that one, which the journal has; ended by end()."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.client_ns(), f"{place.build}/tools/wild-client-example", "--auth-secret", self.secret,
             "--endpoint", self.where(i), "--timeout", "1500", "load-test", "--seconds", str(seconds), "--keys", "2000",
             "--get-percent", "20", "--journal", self.journal], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def client_ns(self):
        return self.node_ns

    def where(self, i):
        return f"127.0.0.1:{self.port(i)}"

    def end(self, load):
        load.terminate()
        load.communicate(timeout=20)

    def pause(self, least, most):
        time.sleep(self.chance.uniform(least, most))

    def promote(self, i, *more):
        return self.ctl(i, "promote", *more, check=False)

    def ahead(self, nodes):
        """Of those, whose log goes furthest. Nothing more comes to them from a primary."""
        self.until(lambda: all(s["durable_lsn"] >= s["lsn"] for s in map(self.status, nodes)), "what is applied is durable")
        return max(nodes, key=lambda i: self.status(i)["durable_lsn"])

    def take_over(self, nodes):
        """One of them leads from now on: the one that has most."""
        new = self.ahead(nodes)
        outcome = self.promote(new)
        must(outcome.returncode == 0, f"{new} of {nodes}: {outcome.stdout}{outcome.stderr}")
        return new

    def write(self, i, key, value):
        """Acknowledged, as soon as that one takes writes."""
        self.until(lambda: self.ask("set", key, value, port=self.port(i), check=False).returncode == 0, lambda: str(self.status(i)))

    def shown(self, key, value, *nodes):
        for i in nodes or EVERYBODY:
            self.until(lambda: self.value(self.port(i), key) == value, lambda: f"{key} at {i}: {self.status(i)}")

    def leads(self):
        return [i for i in EVERYBODY if self.status(i)["mode"] == "primary"]

    def verify_all(self):
        for i in EVERYBODY:
            self.verify(self.journal, self.port(i))


def case_any_of_three_members_is_killed_or_frozen_under_load():
    with Trio("chaos") as net:
        net.start_all()
        leads = 1
        # Both for a replica and for the primary, in an order of chance.
        what = [(who, how) for who in ("replica", "primary") for how in ("killed", "frozen")]
        net.chance.shuffle(what)
        for number, (who, how) in enumerate(what):
            load = net.load_on(leads)
            net.pause(0.3, 1.0)
            victim = leads if who == "primary" else net.chance.choice([i for i in EVERYBODY if i != leads])
            if how == "killed":
                net.kill(victim)
            else:
                net.signal(victim, signal.SIGSTOP)
            net.pause(0.1, 1.5)
            if who == "primary":
                leads = net.take_over([i for i in EVERYBODY if i != victim])
            else:
                must(load.poll() is None, f"one of two replicas {how}: {load.stdout.read() if load.poll() is not None else ''}")
            net.write(leads, "round", str(number))
            if how == "frozen":
                net.signal(victim, signal.SIGCONT)
                net.pause(0.1, 0.5)
            net.end(load)
            if how == "killed":
                net.start(victim, leads)
            net.shown("round", str(number))
            net.until(lambda: net.leads() == [leads], lambda: str(net.leads()))
            net.write(leads, "after", str(number))
            net.shown("after", str(number))
        net.verify_all()
        for i in EVERYBODY:
            node = net.member_node[i]
            must(node.stop() == 0, node.log())
            net.check(i)


def case_a_frozen_primary_that_goes_on_after_a_promotion_acknowledges_nothing():
    with Trio("frozen") as net:
        net.start_all()
        load = net.load_on(1)
        net.pause(0.5, 1.0)
        net.signal(1, signal.SIGSTOP)
        # What waits in its sockets when it goes on: writes of the load, and one more.
        late = subprocess.Popen(
            ["ip", "netns", "exec", net.node_ns, f"{place.build}/tools/wild-client-example", "--auth-secret", net.secret, "--endpoint",
             net.where(1), "--timeout", "15000", "set", "who", "old"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        new = net.take_over((2, 3))
        net.write(new, "who", "new")
        net.signal(1, signal.SIGCONT)
        for _ in range(20):
            told = net.ask("--timeout", "300", "set", "who", "old", port=7878, check=False)
            must(told.returncode != 0, "the old primary acknowledged a write")
        must(late.wait(timeout=20) != 0, "the old primary acknowledged a write that had waited")
        net.end(load)
        net.until(lambda: net.status(1)["mode"] == "replica", lambda: str(net.status(1)))
        net.shown("who", "new")
        must(net.leads() == [new], str(net.leads()))
        net.verify_all()


def leads_in_the_end(net, rest, number):
    """Who has won may be asked for a promise by the other still, and give it: then nobody leads until promote is asked for once
    more, as the guide says. The one that takes the round's write."""
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        for i in rest:
            if net.status(i)["mode"] == "primary" and \
                    net.ask("set", "round", str(number), port=7877 + i, check=False).returncode == 0:
                return i
        if not any(net.status(i)["mode"] == "primary" for i in rest):
            net.ctl(rest[0], "promote", check=False)
            net.ctl(rest[1], "promote", check=False)
        time.sleep(0.1)
    must(False, str([net.status(i) for i in rest]))
    return None


def case_of_two_promotions_at_once_one_wins_at_most_and_the_next_one_does():
    with Trio("two-at-once") as net:
        net.start_all()
        leads = 1
        for number in range(3):
            load = net.load_on(leads)
            net.pause(0.2, 0.6)
            net.kill(leads)
            rest = [i for i in EVERYBODY if i != leads]
            both = [subprocess.Popen([f"{place.build}/tools/wildctl", "-s", os.path.join(net.home, f"node-{i}.sock"), "promote"],
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for i in rest]
            told = {i: asked.communicate(timeout=30)[0] for i, asked in zip(rest, both)}
            won = [i for i, asked in zip(rest, both) if asked.returncode == 0]
            must(len(won) <= 1, str(told))
            now = leads_in_the_end(net, rest, number)
            net.end(load)
            net.start(leads)  # as if nothing had happened
            leads = now
            net.shown("round", str(number))
            net.until(lambda: net.leads() == [leads], lambda: str(net.leads()))
        net.verify_all()


def case_a_replica_that_lacks_acknowledged_writes_is_not_promoted_and_names_who_has_them():
    with Trio("lacks") as net:
        net.start_all()
        net.kill(3)
        load = net.load_on(1)
        net.pause(0.5, 1.0)
        net.write(1, "last", "1")
        net.kill(1)
        net.end(load)
        net.start(3, 1)
        net.until(lambda: net.status(3)["state"] != "recovering", lambda: str(net.status(3)))
        refused = net.promote(3)
        must(refused.returncode == 1 and "node-2" in refused.stderr, refused.stdout + refused.stderr)
        must(all(net.status(i)["mode"] == "replica" for i in (2, 3)), "somebody leads")
        must(net.promote(2).returncode == 0, net.status(2))
        net.shown("last", "1", 2, 3)
        net.start(1)
        net.shown("last", "1")
        net.verify_all()


def case_an_emptied_primary_takes_nothing_from_members_and_joins_them_as_a_replica():
    with Trio("emptied") as net:
        net.start_all()
        load = net.load_on(1)
        net.pause(0.3, 0.6)
        net.end(load)
        net.write(1, "k", "kept")
        net.shown("k", "kept")
        must(net.member_node[1].stop() == 0, net.member_node[1].log())
        net.nodes.remove(net.member_node.pop(1))
        lost_id = next(m["node"] for m in net.members(2) if m["name"] == "node-1")
        shutil.rmtree(net.wal(1))
        empty = net.member(1, None)
        for i in (2, 3):
            log = net.member_node[i].log
            net.until(lambda: "another cluster" in log(), log)
            must(net.value(net.port(i), "k") == "kept" and net.page(net.port(i), "/health")[0] == 200, "it keeps and serves what it has")
        # They go on without it, though something else answers at its address.
        outcome = net.promote(2)
        must(outcome.returncode == 0, outcome.stdout + outcome.stderr)
        net.write(2, "k", "newer")
        net.shown("k", "newer", 2, 3)
        must(empty.stop() == 0, empty.log())
        net.nodes.remove(empty)
        # What has data of another cluster is not overwritten; without it, it is a new member.
        foreign = net.start(1, 2)
        net.until(lambda: "cluster" in foreign.log(), foreign.log)
        must(net.value(7878, "k") != "newer", "data of a foreign cluster was overwritten")
        net.kill(1)
        shutil.rmtree(net.wal(1))
        net.start(1, 2)
        net.shown("k", "newer")
        net.until_listed(4, at=2)
        net.ctl(2, "members", "remove", lost_id)
        net.until_listed(3, at=2)
        net.verify_all()


def case_without_min_replicas_a_promotion_asks_all_and_force_says_what_may_be_lost():
    with Trio("force", least=0) as net:
        net.start_all()
        net.write(1, "k", "all have it")
        net.shown("k", "all have it")
        for i in (2, 3):
            net.signal(i, signal.SIGSTOP)
        net.write(1, "alone", "only node-1 has it")
        net.kill(1)
        # They cannot have it: the connections on which it may wait for them go, too.
        for i in (2, 3):
            net.kill(i)
            net.start(i, 1)
        net.until(lambda: all(net.status(i)["state"] != "recovering" for i in (2, 3)), "they start")
        new = net.ahead((2, 3))
        refused = net.promote(new)
        must(refused.returncode == 1 and "node-1" in refused.stderr and "--force" in refused.stderr, refused.stderr)
        forced = net.promote(new, "--force")
        must(forced.returncode == 0 and re.search("lost|LOST", forced.stdout), forced.stdout + forced.stderr)
        net.write(new, "k", "newer")
        other = 5 - new
        net.shown("k", "newer", 2, 3)
        # What the old one alone has is set aside, and can be looked at.
        old = net.start(1)
        net.shown("k", "newer")
        must(net.value(7878, "alone") == "", "it was given up")
        net.until(lambda: glob.glob(os.path.join(net.wal(1), "kept-tail-*-meta")), old.log)
        aside = os.path.join(net.home, "aside")
        os.makedirs(aside, mode=0o700)
        for path in glob.glob(os.path.join(net.wal(1), "kept-tail-*")):
            shutil.copy(path, os.path.join(aside, re.sub(r"^kept-tail-[0-9a-f]+-", "", os.path.basename(path))))
        dumped = net.station(f"{place.build}/tools/wildctl", "wal", "dump", "--values", aside, check=False)
        must("only node-1 has it" in dumped.stdout, dumped.stdout + dumped.stderr)
        must(net.leads() == [new] and net.status(other)["mode"] == "replica", str(net.leads()))


def case_a_replica_without_a_log_is_not_promoted():
    with Trio("no-log") as net:
        net.start(1)
        net.member_node[2] = net.node(["--mode", "replica", "--primary-address", "127.0.0.1", "--primary-port", "9001", "--auth-secret",
                                       net.secret, "--port", "7879", "--control-socket", os.path.join(net.home, "node-2.sock")], "node-2")
        net.start(3, 1)
        net.until_serving(7878)
        net.until_serving(7879)
        for more in ((), ("--force",), ("--wal-path", os.path.join(net.home, "node-2.wal"))):
            refused = net.promote(2, *more)
            must(refused.returncode == 1 and "a node without a log of its own cannot lead" in refused.stderr and
                 len(refused.stderr.splitlines()) == 1, refused.stdout + refused.stderr)
        net.until_listed(2)
        must({m["name"] for m in net.members(1)} == {"node-1", "node-3"}, "it is no member")
        net.kill(1)
        must(net.promote(2).returncode == 1, "it leads")
        net.shown("nothing", "", 2)
        must(net.promote(3, "--force").returncode == 0, str(net.status(3)))
        # Whoever has no address of its own for the new one is told.
        net.ctl(2, "follow", "127.0.0.1:9003")
        net.start(1)
        net.write(3, "k", "v")
        net.shown("k", "v")


class Hosts(Trio):
    """The three on machines of their own, each with a cable to one switch; clients are a fourth."""

    def __init__(self, name):
        super().__init__(name)
        self.fabric = self.node_ns
        run("ip", "-n", self.fabric, "link", "add", "switch", "type", "bridge")
        run("ip", "-n", self.fabric, "link", "set", "switch", "up")
        self.host = {}
        for i in (*EVERYBODY, 9):
            self.host[i] = f"{self.fabric}h{i}"
            self.add_namespace(self.host[i])
            run("ip", "-n", self.fabric, "link", "add", f"plug{i}", "type", "veth", "peer", "name", "cable", "netns", self.host[i])
            run("ip", "-n", self.fabric, "link", "set", f"plug{i}", "master", "switch", "up")
            run("ip", "-n", self.host[i], "addr", "add", f"198.18.0.{i}/24", "dev", "cable")
            run("ip", "-n", self.host[i], "link", "set", "cable", "up")
        self.station_ns = self.host[9]

    def cable(self, i, state):
        run("ip", "-n", self.fabric, "link", "set", f"plug{i}", state)

    def client_ns(self):
        return self.station_ns

    def where(self, i):
        return f"198.18.0.{i}:{self.port(i)}"

    def node(self, options, name=None):
        i = int(name[-1])
        self.node_ns = self.host[i]
        try:
            return super().node(["198.18.0.1" if option == "127.0.0.1" else option for option in options] +
                                ["--bind-address", f"198.18.0.{i}"], name)
        finally:
            self.node_ns = self.fabric

    def ask(self, *command, port, **more):
        return self.station(f"{place.build}/tools/wild-client-example", "--auth-secret", self.secret, "--endpoint",
                            self.where(port - 7877), *command, **more)

    def page(self, port, path):
        shown = self.station("curl", "-s", "-m", "5", "-w", "\n%{http_code}", f"http://{self.where(port - 7877)}{path}").stdout
        body, status = shown.rsplit("\n", 1)
        return int(status), json.loads(body)


def case_a_primary_whose_cable_is_pulled_acknowledges_nothing_and_follows_who_was_promoted_meanwhile():
    with Hosts("cable") as net:
        net.start_all()
        load = net.load_on(1)
        net.pause(0.5, 1.0)
        net.cable(1, "down")
        new = net.take_over((2, 3))
        net.write(new, "who", "new")
        # Its own clients still reach it, on its machine.
        beside = ["ip", "netns", "exec", net.host[1], f"{place.build}/tools/wild-client-example", "--auth-secret", net.secret,
                  "--endpoint", net.where(1), "--timeout", "400"]
        for _ in range(5):
            told = run(*beside, "set", "who", "old", check=False)
            must(told.returncode != 0, "the primary that was cut off acknowledged a write")
            must("old" not in run(*beside, "get", "who", check=False).stdout, "what nobody acknowledged was read")
        net.end(load)
        net.cable(1, "up")
        net.until(lambda: net.status(1)["mode"] == "replica", lambda: str(net.status(1)), 25)
        net.shown("who", "new")
        must(net.leads() == [new], str(net.leads()))
        # And a replica's: who is left is enough, and it follows again.
        other = 5 - new
        net.cable(other, "down")
        net.write(new, "who", "newer")
        net.cable(other, "up")
        net.shown("who", "newer")
        net.verify_all()
