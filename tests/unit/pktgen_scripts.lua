-- pktgen_scripts.lua - runs tools/pktgen/*.lua against a stand-in for Pktgen's Lua library: it knows the calls
-- that the scripts make, and simulates a node that answers up to a rate and drops what is above.
--   lua pktgen_scripts.lua FOLDER-OF-THE-SCRIPTS

local folder = assert(arg[1])
local environment, calls, printed, node_limit

os.getenv = function(name) return environment[name] end
print = function(line) printed[#printed + 1] = tostring(line) end

local state
pktgen = {
    screen = function(on) assert(on == "on" or on == "off") end,
    page = function(name) calls.page = name end,
    stop = function(ports) assert(ports == "0") state.sending = false end,
    clr = function() state.sent, state.answered = 0, 0 end,
    set = function(ports, what, value)
        assert(ports == "0" and type(value) == "number")
        assert(({count = 1, rate = 1, size = 1, dport = 1, sport = 1})[what], what)
        state[what] = value
    end,
    start = function(ports) assert(ports == "0") state.sending = true end,
    delay = function(ms)
        if not state.sending then return end
        local sent = state.rate * ms * 10
        if state.count > 0 then
            sent = math.min(sent, state.count - state.sent)
            state.sending = state.sent + sent < state.count
        end
        state.sent = state.sent + math.floor(sent)
        state.answered = state.answered + math.floor(math.min(sent, node_limit * ms * 10))
    end,
    sleep = function(seconds) pktgen.delay(seconds * 1000) end,
    isSending = function() return {[0] = state.sending and "y" or "n", n = 1} end,
    portStats = function(ports, kind)
        assert(ports == "0" and kind == "port")
        return {[0] = {opackets = state.sent, ipackets = state.answered}, n = 1}
    end,
    set_mac = function(_, which, mac) calls.mac = which .. mac end,
    set_ipaddr = function(_, which, ip) calls["ip_" .. which] = ip end,
    set_proto = function(_, proto) calls.proto = proto end,
    userPattern = function(_, pattern) calls.pattern = pattern end,
    latency = function(_, on) calls.latency = on end,
}

local function run(script, variables)
    environment, calls, printed = variables, {}, {}
    state = {sent = 0, answered = 0, count = 0, rate = 100, sending = false}
    assert(loadfile(folder .. "/" .. script))()
end

-- a node that answers 37 percent of the line rate: found to within a step of the search
node_limit = 37
run("sweep.lua", {WILD_SECONDS = "2", WILD_RATES = "10,20,50,100", WILD_STEPS = "8"})
assert(printed[1]:match("^rate_percent,"))
assert(printed[2] == "10.000,200000,200000,0,100000,100000", printed[2])
local found = tonumber(printed[#printed]:match("([%d.]+) percent"))
assert(found <= 37 and found > 36.8, printed[#printed])
assert(not table.concat(printed, "\n"):match("\n100%.000,"), "a rate above a failed one is not tried")

-- one that answers everything: no search
node_limit = 1000
run("sweep.lua", {WILD_RATES = "10,100"})
assert(#printed == 4 and printed[4]:match("100%.000 percent"), printed[#printed])

-- losses that are allowed
node_limit = 99.9999
run("sweep.lua", {WILD_RATES = "100", WILD_LOSS_PPM = "10"})
assert(printed[3]:match("100%.000 percent"), printed[3])

node_limit = 1000
run("preload.lua", {WILD_FRAMES = "5000"})
assert(printed[1] == "preload: 5000 sent, 5000 answered" and #printed == 1, printed[1])
node_limit = 0.5
run("preload.lua", {WILD_FRAMES = "5000"})
assert(printed[2]:match("answers are missing"))
assert(not pcall(run, "preload.lua", {}))

run("latency.lua", {WILD_NODE_MAC = "02:00:00:00:00:02", WILD_NODE_IP = "198.18.0.1"})
assert(calls.latency == "enable" and calls.proto == "udp" and calls.page == "latency")
assert(#calls.pattern == 16 and not calls.pattern:find("\0", 1, true))
local frame = calls.pattern:rep(8)
assert(frame:byte(42 + 1) == 0xF7 and frame:byte(43 + 1) == 0x0A, "payload bytes 0 and 1 say ECHO")
