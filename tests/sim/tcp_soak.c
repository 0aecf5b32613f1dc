/*
 * tcp_soak.c - a simulated day and more of churn between two TCP stacks: connections open, talk, idle, close,
 * abort, and lose their peers. Memory stays what it was, counts are right every hour, nothing is left in
 * the end.
 *
 *   WILD_HOURS   simulated (default 26)     WILD_SEED   the run's seed (default 1)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seeded.h"
#include "tcp_pair.h"
#include "test_eal.h"

#define MS     UINT64_C(1000000)
#define SECOND (1000 * MS)
#define HOUR   (3600 * SECOND)

enum { POOL_FRAMES = 1400, CONNECTIONS = 300, PAGES_MORE = 256 };

struct soak {
    struct pair pair;
    uint64_t random;
    unsigned opened, whole, aborted, lost, refused;
    uint64_t bytes;
    long pages_first; /* resident after the first hour */
};

static uint64_t between(uint64_t *random, uint64_t least, uint64_t most)
{
    return least + seeded_below(random, most - least + 1);
}

static struct pair_plan any_plan(uint64_t *random)
{
    struct pair_plan plan = {.write_max = (unsigned)between(random, 50, 2000), .hold = 100};
    unsigned kind = (unsigned)seeded_below(random, 100);
    for (unsigned role = 0; role < 2; role++) {
        plan.bytes[role] = between(random, 0, 8000);
        plan.pause_ns[role] = between(random, MS, 5 * SECOND);
    }
    if (kind < 20) { /* mostly idle: keepalive has something to do */
        plan.bytes[0] = between(random, 1, 400);
        plan.write_max = 100;
        plan.pause_ns[0] = between(random, 60 * SECOND, 600 * SECOND);
        plan.waits = true;
    } else if (kind < 30) {
        plan.abort_ns = between(random, MS, 60 * SECOND);
    } else if (kind < 40) {
        plan.lost_ns = between(random, MS, 60 * SECOND);
    }
    return plan;
}

/* Conversations that are over are counted and their places given back. */
static void harvest(struct soak *soak)
{
    struct pair *pair = &soak->pair;
    for (unsigned i = 0; i < PAIR_CONVERSATIONS_MAX; i++) {
        struct pair_conversation *c = &pair->conversations[i];
        /* not before segments that are on their way have found nobody */
        if (!c->used || !c->ends[0].over || !c->ends[1].over || c->ends[1].stream != NULL ||
            pair->now.mono_ns - c->finished_ns < SECOND)
            continue;
        bool whole = true;
        for (unsigned role = 0; role < 2; role++) {
            const struct pair_end *end = &c->ends[role];
            soak->bytes += end->received;
            whole &= end->end == STREAM_END_CLOSED && end->received == c->plan.bytes[!role];
        }
        soak->whole += whole;
        soak->aborted += !whole && c->plan.abort_ns != 0;
        soak->lost += !whole && c->plan.lost_ns != 0;
        PAIR_MUST(pair, whole || c->plan.abort_ns != 0 || c->plan.lost_ns != 0,
                  "an undisturbed connection ended otherwise: %u and %u", c->ends[0].end, c->ends[1].end);
        c->used = false;
    }
}

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%ld %ld", &size, &resident) != 2)
            resident = 0;
        fclose(file);
    }
    return resident;
}

/* What the stacks say about themselves against what their users know. */
static void check_hour(struct soak *soak, unsigned hour)
{
    struct pair *pair = &soak->pair;
    unsigned streams[PAIR_SIDES] = {0}, held[PAIR_SIDES] = {0};
    for (unsigned i = 0; i < PAIR_CONVERSATIONS_MAX; i++) {
        for (unsigned role = 0; role < 2; role++) {
            const struct pair_end *end = &pair->conversations[i].ends[role];
            bool open = pair->conversations[i].used && end->stream != NULL;
            streams[end->side] += open;
            held[end->side] += open && end->holding; /* may be over but for that */
        }
    }
    for (unsigned i = 0; i < PAIR_SIDES; i++) {
        const struct pair_side *side = &pair->sides[i];
        struct tcp_counts counts = tcp_counts(side->tcp);
        unsigned most = streams[i] + counts.half_open;
        PAIR_MUST(pair, counts.connections <= most && counts.connections + held[i] >= most,
                  "hour %u, side %u: %u connections, %u half open, %u streams, %u of them held", hour, i,
                  counts.connections, counts.half_open, streams[i], held[i]);
        unsigned out = side->pool_frames - rte_mempool_avail_count(side->pool);
        PAIR_MUST(pair, out <= counts.send_frames + counts.receive_frames + 64,
                  "hour %u, side %u: %u frames are out, %u and %u accounted for", hour, i, out,
                  counts.send_frames, counts.receive_frames);
    }
    if (hour == 1)
        soak->pages_first = resident_pages();
    PAIR_MUST(pair, hour < 2 || resident_pages() <= soak->pages_first + PAGES_MORE,
              "%ld pages, after an hour %ld", resident_pages(), soak->pages_first);
}

