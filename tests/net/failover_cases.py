"""Cases of tests/net/run: replicas with a log of their own, over kernel sockets on loopback: they come back with what they had,
count for --min-replicas, and take the primary's place."""
import errno
import glob
import json
import os
import random
import re
import signal
import time

from lab import must, place, run
from replication_cases import Cluster, no_errors

CHANCE = random.Random()


class Members(Cluster):
    """Nodes that all have a log: node i answers clients at 7877 + i, members at 9000 + i, and is named node-i."""

    def member(self, i, leads=None, *more, serving=True):
        """leads: the number of the one that it follows; None: it is the primary."""
        own = ["--auth-secret", self.secret, "--enable-wal", "--wal-path", f"node-{i}.wal", "--port", str(7877 + i),
               "--replication-port", str(9000 + i), "--control-socket", os.path.join(self.home, f"node-{i}.sock")]
        role = ["--mode", "primary"] if leads is None else \
            ["--mode", "replica", "--primary-address", "127.0.0.1", "--primary-port", str(9000 + leads)]
        node = self.node([*role, *own, *more], f"node-{i}")
        if serving:
            self.until_serving(7877 + i)
        return node

    def ctl(self, i, *command, check=True):
        return self.station(f"{place.build}/tools/wildctl", "-s", os.path.join(self.home, f"node-{i}.sock"), *command, check=check)

    def status(self, i):
        return json.loads(self.ctl(i, "-j", "status").stdout)

    def gone(self, node):
        node.kill()
        self.nodes.remove(node)

    def wal(self, i):
        return os.path.join(self.home, f"node-{i}.wal")

    def check(self, i):
        """Its folder is in order, while nobody uses it."""
        shown = self.station(f"{place.build}/tools/wildctl", "wal", "check", self.wal(i), check=False)
        must(shown.returncode == 0, shown.stdout + shown.stderr)

    def verify(self, journal, port):
        shown = self.ask("verify", "--journal", journal, port=port, check=False, timeout=120)
        must(shown.returncode == 0, f"{port}: {shown.stdout}{shown.stderr}")


def case_a_replica_with_a_log_comes_back_with_what_it_had():
    with Members("replica-log") as net:
        net.member(1)
        replica = net.member(2, 1)
        load = net.load(6, "--journal", os.path.join(net.home, "journal"))
        for _ in range(3):
            time.sleep(CHANCE.uniform(0.4, 1.0))
            net.until(lambda: net.status(2)["durable_lsn"] > 0, lambda: str(net.status(2)))
            net.gone(replica)
            net.check(2)
            replica = net.member(2, 1)
            must(net.count("bootstraps", 7879) == 0, "it resumed from its own log")
        no_errors(load)
        net.ask("set", "after", "1")
        net.until_level(7879)
        net.verify(os.path.join(net.home, "journal"), 7879)
        must(replica.stop() == 0, replica.log())
        net.check(2)
        # In order, too; and what it has is there before anything is heard of a primary.
        replica = net.member(2, 1)
        must(net.count("bootstraps", 7879) == 0 and net.value(7879, "after") == "1", str(net.stats(7879)))


def case_acknowledged_writes_are_there_when_a_replicas_folder_leads():
    """The guide's manual failover: the primary is killed, a replica is started with --mode primary on its own folder."""
    with Members("failover") as net:
        journal = os.path.join(net.home, "journal")
        primary = net.member(1, None, "--min-replicas", "1", serving=False)
        replicas = [net.member(i, 1) for i in (2, 3)]
        net.until_serving(7878)
        load = net.load(30, "--journal", journal, "--timeout", "2000")
        time.sleep(CHANCE.uniform(1.0, 2.0))
        net.gone(primary)
        load.terminate()
        load.communicate(timeout=60)
        net.until(lambda: all(not status["primary_lsn"] > status["lsn"] for status in map(net.status, (2, 3))), "what was sent")
        ahead = max((2, 3), key=lambda i: net.status(i)["durable_lsn"])
        other = 5 - ahead
        for node in replicas:
            must(node.stop() == 0, node.log())
            net.nodes.remove(node)
        # It may not lead alone: the other must promise itself, and does as soon as it is there.
        new = net.member(ahead, None, serving=False)
        net.until(lambda: "not promoted" in new.log(), lambda: new.log())
        must(net.status(ahead)["state"] == "fenced", str(net.status(ahead)))
        net.member(other, ahead, serving=False)
        net.until_serving(7877 + ahead)
        net.until_serving(7877 + other)
        net.verify(journal, 7877 + ahead)
        net.ask("set", "new", "1", port=7877 + ahead)
        net.until(lambda: net.value(7877 + other, "new") == "1", "a write after the failover")
        net.verify(journal, 7877 + other)
        # The old one comes back as a replica. What it alone had is set aside.
        old = net.member(1, ahead)
        net.until(lambda: net.value(7878, "new") == "1", lambda: old.log())
        net.verify(journal, 7878)
        net.until(lambda: net.status(1)["durable_lsn"] == net.status(1)["lsn"], lambda: str(net.status(1)))
        kept = lambda: glob.glob(os.path.join(net.wal(1), "kept-tail-*-meta"))
        if "set aside" in old.log():
            net.until(kept, lambda: old.log())
        else:
            must(not kept(), "a tail where there was none")


