/*
 * tcp_link.c - two TCP stacks over an impaired link, seed by seed: byte-exact, no hang, nothing leaked, and
 * the same seed does the same again.
 *
 *   WILD_SEEDS   how many (default 500; 10000 on demand)     WILD_SEED   the first (alone: just that one)
 *
 * Then: a request whose single reply segment is lost is answered within 10 ms and the peer's delay of
 * acknowledgements.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seeded.h"
#include "tcp_pair.h"
#include "test_eal.h"

#define MS        UINT64_C(1000000)
#define SECOND    (1000 * MS)
#define HOURS_MAX 6

enum {
    POOL_FRAMES = 1400,
    /* per 1000: beyond it a connection may rightly be given up. Without time stamps the RTO stays backed off
     * until something is sent once (RFC 6298 5, Karn), and a minute without news ends who has closed already. */
    HARSH_LOSS = 100,
    HARSH_LOSS_UNSTAMPED = 40,
};

struct totals {
    unsigned seeds, harsh, cut; /* cut: given up on a harsh link */
    uint64_t bytes, segments, trace;
};

static struct rte_mempool *pools[2];

static uint64_t between(uint64_t *random, uint64_t least, uint64_t most)
{
    return least + seeded_below(random, most - least + 1);
}

/* Small values are more frequent: each power of two is as likely. */
static uint64_t any_size(uint64_t *random, unsigned bits_least, unsigned bits_most)
{
    uint64_t top = UINT64_C(1) << between(random, bits_least, bits_most);
    return between(random, top, 2 * top - 1);
}

static struct pair_link any_link(uint64_t *random)
{
    struct pair_link link = {.delay_ns = any_size(random, 13, 26),
                             .mtu = (uint16_t)between(random, 576, 9000)};
    unsigned worst = (unsigned)(seeded_below(random, 3) == 0 ? 300 : 60);
    for (unsigned side = 0; side < PAIR_SIDES; side++)
        link.loss[side] = seeded_below(random, 4) == 0 ? 0 : (unsigned)between(random, 0, worst);
    link.repeat = seeded_below(random, 3) == 0 ? (unsigned)between(random, 0, 500) : 0;
    link.late = seeded_below(random, 2) == 0 ? (unsigned)between(random, 0, 400) : 0;
    link.late_ns = link.delay_ns * between(random, 1, 4);
    link.corrupt = seeded_below(random, 3) == 0 ? (unsigned)between(random, 0, 50) : 0;
    if (seeded_below(random, 4) == 0) {
        link.stall_every_ns = between(random, 200 * MS, 5 * SECOND);
        link.stall_ns = between(random, 10 * MS, link.stall_every_ns / 4 + 20 * MS);
    }
    link.path_mtu = link.mtu;
    if (seeded_below(random, 4) == 0) {
        link.path_mtu = (uint16_t)between(random, 576, link.mtu);
        link.icmp = seeded_below(random, 4) != 0;
    }
    link.strip_sack = seeded_below(random, 4) == 0;
    link.strip_timestamps = seeded_below(random, 4) == 0;
    link.strip_scale = seeded_below(random, 4) == 0;
    return link;
}

static struct tcp_config any_config(uint64_t *random, struct rte_mempool *pool)
{
    return (struct tcp_config){.pool = pool,
                               .connections_max = 16,
                               .time_wait_max = (unsigned)between(random, 8, 16),
                               .half_open_max = (unsigned)between(random, 1, 8),
                               .send_frames_max = (unsigned)between(random, 64, 512),
                               .receive_frames_max = (unsigned)between(random, 64, 512),
                               .send_bytes_max = (uint32_t)any_size(random, 12, 19),
                               .receive_bytes_max = (uint32_t)any_size(random, 12, 19),
                               .keepalive = true};
}

