-- latency.lua - turns Pktgen's own latency packets into ECHO datagrams, which a node in bench mode returns, so
-- that `page latency` shows round trips while the port's capture is the load.
--
-- Pktgen fills a packet with a 16-byte pattern that starts at the frame's first byte, then writes headers (42
-- bytes) and its stamp (frame offset 48..71) over it. Bytes 10 and 11 of the pattern therefore land on payload
-- bytes 0 and 1 (42 = 2 * 16 + 10): 0xF7 0x0A is a datagram of kind ECHO.
--
-- Settings come from the environment: WILD_PORT (0), WILD_SECONDS (10), WILD_RATE (1, percent), WILD_NODE_MAC,
-- WILD_NODE_IP, WILD_SOURCE_IP with its prefix length (198.18.0.2/24), WILD_NODE_PORT (7878).

local port = tonumber(os.getenv("WILD_PORT") or "0")
local seconds = tonumber(os.getenv("WILD_SECONDS") or "10")
local ports = tostring(port)
local node_mac = assert(os.getenv("WILD_NODE_MAC"), "set WILD_NODE_MAC: wild logs it at start")
local node_ip = assert(os.getenv("WILD_NODE_IP"), "set WILD_NODE_IP")

pktgen.screen("off")
pktgen.stop(ports)
pktgen.set_mac(ports, "dst", node_mac)
pktgen.set_ipaddr(ports, "dst", node_ip)
pktgen.set_ipaddr(ports, "src", os.getenv("WILD_SOURCE_IP") or "198.18.0.2/24")
pktgen.set_proto(ports, "udp")
pktgen.set(ports, "dport", tonumber(os.getenv("WILD_NODE_PORT") or "7878"))
pktgen.set(ports, "sport", 40000)
pktgen.set(ports, "size", 128)
pktgen.set(ports, "count", 0)
pktgen.set(ports, "rate", tonumber(os.getenv("WILD_RATE") or "1"))
pktgen.userPattern(ports, "WILD-echo-\xF7\x0Aecho")
pktgen.clr()
pktgen.latency(ports, "enable")
pktgen.page("latency")
pktgen.screen("on")
pktgen.start(ports)
pktgen.sleep(seconds)
pktgen.stop(ports)
