"""Cases of tests/net/run: starts that must fail, each with one line on stderr, and leave nothing behind."""
import os
import shutil
import subprocess

from lab import NODE, STATION, Node, fails, must, network, place, run, write_secret


def case_raw_eal_arguments_do_not_reach_the_default_route():
    with network("veth") as net:
        run("ip", "-n", net.node_ns, "addr", "add", "198.18.0.9/24", "dev", net.interface)
        run("ip", "-n", net.node_ns, "route", "add", "default", "via", STATION)
        line = fails(net, ["--nic", "port:0", "--address", f"{NODE}/24"],
                     auth=["--auth-secret", "x", "--", f"--vdev=net_af_packet0,iface={net.interface}"])
        must("default route" in line, line)


def case_the_interface_of_the_ipv6_default_route_is_not_taken():
    with network("veth") as net:
        inside = ["ip", "netns", "exec", net.node_ns]
        if run(*inside, "sysctl", "-qw", f"net.ipv6.conf.{net.interface}.disable_ipv6=0", check=False).returncode != 0:
            return "needs a kernel with IPv6"
        for command in (("addr", "add", "fd00::1/64", "dev", net.interface, "nodad"),
                        ("route", "add", "2000::/3", "via", "fd00::2")):
            run("ip", "-n", net.node_ns, "-6", *command)
        options = ["--nic", net.nic(), "--address", f"{NODE}/24"]
        node = net.start()
        must(node.stop() == 0, "another IPv6 route is no obstacle")
        run("ip", "-n", net.node_ns, "-6", "route", "add", "default", "via", "fd00::2")
        line = fails(net, options)
        must("default route" in line, line)
    return None


def case_bad_usage_is_one_line_and_exit_2():
    with network("veth") as net:
        for options, says in ((["--modus", "primary"], "unknown option '--modus'"), (["--port", "0"], "--port"),
                              (["--nic", "kernel", "--gateway", STATION], "--gateway"),
                              (["--nic", net.nic()], "--address"), (["--nic", "wlan0"], "--nic"),
                              (["--insecure-no-auth"], "contradict"), (["--auth-secret", "x"], "contradict"),
                              (["extra"], "extra")):
            line = fails(net, options, code=2)
            must(says in line, f"{options}: {line}")
        must("secret" in fails(net, [], auth=[], code=2), "no secret")
        shown = run(f"{place.build}/app/wild", "--help").stdout
        must("--auth-secret-file" in shown, shown)
        os.chmod(write_secret("open", "x\n"), 0o644)
        must("open" in fails(net, [], auth=["--auth-secret-file", os.path.join(place.scratch, "open")], code=2), "mode 644")


