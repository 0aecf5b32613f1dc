"""Cases of tests/net/run: nodes with a write-ahead log on a real disk, killed, starved of space, and lied to by it."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

from kernel_cases import Loopback
from lab import Failed, Node, fails, must, place, run

SECRET = "wild1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
rounds = int(os.environ.get("WILD_KILL_ROUNDS", "20"))
seed = int(os.environ.get("WILD_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


class Durable(Loopback):
    """Nodes over kernel sockets, all with the log in one folder. As root: traces and mounts need it."""

    def __init__(self, name, parent=None):
        super().__init__()
        self.log_folder = os.path.join(parent or place.scratch, name)

    def node(self, *options, prefix=(), ready=True):
        node = Node(self, ["--enable-wal", "--wal-path", self.log_folder, "--capacity", "20000", *options],
                    auth=["--auth-secret", SECRET], binary=[*prefix, f"{place.build}/app/wild"])
        self.nodes.append(node)
        if ready:
            node.wait_ready()
        return node

    def ask(self, *command, **more):
        return self.station(f"{place.build}/tools/wild-client-example", "--auth-secret", SECRET, *command, **more)

    def refused(self, *options, **more):
        return fails(self, ["--enable-wal", "--wal-path", self.log_folder, *options], auth=["--auth-secret", SECRET], **more)

    def page(self, path):
        """Its status and its JSON."""
        shown = self.station("curl", "-s", "-w", "\n%{http_code}", f"http://127.0.0.1:7878{path}").stdout
        body, status = shown.rsplit("\n", 1)
        return int(status), json.loads(body)

    def until(self, holds, what, seconds=20):
        give_up = time.monotonic() + seconds
        while not holds():
            must(time.monotonic() < give_up, what)
            time.sleep(0.05)


def case_what_was_written_is_there_after_a_restart():
    with Durable("restart") as net:
        node = net.node()
        must(re.search(r"log in .*/restart: \w+", node.log()), node.log())
        net.ask("set", "k", "v one")
        net.ask("incr", "n", "5")
        net.ask("set", "gone", "x")
        net.ask("delete", "gone")
        before = int(net.page("/stats")[1]["lsn"])
        must(node.stop() == 0, "SIGTERM")
        node = net.node()
        must(int(node.ready[5]) == before, f"ready says lsn {node.ready[5]}, the last was {before}")
        must(int(node.ready[6]) == 2, "every start opens an epoch")
        must(net.ask("get", "k").stdout.rstrip("\n") == "v one", "the value")
        must(net.ask("incr", "n").stdout.strip() == "6", "the number")
        must(net.ask("get", "gone", check=False).returncode == 1, "what was deleted stays so")
        must(node.stop() == 0 and net.node("--durability", "async").stop() == 0, "again, async")


def case_a_node_says_that_it_is_recovering_while_it_reads_its_log():
    with Durable("recovering") as net:
        node = net.node("--snapshot-log", "0", "--snapshot-interval", "0")
        for number in range(3):
            net.ask("set", f"k{number}", "v")
        must(node.stop() == 0, "SIGTERM")
        # Each of the first reads of the segment takes 3 s; strace is not in the way otherwise.
        segment = os.path.join(net.log_folder, "wal-0000000000000001")
        node = net.node("--snapshot-log", "0", "--snapshot-interval", "0", ready=False, prefix=(
            "strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", segment, "-e", "trace=pread64", "-e",
            "inject=pread64:delay_enter=3000000:when=1..3"))

        def answers():
            must(node.process.poll() is None, node.log())
            return net.station("curl", "-s", "http://127.0.0.1:7878/health", check=False).returncode == 0

        net.until(answers, "no page")
        status, health = net.page("/health")
        must(status == 503 and health["state"] == "recovering" and health["why"], f"{status} {health}")
        must("ready" not in node.log(), node.log())
        read = net.ask("get", "k1", check=False)
        must(read.returncode != 0 and "v" not in read.stdout, f"a read while the table is incomplete: {read}")
        must(net.ask("set", "k1", "early", check=False).returncode != 0, "a write while the table is incomplete")
        must(net.page("/health")[1]["state"] == "recovering", "it came through before it was asked")
        node.wait_ready()
        status, health = net.page("/health")
        must(status == 200 and health["state"] == "serving", f"{status} {health}")
        must(net.ask("get", "k1").stdout.strip() == "v", "what was written before")
        must(node.stop() == 0, "SIGTERM")


class Load:
    """A load test with a journal, to which earlier ones may have written. Its time-out is longer than a busy machine makes
    anybody wait; it ends by itself so long after the node died."""

    def __init__(self, net, journal, transport):
        self.journal = journal
        self.begin = os.path.getsize(journal) if os.path.exists(journal) else 0
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", net.node_ns, f"{place.build}/tools/wild-client-example", "--auth-secret", SECRET,
             "load-test", "--seconds", "20", "--keys", "2000", "--get-percent", "20", "--journal", journal,
             "--transport", transport, "--timeout", "3000"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def has_written(self):
        """Whether a write of its own was acknowledged."""
        if not os.path.exists(self.journal):
            return False
        with open(self.journal, "rb") as file:
            file.seek(self.begin)
            return b"\nok " in file.read()

    def must_run(self):
        if self.process.poll() is not None:
            raise Failed(f"the load test ended with {self.process.returncode}: {self.process.communicate()[0]}")

    def wait_until_it_writes(self, seconds=30):
        give_up = time.monotonic() + seconds
        while not self.has_written():
            self.must_run()
            if time.monotonic() > give_up:
                self.process.kill()
                raise Failed(f"no write was acknowledged in {seconds} s; the load test: {self.process.communicate()[0]}")
            time.sleep(0.02)


def case_a_load_test_begins_at_once_and_says_why_it_cannot():
    journal = os.path.join(place.scratch, "beginning.journal")
    with Durable("beginning") as net:
        node = net.node()
        for transport in ("tcp", "udp"):
            # Of a time-out of 3 s for each request, and 9 s to connect, nothing is waited for.
            with Load(net, journal, transport) as load:
                load.wait_until_it_writes(seconds=6)
        node.kill()
        for transport in ("tcp", "udp"):
            nobody = net.ask("load-test", "--journal", journal, "--transport", transport, "--timeout", "100", check=False)
            must(nobody.returncode == 1 and "no answer from 127.0.0.1" in nobody.stderr.splitlines()[-1], nobody.stderr)


def case_acknowledged_writes_survive_kill_9():
    print(f"# {rounds} kills, WILD_SEED={seed}")
    chance = random.Random(seed)
    journal = os.path.join(place.scratch, "journal")
    with Durable("killed") as net:
        for number in range(rounds):
            options = ("--snapshot-log", "64", "--wal-io", chance.choice(("uring", "thread")))
            node = net.node(*options)
            with Load(net, journal, chance.choice(("tcp", "udp"))) as load:
                try:
                    load.wait_until_it_writes()
                    time.sleep(chance.uniform(0.0, 1.0))
                    if number % 5 == 4:
                        node.process.send_signal(signal.SIGUSR1)  # a snapshot on its way when it dies
                        time.sleep(chance.uniform(0, 0.05))
                    load.must_run()
                except Failed as why:
                    raise Failed(f"round {number}: {why}; the node: {node.log()}") from None
                node.kill()
                said = load.process.communicate(timeout=60)[0]
            node = net.node(*options)
            verified = net.ask("--timeout", "10000", "verify", "--journal", journal, check=False, timeout=120)
            line = verified.stdout.strip().splitlines()[-1] if verified.stdout.strip() else verified.stderr
            must(verified.returncode == 0 and re.fullmatch(r"verify: \d+ keys, 0 lost, 0 wrong", line),
                 f"round {number}: {line} {verified.stderr}; the load test: {said}")
            node.kill()
        print(f"# {line}")


def case_a_folder_has_one_owner():
    with Durable("owned") as net:
        node = net.node()
        line = net.refused("--port", "7979")
        must(str(node.pid) in line and "owned" in line, line)
        must(node.stop() == 0, "SIGTERM")
        os.chown(net.log_folder, 12345, 12345)
        must("12345" in net.refused(), "another user's folder")
        os.chown(net.log_folder, 0, 0)
        os.chmod(net.log_folder, 0o777)
        must("chmod" in net.refused(), "a folder that everyone may write to")
        os.chmod(net.log_folder, 0o700)
        must(net.node().stop() == 0, "and as it should be")


def case_snapshots_on_demand_and_by_growth_keep_the_log_short():
    with Durable("snapshots") as net:
        node = net.node("--snapshot-log", "64", "--durability", "async")
        net.ask("load-test", "--seconds", "1", "--get-percent", "0", "--keys", "4000")
        node.process.send_signal(signal.SIGUSR1)
        net.until(lambda: net.page("/stats")[1]["snapshots"] >= 1, "no snapshot after SIGUSR1")
        net.until(lambda: "snapshot from lsn" in node.log(), node.log())
        for _ in range(20):
            if net.page("/stats")[1]["snapshots"] >= 4:
                break
            net.ask("load-test", "--seconds", "1", "--get-percent", "0", "--keys", "400", "--value-size", "1000")
        must(net.page("/stats")[1]["snapshots"] >= 4, "the log grew by more than 64 MiB several times")
        names = os.listdir(net.log_folder)
        must(len([name for name in names if name.startswith("snapshot-")]) == 2, str(names))
        must(len([name for name in names if name.startswith("wal-")]) <= 8, str(names))
        must(node.stop() == 0, "SIGTERM")


def segments(net):
    return [name for name in os.listdir(net.log_folder) if name.startswith("wal-")]


def case_a_write_error_makes_the_node_read_only():
    with Durable("failing") as net:
        for call in ("pwrite64", "fdatasync"):
            before = len(segments(net)) if os.path.exists(net.log_folder) else 0
            node = net.node("--wal-io", "thread")
            net.until(lambda: len(segments(net)) >= max(2, before + 1), "no segment was made ahead")  # by the same calls
            time.sleep(0.5)
            net.ask("set", "k", "before")
            with subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(node.pid), "-e", f"trace={call}", "-e",
                                   f"inject={call}:error=EIO:when=10+"]) as strace:
                number, last, answer = 0, "before", ""
                while number < 60:
                    result = net.ask("set", "k", str(number), check=False)
                    answer = result.stdout + result.stderr
                    if result.returncode != 0:
                        break
                    last, number = str(number), number + 1
                must(number < 60, f"{call}: no write was refused")
                must("may have happened" in answer or "no writes" in answer, f"{call}: {answer}")
                refused = net.ask("set", "k", "late", check=False)
                must(refused.returncode != 0 and "no writes" in refused.stdout + refused.stderr, refused.stderr)
                status, health = net.page("/health")
                must(status == 503 and health["state"] == "read_only" and "log" in health["why"], str(health))
                must("Input/output error" in node.log(), node.log())
                node.kill()
                strace.wait(timeout=10)
            node = net.node()
            value = net.ask("get", "k").stdout.strip()
            must(value in (last, str(number)), f"{call}: {value} after a restart, {last} was acknowledged")
            must(node.stop() == 0, "SIGTERM")


def case_a_folder_that_is_moved_or_removed_makes_the_node_read_only():
    with Durable("moved") as net:
        away = net.log_folder + ".away"
        for end in ("moved", "removed"):
            node = net.node()
            net.ask("set", "k", end)
            must(net.page("/health")[0] == 200, "as it should be")
            if end == "moved":
                os.rename(net.log_folder, away)
            else:
                shutil.rmtree(net.log_folder)
            net.until(lambda: net.page("/health")[0] == 503, f"{end}: nobody noticed")
            health = net.page("/health")[1]
            must(health["state"] == "read_only" and "folder is gone" in health["why"], str(health))
            must("folder is gone" in node.log(), node.log())
            refused = net.ask("set", "k", "late", check=False)
            must(refused.returncode != 0 and "no writes" in refused.stdout + refused.stderr, refused.stderr)
            must(net.ask("get", "k").stdout.strip() == end, "reads go on")
            must(node.stop() == 1, "what was acknowledged is where no start finds it")
            if end == "moved":
                must(not os.path.exists(net.log_folder), "nothing new in its place")
                os.rename(away, net.log_folder)
                node = net.node()
                must(net.ask("get", "k").stdout.strip() == "moved", "all that was acknowledged")
                must(net.page("/health")[0] == 200 and node.stop() == 0, "SIGTERM")


def case_a_folder_that_was_away_for_a_moment_is_left_alone_until_a_restart():
    with Durable("returned") as net:
        away = net.log_folder + ".away"
        node = net.node()
        net.ask("set", "k", "v")
        os.rename(net.log_folder, away)
        net.until(lambda: net.page("/health")[0] == 503, "nobody noticed")
        os.rename(away, net.log_folder)
        before = sorted(os.listdir(net.log_folder))
        node.process.send_signal(signal.SIGUSR1)
        time.sleep(1)
        status, health = net.page("/health")
        must(status == 503 and health["state"] == "read_only" and "restart" in health["why"], str(health))
        must(net.ask("set", "k", "late", check=False).returncode != 0, "a write")
        must(sorted(os.listdir(net.log_folder)) == before, "something was made, renamed or removed")
        must(node.stop() == 1 and sorted(os.listdir(net.log_folder)) == before, "nor at the end")
        node = net.node()
        must(net.ask("get", "k").stdout.strip() == "v", "all that was acknowledged")
        must(net.page("/health")[0] == 200 and node.stop() == 0, "SIGTERM")


def case_a_folder_that_goes_just_before_the_end_is_no_clean_stop():
    for _ in range(5):  # at any time between two looks
        with Durable("late") as net:
            node = net.node()
            net.ask("set", "k", "v")
            shutil.rmtree(net.log_folder)
            must(node.stop() == 1, "a clean stop, and the log is gone")
            must("folder is gone" in node.log(), node.log())


def case_a_full_disk_stops_writes_until_there_is_space():
    mount = os.path.join(place.scratch, "small")
    os.makedirs(mount, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", mount)
    try:
        with Durable("log", parent=mount) as net:
            filler = os.path.join(mount, "filler")
            node = net.node("--snapshot-log", "0", "--snapshot-interval", "0")
            net.until(lambda: len(segments(net)) == 2, "no segment was made ahead")
            with open(filler, "wb") as file:
                try:
                    while True:
                        file.write(bytes(1 << 20))
                        file.flush()
                except OSError:
                    pass
            acknowledged = None
            for number in range(400):
                load = net.ask("load-test", "--seconds", "1", "--get-percent", "0", "--value-size", "1000", "--keys", "900",
                               check=False, timeout=60)
                if net.page("/health")[1]["state"] == "read_only":
                    break
                acknowledged = number
            must(net.page("/health")[1]["state"] == "read_only", "it never became full")
            must("full" in net.page("/health")[1]["why"], str(net.page("/health")))
            must("No space left" in node.log(), node.log())
            must(net.ask("set", "k", "v", check=False).returncode != 0, "a write while the disk is full")
            os.remove(filler)
            net.until(lambda: net.page("/health")[0] == 200, "space is back, and the node is not")
            net.ask("set", "k", "after")
            must(node.stop() == 0, f"SIGTERM {acknowledged} {load}")
            node = net.node()
            must(net.ask("get", "k").stdout.strip() == "after", "what was written after")
            must(node.stop() == 0, "SIGTERM")
    finally:
        run("umount", mount, check=False)


def case_a_limit_on_files_sizes_is_told_and_kills_nothing():
    with Durable("limited") as net:
        os.mkdir(net.log_folder, 0o700)
        with open(os.open(os.path.join(net.log_folder, "lock"), os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii"):
            pass  # the one file that a refused start leaves
        must("File too large" in net.refused(prefix=("prlimit", f"--fsize={48 << 20}")), "a segment is larger than that")
        must(net.node().stop() == 0, "without the limit")


def case_a_smaller_capacity_is_refused_and_the_right_one_named():
    with Durable("capacity") as net:
        node = net.node()
        net.ask("load-test", "--seconds", "1", "--get-percent", "0", "--keys", "2000")
        node.process.send_signal(signal.SIGUSR1)
        net.until(lambda: net.page("/stats")[1]["snapshots"] >= 1, "no snapshot after SIGUSR1")
        must(net.page("/stats")[1]["log_free_bytes"] > 0, "the space that is left")
        must(node.stop() == 0, "SIGTERM")
        line = net.refused("--capacity", "100")
        must("--capacity 20000" in line, line)
        must(net.node().stop() == 0, "the capacity that it was written with")


def case_a_damaged_log_is_refused_and_says_where():
    with Durable("damaged") as net:
        node = net.node()
        for number in range(30):
            net.ask("set", f"k{number}", "v" * 500)
        must(node.stop() == 0, "SIGTERM")
        segment = os.path.join(net.log_folder, "wal-0000000000000001")
        with open(segment, "r+b") as file:
            file.seek(10 * 4096 + 100)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        line = net.refused()
        must("wal-0000000000000001" in line and "40960" in line and "wildctl" in line, line)
        with open(segment, "r+b") as file:
            file.seek(10 * 4096 + 100)
            file.write(byte)
        must(net.node().stop() == 0, "the byte is right again")
        meta = os.path.join(net.log_folder, "meta")
        os.rename(meta, meta + ".away")
        must("meta" in net.refused(), "a log without meta")
        os.rename(meta + ".away", meta)
        must(net.node().stop() == 0, "and with it")