def case_a_replica_with_a_log_is_loaded_again_when_the_primarys_log_is_not_long_enough():
    with Members("retention") as net:
        net.member(1, None, "--snapshot-log", "64")
        replica = net.member(2, 1)
        net.ask("set", "before", "1")
        net.until_level(7879)
        must(replica.stop() == 0, replica.log())
        net.nodes.remove(replica)
        before = net.stats()["snapshots"] if "snapshots" in net.stats() else 0
        no_errors(net.load(4, "--value-size", "1000"))
        for _ in range(3):
            net.ctl(1, "snapshot")
            time.sleep(0.7)
            no_errors(net.load(1, "--value-size", "1000"))
        replica = net.member(2, 1)
        net.until_level(7879)
        must(net.value(7879, "before") == "1", before)
        net.until(lambda: net.status(2)["durable_lsn"] == net.status(2)["lsn"], lambda: str(net.status(2)))
        bootstraps = net.count("bootstraps", 7879)
        net.gone(replica)
        net.check(2)
        net.member(2, 1)
        must(net.count("bootstraps", 7879) == 0, f"after {bootstraps}")


def case_a_replica_whose_disk_is_full_waits_and_goes_on():
    with Members("full-replica") as net:
        net.member(1)
        os.makedirs(net.wal(2))
        run("mount", "-t", "tmpfs", "-o", "size=200m,mode=700", "tmpfs", net.wal(2))
        try:
            replica = net.member(2, 1)
            filler = os.path.join(net.wal(2), "filler")
            with open(filler, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 65536)
                except OSError as full:
                    must(full.errno == errno.ENOSPC, str(full))
            no_errors(net.load(4, "--value-size", "1000"))
            net.until(lambda: re.search("disk is full|No space", replica.log()), lambda: replica.log())
            must(net.page(7879, "/health")[0] == 200, "what it has is served")
            os.remove(filler)
            net.ask("set", "after", "1")
            net.until_level(7879)
            must(net.value(7879, "after") == "1", replica.log())
            must(replica.stop() == 0, replica.log())
            net.nodes.remove(replica)
            net.check(2)
        finally:
            for node in list(net.nodes):
                node.kill()
                net.nodes.remove(node)
            run("umount", net.wal(2))




