"""Cases of tests/net/run: what docs/ and deploy/ tell people to type, typed: docs/replication.md's ```bash blocks in their order, and
the units for systemd."""
import os
import re
import shutil
import time

from kernel_cases import Loopback, nobody
from lab import HERE, Node, must, place, run

TREE = os.path.dirname(os.path.dirname(HERE))
INSTALLED = "/usr/local/bin/wild"

# Between two blocks a reader waits for what the first one started: `ready` lines, and replicas that serve.
AWAIT = """
for socket in SOCKETS; do
    for i in $(seq 300); do
        build/tools/wildctl -s $socket status 2>/dev/null | grep -q '^state  *serving' && continue 2
        sleep 0.1
    done
    echo "$socket: the node does not serve" >&2
    exit 1
done
"""


def typed(net, name, before, blocks):
    """What is shown by blocks that are typed in a folder of their own, after `before`."""
    home = os.path.join(place.scratch, name)
    os.makedirs(home)
    os.symlink(os.path.abspath(place.build), os.path.join(home, "build"))
    script = f"set -e\ntrap 'kill $(jobs -p); wait' EXIT\n{before}"
    for block in blocks:
        script += block
        sockets = re.findall(r"--control-socket (\S+)", block)
        script += AWAIT.replace("SOCKETS", " ".join(sockets)) if sockets else ""
    ran = net.station("bash", "-c", script, cwd=home, timeout=180, check=False)
    shown = ran.stdout + ran.stderr
    must(ran.returncode == 0, shown[-3000:])
    return shown


def replication_blocks():
    """Those of nodes that all have logs, which are a cluster of their own, and the others."""
    with open(os.path.join(TREE, "docs/replication.md")) as document:
        sections = re.split(r"^(?=## )", document.read(), flags=re.M)
    of_members, others = [], []
    for section in sections:
        blocks = re.findall(r"^```bash\n(.*?)^```$", section, re.M | re.S)
        (of_members if any(re.search(r"\b[abc]\.sock|\$[abc]\b", block) for block in blocks) else others).extend(blocks)
    return of_members, others


def must_say(shown, *texts):
    for says in texts:
        must(says in shown, f"not said: {says!r}: {shown[-3000:]}")


def case_the_replication_document_does_what_it_says():
    with Loopback() as net:
        blocks = replication_blocks()[1]
        must(len(blocks) >= 6, f"{len(blocks)} blocks")
        must_say(typed(net, "document", "", blocks), "health: 3 of 3 endpoints are healthy", "hello\n", "2 replicas, 0 missing, 0 wrong",
                 " 0 errors, 0 mismatches", "mode            primary", "streaming", "\"lag_ms\"", "wild_replication_applied_records_total",
                 "3 endpoints, 0 wrong", "state           serving")


def case_the_replication_documents_members_take_each_others_place():
    with Loopback() as net:
        of_members, others = replication_blocks()
        must(len(of_members) == 7, f"{len(of_members)} blocks")
        secret = "\n".join(line for line in "".join(others).splitlines() if re.match(r"umask|echo \"wild1:|export WILD_AUTH_SECRET", line))
        shown = typed(net, "document-members", secret + "\n", of_members)
        must_say(shown, "is promised to this node by 2 of 3 members, itself counted", "\nb\n",
                 "the other node takes this one's place, and is followed", "a leaves the list of members", "follows the primary")
        must(shown.count("OK\n") == 4, shown[-3000:])


def unit_options(name):
    """ExecStart of a unit: the options, and its environment."""
    with open(os.path.join(TREE, "deploy/systemd", name)) as file:
        unit = file.read()
    command = re.search(r"^ExecStart=(.*?[^\\])\n", unit, re.M | re.S).group(1).replace("\\\n", " ").split()
    must(command[0] == INSTALLED, str(command))
    return command[1:], dict(re.findall(r"^Environment=(\w+)=(\S+)$", unit, re.M))


