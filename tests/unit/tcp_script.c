/*
 * tcp_script.c - plays a whole script: the world is made, its steps follow, everything goes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seeded.h"
#include "tcp_script_player.h"
#include "test_eal.h"

static void configure(struct player *p, const struct script_step *step)
{
    struct tcp_config *config = &p->config;
    const uint64_t n = step->number;
    p->step = step;
    if (strcmp(step->name, "connections") == 0)
        config->connections_max = (unsigned)n;
    else if (strcmp(step->name, "half_open") == 0)
        config->half_open_max = (unsigned)n;
    else if (strcmp(step->name, "time_wait") == 0)
        config->time_wait_max = (unsigned)n;
    else if (strcmp(step->name, "per_source") == 0)
        config->per_source_max = (unsigned)n;
    else if (strcmp(step->name, "send_frames") == 0)
        config->send_frames_max = (unsigned)n;
    else if (strcmp(step->name, "receive_frames") == 0)
        config->receive_frames_max = (unsigned)n;
    else if (strcmp(step->name, "send_bytes") == 0)
        config->send_bytes_max = (uint32_t)n;
    else if (strcmp(step->name, "receive_bytes") == 0)
        config->receive_bytes_max = (uint32_t)n;
    else if (strcmp(step->name, "keepalive") == 0)
        config->keepalive = n != 0;
    else
        player_fail(p, "no such configuration");
}

static void play_steps(struct player *p, unsigned first)
{
    const struct script *script = p->script;
    unsigned repeat_at = 0;
    uint64_t repeats = 0;
    for (unsigned i = first; i < script->steps && !p->failed; i++) {
        const struct script_step *step = &script->step[i];
        if (step->kind == STEP_REPEAT) {
            repeat_at = i;
            repeats = step->number;
        } else if (step->kind == STEP_END) {
            if (--repeats > 0)
                i = repeat_at;
        } else {
            player_step(p, step);
        }
    }
    p->step = NULL;
    if (!p->failed)
        player_expect_nothing(p);
}

/* Everything goes; nothing may be missing. */
static void clean_up(struct player *p)
{
    for (unsigned i = 0; i < p->burst_count; i++)
        rte_pktmbuf_free(p->burst[i].frame);
    if (p->tcp != NULL)
        tcp_destroy(p->tcp);
    while (player_peek(p) != NULL)
        player_take(p);
    for (unsigned i = 0; i < KEPT_MAX; i++)
        player_release(p, &p->kept[i]);
    player_feed(p);
    for (unsigned i = 0; i < p->conversations_used; i++) {
        if (p->conversations[i].stream != NULL)
            player_fail(p, "after tcp_destroy a stream was never told closed");
    }
    if (rte_mempool_avail_count(p->pool) != POOL_FRAMES)
        player_fail(p, "%u frames are missing from the pool after tcp_destroy",
                    POOL_FRAMES - rte_mempool_avail_count(p->pool));
}

static struct player *new_player(const struct script *script, struct rte_mempool *pool)
{
    struct player *p = calloc(1, sizeof *p);
    p->script = script;
    p->pool = pool;
    p->log = calloc(1, LOG_BYTES + 1);
    p->starved = calloc(POOL_FRAMES, sizeof(struct rte_mbuf *));
    p->conversations = calloc(CONVERSATIONS_MAX, sizeof(struct conversation));
    p->random = seeded_start(seeded_from_environment(1));
    p->source = seeded_source(&p->random);
    p->now = (struct instant){.mono_ns = PLAYER_START_NS, .wall_ms = PLAYER_START_NS / 1000000};
    p->link_mtu = 1500;
    p->config =
        (struct tcp_config){.pool = pool,
                            .output = {.state = p, .send = player_output_send, .mtu = player_output_mtu},
                            .counters = &p->counters,
                            .random = &p->source,
                            .connections_max = 64,
                            .time_wait_max = 8,
                            .half_open_max = 16,
                            .send_frames_max = 512,
                            .receive_frames_max = 512,
                            .send_bytes_max = 256 * 1024,
                            .receive_bytes_max = 65535,
                            .numa_node = SOCKET_ID_ANY};
    p->current = player_converse(p, 1, 1);
    return p;
}

static struct rte_mempool *frame_pool(void)
{
    struct rte_mempool *pool = rte_mempool_lookup("script");
    if (pool == NULL)
        pool = rte_pktmbuf_pool_create("script", POOL_FRAMES, 0, TCP_FRAME_PRIVATE_BYTES,
                                       RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    return pool;
}

bool tcp_script_play(const struct tcp_script *text, char *report, size_t report_bytes)
{
    struct script *script = calloc(1, sizeof *script);
    if (!script_parse(script, text, report, report_bytes)) {
        free(script);
        return false;
    }
    struct player *p = new_player(script, frame_pool());
    unsigned first = 0;
    for (; first < script->steps && script->step[first].kind == STEP_CONFIG; first++)
        configure(p, &script->step[first]);
    p->step = NULL;
    p->tcp = tcp_create(&p->config, p->now);
    if (p->tcp == NULL)
        player_fail(p, "tcp_create gave NULL");
    else
        play_steps(p, first);
    clean_up(p);
    bool good = !p->failed;
    if (!good)
        snprintf(report, report_bytes, "%s: %s\n  so far:\n%s", script->name, p->failure, p->log);
    if (getenv("WILD_TCP_TRACE") != NULL)
        printf("%s\n%s", script->name, p->log);
    free(p->conversations);
    free(p->starved);
    free(p->log);
    free(p);
    free(script);
    return good;
}

bool tcp_script_check(const struct tcp_script *text, char *report, size_t report_bytes)
{
    struct script *script = calloc(1, sizeof *script);
    bool good = script_parse(script, text, report, report_bytes);
    free(script);
    return good;
}