def case_a_replica_is_promoted_and_gives_place_again():
    """Three members, K = 1: the primary is killed under load, one replica is promoted, the other follows it by itself; the old
    primary comes back as it was started and follows, too; then the place is handed over in order, twice."""
    with Members("promotion") as net:
        journal = os.path.join(net.home, "journal")
        nodes = {1: net.member(1, None, "--min-replicas", "1", serving=False)}
        nodes.update({i: net.member(i, 1, "--min-replicas", "1") for i in (2, 3)})
        net.until(lambda: len(json.loads(net.ctl(1, "-j", "members").stdout)) == 3, lambda: net.ctl(1, "members").stdout)
        load = net.load(30, "--journal", journal, "--timeout", "2000")
        time.sleep(CHANCE.uniform(0.5, 1.5))
        refused = net.ctl(2, "promote", check=False)
        must(refused.returncode == 1 and "alive" in refused.stderr, refused.stdout + refused.stderr)
        net.gone(nodes[1])
        load.terminate()
        load.communicate(timeout=60)
        begun = time.monotonic()
        outcomes = {i: net.ctl(i, "promote", check=False) for i in (2, 3)}
        shown = str({i: outcome.stdout + outcome.stderr for i, outcome in outcomes.items()})
        won = [i for i in (2, 3) if outcomes[i].returncode == 0]
        must(len(won) == 1, shown)
        new, other = won[0], 5 - won[0]
        net.until(lambda: net.ask("set", "after", "1", port=7877 + new, check=False).returncode == 0, "the first write")
        took = time.monotonic() - begun
        must(took < 20, f"{took}: {shown}")
        net.until(lambda: net.value(7877 + other, "after") == "1", lambda: nodes[other].log())
        for i in (new, other):
            net.verify(journal, 7877 + i)
        old = net.member(1, None, "--min-replicas", "1", serving=False)  # as it was started before
        net.until(lambda: net.status(1)["mode"] == "replica" and net.value(7878, "after") == "1", lambda: str(net.status(1)) + old.log())
        net.verify(journal, 7878)
        for leads, to in ((new, 1), (1, other)):
            net.until(lambda: net.status(to)["durable_lsn"] == net.status(leads)["lsn"], lambda: str(net.status(to)))
            net.ctl(leads, "demote", "--to", f"node-{to}")
            net.until(lambda: net.status(to)["mode"] == "primary", lambda: str(net.status(to)))
            net.until(lambda: net.ask("set", "to", str(to), port=7877 + to, check=False).returncode == 0, lambda: str(net.status(to)))
            for i in {1, 2, 3} - {to}:
                net.until(lambda: net.value(7877 + i, "to") == str(to), lambda: str(net.status(i)))
            net.verify(journal, 7877 + to)


def case_a_member_that_was_not_asked_finds_the_new_primary():
    """K = 2 of 4: two promises are enough, so one replica that is stopped meanwhile is not needed; it finds the new primary."""
    with Members("unasked") as net:
        nodes = {1: net.member(1, None, "--min-replicas", "2", serving=False)}
        nodes.update({i: net.member(i, 1, "--min-replicas", "2") for i in (2, 3, 4)})
        net.until(lambda: len(json.loads(net.ctl(1, "-j", "members").stdout)) == 4, lambda: net.ctl(1, "members").stdout)
        net.until(lambda: net.ask("set", "before", "1", check=False).returncode == 0, "a write")
        os.kill(nodes[4].pid, signal.SIGSTOP)
        net.until(lambda: all(net.status(i)["durable_lsn"] == net.status(1)["lsn"] for i in (2, 3)), "level")
        net.gone(nodes[1])
        net.ctl(2, "promote")
        os.kill(nodes[4].pid, signal.SIGCONT)
        net.until(lambda: net.ask("set", "after", "1", port=7879, check=False).returncode == 0, lambda: str(net.status(2)))
        net.until(lambda: net.value(7881, "after") == "1", lambda: str(net.status(4)) + nodes[4].log())


def case_a_primary_without_members_addresses_asks_its_peers():
    """Over 0.0.0.0 a primary does not know its own address, so the list has none of it: who is started as a primary beside it on
    a replica's folder hears of it by --peer, and follows it; without, it may not lead either."""
    with Members("peers") as net:
        net.member(1, None, "--bind-address", "0.0.0.0")
        replica = net.member(2, 1)
        net.until(lambda: len(json.loads(net.ctl(2, "-j", "members").stdout)) == 2, lambda: net.ctl(2, "members").stdout)
        net.ask("set", "k", "v")
        net.until(lambda: net.status(2)["durable_lsn"] == net.status(1)["lsn"], lambda: str(net.status(2)))
        must(replica.stop() == 0, replica.log())
        net.nodes.remove(replica)
        alone = net.member(2, None, serving=False)
        net.until(lambda: "not promoted" in alone.log(), lambda: alone.log())
        time.sleep(2)
        must(net.status(2)["state"] == "fenced" and "alive" not in alone.log(), alone.log())
        must(alone.stop() == 0, alone.log())
        net.nodes.remove(alone)
        told = net.member(2, None, "--peer", "nobody.invalid:9001", "--peer", "127.0.0.1:9001", serving=False)
        must("nobody.invalid" in told.log() and "left out" in told.log(), told.log())
        net.until(lambda: net.status(2)["mode"] == "replica" and net.value(7879, "k") == "v", lambda: str(net.status(2)) + told.log())
        must(net.status(1)["mode"] == "primary", str(net.status(1)))
