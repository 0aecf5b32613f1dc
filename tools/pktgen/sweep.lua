-- sweep.lua - replays the port's capture at one rate after the other, says how many requests were answered,
-- then halves its way to the highest rate at which (almost) all are.
--
-- Settings come from the environment:
--   WILD_PORT      port number (0)
--   WILD_SECONDS   of sending per rate (5)
--   WILD_RATES     percent of the line rate, ascending (1,2,5,10,20,30,40,50,60,70,80,90,100)
--   WILD_LOSS_PPM  unanswered requests per million that still count as none (0)
--   WILD_STEPS     of the search at the end (6)
--   WILD_OUT       a file for the figures, as CSV (none)

local port = tonumber(os.getenv("WILD_PORT") or "0")
local seconds = tonumber(os.getenv("WILD_SECONDS") or "5")
local loss_ppm = tonumber(os.getenv("WILD_LOSS_PPM") or "0")
local steps = tonumber(os.getenv("WILD_STEPS") or "6")
local rates = os.getenv("WILD_RATES") or "1,2,5,10,20,30,40,50,60,70,80,90,100"
local out = os.getenv("WILD_OUT") and assert(io.open(os.getenv("WILD_OUT"), "w"))
local ports = tostring(port)

local function say(line)
    print(line)
    if out then
        out:write(line, "\n")
        out:flush()
    end
end

-- One rate: true if it counts as answered in full.
local function try(rate)
    pktgen.clr()
    pktgen.set(ports, "rate", rate)
    pktgen.delay(200)
    pktgen.start(ports)
    pktgen.delay(seconds * 1000)
    pktgen.stop(ports)
    pktgen.delay(500) -- what is still under way

    local stats = pktgen.portStats(ports, "port")[port]
    local sent, answered = stats.opackets, stats.ipackets
    local lost = math.max(sent - answered, 0)
    say(string.format("%.3f,%d,%d,%d,%.0f,%.0f", rate, sent, answered, lost, sent / seconds, answered / seconds))
    return sent > 0 and lost * 1000000 <= loss_ppm * sent
end

local function sweep()
    local good, bad = 0, nil
    say("rate_percent,sent,answered,lost,sent_per_second,answered_per_second")
    for word in string.gmatch(rates, "[^,%s]+") do
        local rate = assert(tonumber(word), "WILD_RATES holds numbers, not " .. word)
        if try(rate) then
            good = rate
        else
            bad = rate
            break
        end
    end
    for _ = 1, bad and steps or 0 do
        local middle = (good + bad) / 2
        if try(middle) then
            good = middle
        else
            bad = middle
        end
    end
    say(string.format("# highest rate answered in full: %.3f percent", good))
end

pktgen.screen("off")
pktgen.stop(ports)
pktgen.set(ports, "count", 0)
sweep()
if out then
    out:close()
end
