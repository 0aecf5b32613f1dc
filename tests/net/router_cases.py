"""Cases of tests/net/run: wild-client-example and its router with real nodes over kernel sockets, on loopback."""
from kernel_cases import Loopback
from lab import must


def case_a_client_without_flags_finds_the_node_and_no_replica():
    with Loopback() as net:
        net.start()
        load = net.client("load-test", "--seconds", "1")
        must("no nodes are named: 127.0.0.1:7878 alone (no answer from 127.0.0.1:7879" in load.stderr, load.stderr)
        must(" 0 errors, 0 mismatches" in load.stdout, load.stdout)
        net.start("--port", "7879")
        health = net.client("health")
        must("(127.0.0.1:7879 is standalone)" in health.stderr, health.stderr)
        must("mode standalone\nstate serving\n" in health.stdout, health.stdout)


def case_a_router_serves_one_node_over_both_transports():
    with Loopback() as net:
        node = net.start()
        for transport in ("tcp", "udp"):
            options = ("--transport", transport, "--primary", "localhost")
            load = net.client(*options, "load-test", "--seconds", "1", "--delete-percent", "10").stdout
            must(" 0 errors, 0 mismatches" in load, load)
            must(net.client(*options, "incr", "visits", "5").stdout == ("5\n" if transport == "tcp" else "10\n"), transport)
            must("health: 1 of 1 endpoints are healthy\n" in net.client(*options, "health").stdout, transport)
        node.stop()
        gone = net.client("--primary", "127.0.0.1", "set", "k", "v", check=False)
        must(gone.returncode == 1 and "nothing listens" in gone.stderr, gone.stderr)


def case_config_test_tells_nodes_apart():
    with Loopback() as net:
        net.start()
        net.start("--port", "7879")
        net.start("--port", "7880", auth=["--auth-secret", "another secret"])
        test = net.client("--primary", "127.0.0.1", "--replica", "127.0.0.1:7879", "--replica", "127.0.0.1:7880",
                          "--replica", "127.0.0.1:7881", "config-test", check=False)
        must(test.returncode == 1 and "config-test: 4 endpoints, 4 wrong\n" in test.stdout, test.stdout)
        for says in ("it is standalone, which has no replicas", "it is standalone, with data of its own",
                     "a WILD node that does not take our secret", "nothing listens on that port"):
            must(says in test.stdout, test.stdout)
        must("ok: standalone, serving" in net.client("config-test", "--endpoint", "127.0.0.1:7879").stdout, "alone it is fine")
