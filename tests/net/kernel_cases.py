"""Cases of tests/net/run: nodes over kernel sockets, in a namespace that has nothing but loopback, as nobody."""
import os
import signal
import subprocess
import time

from lab import NODE, Network, Node, fails, must, networks, operations, place, run

nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def secret_file_of_nobody():
    """The same secret, where nobody, the user, may read it."""
    path = os.path.join(place.scratch, "secret-of-nobody")
    if not os.path.exists(path):
        run("cp", place.secret_file, path)
        os.chown(path, 65534, 65534)
        os.chmod(path, 0o600)
    return path


class Loopback(Network):
    """A namespace with nothing but loopback: a node over kernel sockets and its clients."""

    def __init__(self):
        super().__init__("loopback")
        networks.append(self)
        self.folder = os.path.join(place.scratch, "open-to-all")
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(place.scratch, 0o711)
        os.chmod(self.folder, 0o777)
        for program in ("app/wild", "tools/wild-client-example"):
            run("cp", f"{place.build}/{program}", self.folder)

    def start(self, *options, auth=None, binary=None, **more):
        """As nobody, with a secret and nothing else."""
        node = Node(self, list(options), auth=auth or ["--auth-secret", "mysecret"],
                    binary=(binary or []) + nobody + [f"{self.folder}/wild"], **more)
        self.nodes.append(node)
        node.wait_ready()
        return node

    def client(self, *command, auth=None, **more):
        """Its defaults: 127.0.0.1:7878."""
        return self.station(*nobody, f"{self.folder}/wild-client-example",
                            *(auth or ["--auth-secret", "mysecret"]), *command, **more)


def case_a_node_needs_nothing_but_a_secret():
    with Loopback() as net:
        node = net.start()
        must(node.ready[1] == "127.0.0.1" and node.ready[2] == "7878", str(node.ready))
        must("the slow compatibility path" in node.log(), node.log())
        operations(net)
        outside = run("ip", "netns", "exec", net.node_ns, "ss", "-lnu").stdout
        must("127.0.0.1:7878" in outside and "0.0.0.0:7878" not in outside, outside)
        load = subprocess.Popen(["ip", "netns", "exec", net.node_ns, f"{net.folder}/wild-client-example", "--auth-secret",
                                 "mysecret", "load-test", "--seconds", "3"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)
        must(node.stop() == 0, f"SIGTERM under load: {node.log()}")
        must("stopping" in node.log(), node.log())
        load.wait(timeout=30)
        must(net.start().stop(signal.SIGINT) == 0, "started again at once, SIGINT")


def case_kernel_sockets_serve_every_address_and_many_workers():
    with Loopback() as net:
        cpu = min(os.sched_getaffinity(0))
        node = net.start("--nic", "kernel", "--bind-address", "0.0.0.0", "--port", "7979", "--workers", "3",
                         auth=["--auth-secret-file", secret_file_of_nobody(), "--", f"--lcores=(0-3)@{cpu}"],
                         binary=["prlimit", "--memlock=8388608:8388608"])
        must(" connections a worker, as " in node.log(), "keys of three workers need more than the usual limit of locked memory")
        for address in ("127.0.0.1", "127.0.0.2"):
            result = net.station(f"{place.build}/tests/net/request_client", address, "7979", place.secret_file, check=False)
            must(result.returncode == 0 and result.stdout.count("ok ") >= 10, result.stdout + result.stderr)
        load = net.client("--endpoint", "127.0.0.3:7979", "load-test", "--seconds", "1", "--connections", "8",
                          auth=["--auth-secret-file", secret_file_of_nobody()]).stdout
        must(" 0 errors, 0 mismatches" in load, load)


def case_an_idle_node_over_kernel_sockets_leaves_the_machine_alone():
    with Loopback() as net:
        node = net.start()
        net.client("load-test", "--seconds", "1")
        before = cpu_seconds(node.pid)
        time.sleep(2)
        used = (cpu_seconds(node.pid) - before) / 2
        must(used < 0.25, f"an idle node uses {100 * used:.0f} % of a core")


def case_sockets_that_cannot_be_had_are_one_line_and_exit_1():
    with Loopback() as net:
        net.start()
        for options, prefix, says in ((["--port", "7878"], (), "is in use"),
                                      (["--bind-address", "0.0.0.0"], nobody, "is in use"),
                                      (["--bind-address", "198.18.3.4"], (), "no address of this machine"),
                                      (["--address", f"{NODE}/24"], (), "no NIC is bound to DPDK"),
                                      (["--port", "80"], nobody, "needs root or CAP_NET_BIND_SERVICE")):
            line = fails(net, options, prefix=prefix, auth=["--auth-secret", "x"], program=f"{net.folder}/wild")
            must(says in line, f"{options}: {line}")