static struct pair_plan any_plan(uint64_t *random, unsigned loss)
{
    unsigned bits = loss > 100 ? 14 : 17;
    struct pair_plan plan = {.write_max = (unsigned)any_size(random, 3, 12),
                             .hold = seeded_below(random, 2) == 0 ? (unsigned)between(random, 0, 300) : 0};
    for (unsigned role = 0; role < 2; role++) {
        plan.bytes[role] = seeded_below(random, 8) == 0 ? 0 : any_size(random, 0, bits);
        plan.pause_ns[role] = any_size(random, 15, 24);
        /* many tiny writes with long pauses tell nothing new */
        uint64_t bytes_max = 600 * plan.write_max;
        plan.bytes[role] = plan.bytes[role] < bytes_max ? plan.bytes[role] : bytes_max;
    }
    if (seeded_below(random, 16) == 0)
        plan.abort_ns = any_size(random, 20, 32);
    return plan;
}

/* In order unless the link or a plan is an excuse. Returns whether an end was given up. */
static bool judge(const struct pair *pair, bool harsh, struct totals *totals)
{
    bool cut = false;
    for (unsigned i = 0; i < PAIR_CONVERSATIONS_MAX; i++) {
        const struct pair_conversation *c = &pair->conversations[i];
        if (!c->used)
            continue;
        for (unsigned role = 0; role < 2; role++) {
            const struct pair_end *end = &c->ends[role];
            totals->bytes += end->received;
            bool whole = end->end == STREAM_END_CLOSED && end->received == c->plan.bytes[!role];
            if (whole || c->plan.abort_ns != 0)
                continue;
            PAIR_MUST(pair, harsh, "conversation %u, role %u: end %u, %llu of %llu bytes", i, role, end->end,
                      (unsigned long long)end->received, (unsigned long long)c->plan.bytes[!role]);
            cut = true;
        }
    }
    return cut;
}

static void show(const struct pair_link *link)
{
    printf("loss %u %u repeat %u late %u corrupt %u of 1000, %.3f ms + %.3f ms, stall %.3f of %.3f s, ",
           link->loss[0], link->loss[1], link->repeat, link->late, link->corrupt,
           (double)link->delay_ns / 1e6, (double)link->late_ns / 1e6, (double)link->stall_ns / 1e9,
           (double)link->stall_every_ns / 1e9);
    printf("mtu %u path %u%s, without%s%s%s\n", link->mtu, link->path_mtu, link->icmp ? " icmp" : "",
           link->strip_sack ? " SACK" : "", link->strip_timestamps ? " time stamps" : "",
           link->strip_scale ? " scale" : "");
}

static uint64_t run(struct pair *pair, uint64_t seed, struct totals *totals)
{
    uint64_t random = seeded_start(seed ^ UINT64_C(0x5EED));
    struct pair_link link = any_link(&random);
    struct tcp_config configs[2] = {any_config(&random, pools[0]), any_config(&random, pools[1])};
    unsigned loss = link.loss[0] > link.loss[1] ? link.loss[0] : link.loss[1];
    bool harsh = loss + link.corrupt > (link.strip_timestamps ? HARSH_LOSS_UNSTAMPED : HARSH_LOSS);
    pair_start(pair, seed, &link, configs);
    if (pair->verbose)
        show(&link);
    for (unsigned count = (unsigned)between(&random, 1, 4); count > 0; count--) {
        struct pair_plan plan = any_plan(&random, loss);
        PAIR_MUST(pair, pair_open(pair, (unsigned)seeded_below(&random, 2), &plan), "not opened");
        pair_run(pair, pair->now.mono_ns + seeded_below(&random, 100 * MS), false);
    }
    pair_run(pair, pair->now.mono_ns + HOURS_MAX * 3600 * SECOND, true);
    PAIR_MUST(pair, pair_live(pair) == 0, "%u hang", pair_live(pair));
    /* a cookie remembers nothing: when the first segment is lost, the second finds nobody and is reset */
    for (unsigned side = 0; side < PAIR_SIDES; side++)
        harsh |= counter_get(&pair->sides[side].counters, COUNTER_tcp_cookie_refused) > 0;
    bool cut = judge(pair, harsh, totals);
    /* TIME-WAIT and what a peer that has gone left behind end by themselves */
    pair_run(pair, pair->now.mono_ns + 3600 * SECOND, false);
    for (unsigned side = 0; side < PAIR_SIDES; side++) {
        struct tcp_counts counts = tcp_counts(pair->sides[side].tcp);
        PAIR_MUST(pair,
                  counts.connections + counts.half_open + counts.time_wait + counts.send_frames +
                          counts.receive_frames ==
                      0,
                  "side %u keeps connections %u half_open %u time_wait %u send_frames %u receive_frames %u",
                  side, counts.connections, counts.half_open, counts.time_wait, counts.send_frames,
                  counts.receive_frames);
    }
    pair_finish(pair);
    totals->seeds++;
    totals->harsh += harsh;
    totals->cut += cut;
    totals->segments += pair->segments;
    totals->trace = totals->trace * 31 + pair->trace;
    return pair->trace;
}