static void churn(struct soak *soak, uint64_t until_ns)
{
    struct pair *pair = &soak->pair;
    while (pair->now.mono_ns < until_ns) {
        struct pair_plan plan = any_plan(&soak->random);
        if (pair_live(pair) < CONNECTIONS / 2 &&
            pair_open(pair, (unsigned)seeded_below(&soak->random, 2), &plan))
            soak->opened++;
        else
            soak->refused++;
        pair_run(pair, pair->now.mono_ns + between(&soak->random, MS, 20 * SECOND), false);
        harvest(soak);
        pair->steps = 0;
    }
}

int main(void)
{
    static struct soak soak;
    struct pair *pair = &soak.pair;
    const char *hours_text = getenv("WILD_HOURS");
    unsigned hours = hours_text != NULL ? (unsigned)strtoul(hours_text, NULL, 0) : 26;
    uint64_t seed = seeded_from_environment(1);
    test_eal_start();
    soak.random = seeded_start(seed ^ 77);
    struct pair_link link = {.loss = {10, 10},
                             .repeat = 5,
                             .late = 50,
                             .delay_ns = MS,
                             .late_ns = 5 * MS,
                             .mtu = 1500,
                             .path_mtu = 1500};
    struct tcp_config config = {.connections_max = CONNECTIONS,
                                .time_wait_max = 64,
                                .half_open_max = 32,
                                .send_frames_max = 600,
                                .receive_frames_max = 600,
                                .send_bytes_max = 32768,
                                .receive_bytes_max = 32768,
                                .keepalive = true};
    struct tcp_config configs[2] = {config, config};
    configs[0].pool = pair_pool("side0", POOL_FRAMES);
    configs[1].pool = pair_pool("side1", POOL_FRAMES);
    pair_start(pair, seed, &link, configs);
    for (unsigned hour = 1; hour <= hours; hour++) {
        churn(&soak, pair->now.mono_ns + HOUR);
        check_hour(&soak, hour);
    }
    pair_run(pair, pair->now.mono_ns + 6 * HOUR, true);
    pair_run(pair, pair->now.mono_ns + HOUR, false);
    harvest(&soak);
    uint64_t connected = 0, accepted = 0;
    for (unsigned i = 0; i < PAIR_SIDES; i++) {
        const struct pair_side *side = &pair->sides[i];
        struct tcp_counts counts = tcp_counts(side->tcp);
        PAIR_MUST(pair, counts.connections + counts.half_open + counts.time_wait == 0, "side %u keeps some",
                  i);
        PAIR_MUST(pair, counts.send_frames + counts.receive_frames == 0, "side %u keeps frames", i);
        connected += counter_get(&side->counters, COUNTER_tcp_connected);
        accepted += counter_get(&side->counters, COUNTER_tcp_accepted);
    }
    PAIR_MUST(pair, accepted == pair->accepted && connected <= pair->opened, "%llu accepted, %llu connected",
              (unsigned long long)accepted, (unsigned long long)connected);
    PAIR_MUST(pair, soak.opened == soak.whole + soak.aborted + soak.lost, "%u of %u are accounted for",
              soak.whole + soak.aborted + soak.lost, soak.opened);
    pair_finish(pair);
    printf("%u hours: %u connections (%u whole, %u aborted, %u lost their peer; %u not opened), "
           "%llu segments, %llu bytes, trace %016llx\n",
           hours, soak.opened, soak.whole, soak.aborted, soak.lost, soak.refused,
           (unsigned long long)pair->segments, (unsigned long long)soak.bytes,
           (unsigned long long)pair->trace);
    return 0;
}
