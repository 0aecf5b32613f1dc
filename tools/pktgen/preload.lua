-- preload.lua - sends a capture of SETs once, slowly, and checks that every one is answered.
-- Settings come from the environment: WILD_FRAMES (needed: frames in the capture, as wild-pcap printed them),
-- WILD_PORT (0), WILD_RATE (1, in percent of the line rate).

local port = tonumber(os.getenv("WILD_PORT") or "0")
local rate = tonumber(os.getenv("WILD_RATE") or "1")
local frames = tonumber(os.getenv("WILD_FRAMES") or "")
local ports = tostring(port)

assert(frames, "set WILD_FRAMES to the number of frames that wild-pcap printed")

pktgen.screen("off")
pktgen.stop(ports)
pktgen.clr()
pktgen.set(ports, "count", frames)
pktgen.set(ports, "rate", rate)
pktgen.start(ports)
repeat
    pktgen.delay(100)
until pktgen.isSending(ports)[port] ~= "y"
pktgen.delay(1000)

local stats = pktgen.portStats(ports, "port")[port]
print(string.format("preload: %d sent, %d answered", stats.opackets, stats.ipackets))
if stats.ipackets < stats.opackets then
    print("preload: answers are missing: lower WILD_RATE and run it again")
end
pktgen.set(ports, "count", 0)