def case_systemd_has_nothing_to_say_against_its_units():
    folder = os.path.join(place.scratch, "verified")
    os.makedirs(folder)
    units = sorted(name for name in os.listdir(os.path.join(TREE, "deploy/systemd")) if name.endswith(".service"))
    must(units == ["wild-member.service", "wild-primary.service", "wild-replica.service"], str(units))
    for name in units:
        with open(os.path.join(TREE, "deploy/systemd", name)) as file:
            unit = file.read()
        must(f"ExecStart={INSTALLED} " in unit, f"{name} starts something else")
        with open(os.path.join(folder, name), "w") as file:
            file.write(unit.replace(INSTALLED, os.path.abspath(f"{place.build}/app/wild")))
    # It exits with 0 where it warns, too.
    verified = run("systemd-analyze", "verify", *(os.path.join(folder, name) for name in units), check=False)
    must(verified.returncode == 0 and verified.stdout + verified.stderr == "", verified.stdout + verified.stderr)


def case_the_systemd_units_start_nodes_with_their_options():
    with Loopback() as net:
        home = os.path.join(net.folder, "units")
        os.makedirs(home)
        secret = os.path.join(home, "secret")
        with open(os.open(secret, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write("mysecret\n")
        shutil.chown(secret, "nobody")
        shutil.chown(home, "nobody")
        nodes = []
        for name in ("wild-primary.service", "wild-replica.service", "wild-member.service"):
            options, environ = unit_options(name)
            place_of = {"/etc/wild/secret": secret, "/data/wild/primary.wal": f"{home}/primary.wal",
                        "/run/wild/control": f"{home}/{name}.control", "primary.example.com": "127.0.0.1",
                        "/data/wild/member.wal": f"{home}/member.wal",
                        "4000000": "20000"}  # the machine's memory is not the matter here
            if name == "wild-member.service":  # it has a machine of its own
                port, replication_port = (options.index(option) + 1 for option in ("--port", "--replication-port"))
                must(options[port] == "7878" and options[replication_port] == "9001", str(options))
                options[port], options[replication_port] = "7880", "9002"
            node = Node(net, [place_of.get(option, option) for option in options], auth=[], environ=environ,
                        binary=[*nobody, f"{net.folder}/wild"])
            net.nodes.append(node)
            node.wait_ready()
            nodes.append(node)
        must([node.ready[3] for node in nodes] == ["primary", "replica", "replica"], str([node.ready for node in nodes]))
        for command, shows in (("replicas", "replica1 "), ("members", "member2 .* stays ")):
            net.station("bash", "-c", f"for i in $(seq 200); do {place.build}/tools/wildctl -s {home}/wild-primary.service.control {command} "
                        f"| grep -q '{shows}' && exit 0; sleep 0.1; done; exit 1")
        for node in reversed(nodes):
            must(node.stop() == 0, node.log())


def case_a_running_node_is_asked_by_its_control_socket():
    with Loopback() as net:
        socket = f"{net.folder}/control"

        def ask(*command, code=0):
            asked = net.station(f"{place.build}/tools/wildctl", "-s", socket, *command, check=False)
            must(asked.returncode == code, f"{command}: exit {asked.returncode}: {asked.stdout}{asked.stderr}")
            return asked.stdout + asked.stderr

        node = net.start("--control-socket", socket)
        must("mode            standalone\nstate           serving\n" in ask("status"), ask("status"))
        must("no replica follows this node" in ask("replicas"), ask("replicas"))
        must("no snapshot without a log" in ask("snapshot", code=1), ask("snapshot", code=1))
        must("\"asked\": \"drain\"" in ask("-j", "drain"), "drain")
        must(node.process.wait(timeout=20) == 0, node.log())
        must(not os.path.exists(socket), "the socket was left")
        must("is the node running" in ask("status", code=1), "a node that is gone")
        node = net.start("--control-socket", socket, "--enable-wal", "--wal-path", f"{net.folder}/asked.wal")
        net.client("set", "k", "v")
        ask("snapshot")
        give_up = time.monotonic() + 20
        while not any(name.startswith("snapshot-") for name in os.listdir(f"{net.folder}/asked.wal")):
            must(time.monotonic() < give_up, f"no snapshot: {node.log()}")
            time.sleep(0.05)
        must(node.stop() == 0, node.log())