/* ---- one lost reply ---- */

struct lost_reply {
    bool done;
    uint64_t at_ns;
};

static bool drop_first_reply(struct pair *pair, unsigned from, const uint8_t *segment, unsigned length)
{
    struct lost_reply *lost = pair->drop_state;
    unsigned header = (segment[12] >> 4) * 4u;
    if (lost->done || from != 1 || length == header)
        return false;
    lost->done = true;
    lost->at_ns = pair->now.mono_ns;
    return true;
}

static void lost_reply(struct pair *pair, uint64_t seed)
{
    uint64_t random = seeded_start(seed);
    struct pair_link link = {.delay_ns = between(&random, 5000, MS), .mtu = 1500, .path_mtu = 1500};
    link.strip_timestamps = seed % 2 == 0;
    struct tcp_config configs[2] = {any_config(&random, pools[0]), any_config(&random, pools[1])};
    struct lost_reply lost = {0};
    struct pair_plan plan = {.bytes = {200, 64}, .write_max = 64, .pause_ns = {2 * MS, 0}};
    pair_start(pair, seed, &link, configs);
    pair->drop = drop_first_reply;
    pair->drop_state = &lost;
    PAIR_MUST(pair, pair_open(pair, 0, &plan), "not opened");
    const struct pair_end *client = &pair->conversations[0].ends[0];
    while (!lost.done)
        pair_run(pair, pair->now.mono_ns + MS / 10, false);
    while (client->received == 0)
        pair_run(pair, pair->now.mono_ns + MS / 10, false);
    uint64_t took_ns = pair->now.mono_ns - lost.at_ns;
    PAIR_MUST(pair, took_ns <= 10 * MS + TCP_DELAYED_ACK_NS, "a lost reply took %.1f ms",
              (double)took_ns / 1e6);
    pair_run(pair, pair->now.mono_ns + 600 * SECOND, true);
    pair_finish(pair);
}

int main(void)
{
    static struct pair pair;
    struct totals totals = {0};
    const char *count_text = getenv("WILD_SEEDS");
    bool one = getenv("WILD_SEED") != NULL && count_text == NULL;
    uint64_t first = seeded_from_environment(1);
    uint64_t count = one ? 1 : count_text != NULL ? strtoull(count_text, NULL, 0) : 500;
    test_eal_start();
    pools[0] = pair_pool("side0", POOL_FRAMES);
    pools[1] = pair_pool("side1", POOL_FRAMES);
    for (uint64_t seed = first; seed < first + count; seed++) {
        uint64_t trace = run(&pair, seed, &totals);
        if (one)
            printf("seed %llu: trace %016llx\n", (unsigned long long)seed, (unsigned long long)trace);
        if (seed % 50 == 0) {
            struct totals again = {0};
            PAIR_MUST(&pair, run(&pair, seed, &again) == trace, "it went otherwise the second time");
        }
    }
    for (uint64_t seed = first; !one && seed < first + 50; seed++)
        lost_reply(&pair, seed);
    printf("%u seeds (%u harsh, %u of them cut short), %llu segments, %llu bytes delivered, trace %016llx\n",
           totals.seeds, totals.harsh, totals.cut, (unsigned long long)totals.segments,
           (unsigned long long)totals.bytes, (unsigned long long)totals.trace);
    if (totals.cut * 10 > totals.harsh + 10) {
        printf("too many were given up\n");
        return 1;
    }
    return 0;
}