def case_what_the_machine_lacks_is_one_line_and_exit_1():
    with network("veth") as net:
        here = ["--address", f"{NODE}/24"]
        must("no such interface" in fails(net, ["--nic", "af_packet:absent0", *here]), "absent interface")
        must("no such device" in fails(net, ["--nic", "pci:ffff:ff:1f.7", *here]), "absent PCI device")
        must("core" in fails(net, ["--nic", net.nic(), *here, "--workers", "64"]), "too few cores")
        line = fails(net, ["--nic", net.nic(), *here],
                     prefix=["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"],
                     auth=["--auth-secret", "x"])
        must("root" in line, f"without root: {line}")
        line = fails(net, ["--nic", "tap:t0", *here], auth=["--auth-secret", "x"],
                     prefix=["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])
        must("root" in line or "tun" in line, f"tap without root: {line}")
        must("exists" in fails(net, ["--nic", f"tap:{net.interface}", *here]), "TAP of a taken name")
        run("ip", "-n", net.node_ns, "addr", "add", f"{NODE}/24", "dev", net.interface)
        must("the kernel owns" in fails(net, ["--nic", net.nic(), *here]), "an address of the kernel's")
        run("ip", "-n", net.node_ns, "addr", "del", f"{NODE}/24", "dev", net.interface)
        run("ip", "-n", net.node_ns, "addr", "add", "198.18.0.9/24", "dev", net.interface)
        run("ip", "-n", net.node_ns, "route", "add", "default", "via", STATION)
        line = fails(net, ["--nic", net.nic(), *here])
        must("default route" in line, f"the default route's interface: {line}")
        run("ip", "-n", net.node_ns, "link", "set", net.interface, "down")
        must("is down" in fails(net, ["--nic", net.nic(), *here]), "an interface that is down")


NULL_PORT = ["--nic", "port:0", "--address", f"{NODE}/24", "--capacity", "1000"]


def bench(*raw):
    """Instead of a secret: bench mode, and raw EAL arguments that need no hugepages."""
    return ["--insecure-no-auth", "--", "--no-huge", *raw]


def case_a_refused_raw_eal_argument_is_named():
    with network("tap") as net:
        for raw, says in ((["--vdv=net_null0"], "'--vdv=net_null0'"), (["-Z"], "'Z'"), (["--lcores=999"], "--lcores"),
                          (["--vdev"], "'--vdev' requires"), (["--vdev=net_nowhere0"], "net_nowhere0"),
                          (["--vdev=net_null0", "stray"], "'stray'")):
            line = fails(net, NULL_PORT, auth=bench(*raw))
            must(says in line, f"{raw}: {line}")


def case_each_step_of_a_start_fails_in_one_line_and_is_undone():
    with network("veth") as net:
        veth = ["--nic", net.nic(), "--address", f"{NODE}/24"]
        # the EAL: its shared folder is another process's
        prefix = f"wildtaken{os.getpid()}"
        try:
            held = Node(net, NULL_PORT, auth=bench(f"--file-prefix={prefix}", "--vdev=net_null0"))
            net.nodes.append(held)
            held.wait_ready()
            line = fails(net, NULL_PORT, auth=bench(f"--file-prefix={prefix}", "--vdev=net_null0"))
            must("another primary" in line, line)
        finally:
            shutil.rmtree(f"/run/dpdk/{prefix}", ignore_errors=True)
        # packet buffers
        line = fails(net, NULL_PORT, auth=bench("-m", "16", "--vdev=net_null0"))
        must("packet buffers" in line and "-m" in line, line)
        # ports: the second one, which is the first by another spelling
        line = fails(net, [*NULL_PORT, "--nic", "port:00", "--address", "198.18.1.1/24"], auth=bench("--vdev=net_null0"))
        must("busy" in line, line)
        run("ip", "-n", net.node_ns, "link", "set", net.interface, "mtu", "1000")
        line = fails(net, veth)
        must("MTU of 1000" in line, line)
        run("ip", "-n", net.node_ns, "link", "set", net.interface, "mtu", "1500")
        # table: more than this machine has, which the kernel may promise nevertheless
        beyond = 2 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 64
        line = fails(net, [*veth, "--capacity", str(beyond)], code=1 if beyond <= 1 << 30 else 2)
        must("--capacity" in line, line)
        if place.sanitized:  # which does not lock, and needs more address space than the next limit leaves
            return
        # keys
        line = fails(net, NULL_PORT, auth=bench("--vdev=net_null0"),
                     prefix=["setpriv", "--bounding-set=-ipc_lock", "prlimit", "--memlock=65536"])
        must("ulimit -l" in line, line)
        # table: more than this process may have
        line = fails(net, [*veth, "--capacity", "100000000"], prefix=["prlimit", f"--as={1 << 30}"])
        must("lower --capacity" in line, line)


def case_hugepages_of_raw_arguments_are_given_back():
    kernel = "/sys/kernel/mm/hugepages/hugepages-2048kB"
    mount = os.path.join(place.scratch, "huge")
    before = int(read(f"{kernel}/nr_hugepages"))
    try:
        with open(f"{kernel}/nr_hugepages", "w", encoding="ascii") as file:
            file.write(str(before + 48))
        if int(read(f"{kernel}/free_hugepages")) < 40:
            return "48 hugepages of 2 MiB cannot be reserved"
        os.makedirs(mount)
        run("mount", "-t", "hugetlbfs", "hugetlbfs", mount)
        with network("tap") as net:
            node = Node(net, NULL_PORT, auth=["--insecure-no-auth", "--", "-m", "64", "--huge-dir", mount,
                                              "--vdev=net_null0"])
            net.nodes.append(node)
            node.wait_ready()
            must(node.stop() == 0, "SIGTERM")
            must(os.listdir(mount) == [], f"{len(os.listdir(mount))} hugepages stay taken")
    finally:
        run("umount", mount, check=False)
        with open(f"{kernel}/nr_hugepages", "w", encoding="ascii") as file:
            file.write(str(before))
    return None


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()
