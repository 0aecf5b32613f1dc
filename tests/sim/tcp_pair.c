/*
 * tcp_pair.c - the users at both ends and the clock of both; the link is tcp_pair_link.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seeded.h"
#include "tcp_invariants.h"
#include "tcp_pair_link.h"
#include "test_eal.h"

enum {
    PORT = 7878,
    STEPS_MAX = 5000000, /* more is a busy loop */
    INVARIANTS_EVERY = 64,
    FRAME_ROOM = 9216 + RTE_PKTMBUF_HEADROOM,
};

static const uint64_t START_NS = UINT64_C(5000000000000);

void pair_fail(const struct pair *pair, const char *where, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "seed %llu, %.6f s: %s: ", (unsigned long long)pair->seed,
            (double)(pair->now.mono_ns - START_NS) / 1e9, where);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, " (replay: WILD_SEED=%llu)\n", (unsigned long long)pair->seed);
    va_end(arguments);
    exit(1);
}

/* ---- users ---- */

static uint8_t byte_at(uint32_t salt, unsigned role, uint64_t place)
{
    uint32_t mixed = ((uint32_t)place + salt) * UINT32_C(2654435761) + role * UINT32_C(0x9E3779B9);
    return (uint8_t)(mixed >> 24);
}

static void write_some(struct pair_end *end)
{
    struct pair_conversation *c = end->conversation;
    struct pair *pair = c->pair;
    uint8_t bytes[8192];
    uint64_t left = c->plan.bytes[end->role] - end->written;
    size_t length = 1 + (size_t)seeded_below(&pair->random, c->plan.write_max);
    length = length < left ? length : (size_t)left;
    length = length < sizeof bytes ? length : sizeof bytes;
    for (size_t i = 0; i < length; i++)
        bytes[i] = byte_at(c->salt, end->role, end->written + i);
    pair->in_function++;
    end->written += stream_write(end->stream, bytes, length);
    bool may_close = !c->plan.waits || end->role == 0 || end->ended;
    if (end->written == c->plan.bytes[end->role] && may_close && !end->close_called) {
        end->close_called = true;
        stream_close(end->stream);
    }
    pair->in_function--;
}

static void plan_next(struct pair_end *end)
{
    struct pair *pair = end->conversation->pair;
    end->next_ns =
        pair->now.mono_ns + 1 + seeded_below(&pair->random, end->conversation->plan.pause_ns[end->role] + 1);
}

static struct pair_end *told(struct stream *stream, const char *what)
{
    struct pair_end *end = stream->user;
    struct pair *pair = end->conversation->pair;
    PAIR_MUST(pair, end->stream == stream && !end->over, "%s, of a stream that is closed", what);
    PAIR_MUST(pair, pair->in_function == 0, "%s, from inside a function", what);
    pair_trace(pair, what, strlen(what));
    if (pair->verbose)
        printf("%.6f   side %u, role %u: %s\n", (double)pair->now.mono_ns / 1e9, end->side, end->role, what);
    return end;
}

static void begin(struct pair_end *end)
{
    end->established = true;
    plan_next(end);
    if (seeded_below(&end->conversation->pair->random, 2) == 0)
        write_some(end);
}

static void on_connected(struct stream *stream)
{
    begin(told(stream, "connected"));
}

static size_t on_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct pair_end *end = told(stream, "received");
    struct pair_conversation *c = end->conversation;
    PAIR_MUST(c->pair, length > 0 && !end->ended, "%zu bytes after the end", length);
    size_t taken = length;
    if (seeded_below(&c->pair->random, 1000) < c->plan.hold) {
        taken = (size_t)seeded_below(&c->pair->random, length + 1);
        end->holding = taken < length;
        if (end->holding && end->next_ns == UINT64_MAX)
            plan_next(end);
    }
    for (size_t i = 0; i < length; i++) {
        uint8_t right = byte_at(c->salt, !end->role, end->received + i);
        PAIR_MUST(c->pair, bytes[i] == right, "byte %llu is another",
                  (unsigned long long)(end->received + i));
    }
    memset(bytes, 0xEE, taken);
    end->received += taken;
    PAIR_MUST(c->pair, end->received <= c->plan.bytes[!end->role], "more than was sent");
    return taken;
}

static void on_ended(struct stream *stream)
{
    struct pair_end *end = told(stream, "ended");
    const struct pair_conversation *c = end->conversation;
    PAIR_MUST(c->pair, end->received == c->plan.bytes[!end->role], "%llu of %llu bytes before the end",
              (unsigned long long)end->received, (unsigned long long)c->plan.bytes[!end->role]);
    end->ended = true;
    if (c->plan.waits && !end->close_called)
        plan_next(end);
}

static void on_writable(struct stream *stream)
{
    write_some(told(stream, "writable"));
}

static void on_expired(struct stream *stream)
{
    told(stream, "expired");
}

static void on_closed(struct stream *stream, enum stream_end why)
{
    struct pair_end *end = told(stream, "closed");
    struct pair_conversation *c = end->conversation;
    end->over = true;
    end->stream = NULL;
    end->end = why;
    end->next_ns = UINT64_MAX;
    c->pair->closed++;
    if (why == STREAM_END_CLOSED)
        PAIR_MUST(c->pair, end->ended && end->close_called, "closed in order, but not both directions");
    if (end->role == 0 && !c->ends[1].established)
        c->ends[1].over = true; /* nobody will come any more but by accident */
    if (c->ends[0].over && c->ends[1].over)
        c->finished_ns = c->pair->now.mono_ns;
}

static const struct stream_events events = {.connected = on_connected,
                                            .received = on_received,
                                            .ended = on_ended,
                                            .writable = on_writable,
                                            .expired = on_expired,
                                            .closed = on_closed};

static bool accept_stream(void *state, struct stream *stream)
{
    struct pair_side *side = state;
    struct pair *pair = side->pair;
    for (unsigned i = 0; i < PAIR_CONVERSATIONS_MAX; i++) {
        struct pair_conversation *c = &pair->conversations[i];
        struct pair_end *end = &c->ends[1];
        if (!c->used || end->side != (unsigned)(side - pair->sides) || c->ports[0] != stream->flow.peer_port)
            continue;
        if (end->over) /* who opened has given up meanwhile */
            return false;
        PAIR_MUST(pair, end->stream == NULL, "accepted twice");
        stream->events = &events;
        stream->user = end;
        end->stream = stream;
        pair->accepted++;
        begin(end);
        return true;
    }
    return false; /* a SYN that was on its way when its conversation was forgotten */
}

static void act(struct pair_end *end)
{
    struct pair_conversation *c = end->conversation;
    struct pair *pair = c->pair;
    uint64_t age_ns = pair->now.mono_ns - c->opened_ns;
    plan_next(end);
    if (c->plan.abort_ns != 0 && end->role == 0 && age_ns >= c->plan.abort_ns) {
        pair->in_function++;
        stream_abort(end->stream);
        pair->in_function--;
        end->next_ns = UINT64_MAX;
        return;
    }
    if (end->holding && seeded_below(&pair->random, 2) == 0) {
        end->holding = false;
        pair->in_function++;
        stream_resume(end->stream);
        pair->in_function--;
    }
    if (!end->close_called)
        write_some(end);
    else if (!end->holding && c->plan.abort_ns == 0)
        end->next_ns = UINT64_MAX;
}

/* ---- both ---- */

bool pair_open(struct pair *pair, unsigned side, const struct pair_plan *plan)
{
    struct pair_conversation *c = pair->conversations;
    while (c < pair->conversations + PAIR_CONVERSATIONS_MAX && c->used)
        c++;
    PAIR_MUST(pair, c < pair->conversations + PAIR_CONVERSATIONS_MAX, "too many conversations");
    struct return_path path = pair_path(!side);
    *c = (struct pair_conversation){.pair = pair,
                                    .plan = *plan,
                                    .opened_ns = pair->now.mono_ns,
                                    .salt = (uint32_t)seeded_next(&pair->random)};
    for (unsigned role = 0; role < 2; role++)
        c->ends[role] = (struct pair_end){
            .conversation = c, .side = role == 0 ? side : !side, .role = role, .next_ns = UINT64_MAX};
    path.flow.peer_port = rte_cpu_to_be_16(PORT);
    c->ports[1] = path.flow.peer_port;
    struct pair_end *end = &c->ends[0];
    c->used = true;
    end->stream = tcp_connect(pair->sides[side].tcp, &path, &events, end, pair->now);
    if (end->stream == NULL) {
        c->used = false;
        return false;
    }
    c->ports[0] = end->stream->flow.local_port;
    pair->opened++;
    return true;
}

unsigned pair_live(const struct pair *pair)
{
    unsigned live = 0;
    for (unsigned i = 0; i < PAIR_CONVERSATIONS_MAX; i++) {
        const struct pair_conversation *c = &pair->conversations[i];
        live += c->used && !(c->ends[0].over && c->ends[1].over);
    }
    return live;
}

static void check(const struct pair *pair)
{
    for (unsigned side = 0; side < PAIR_SIDES; side++) {
        const char *broken = tcp_invariants_broken(pair->sides[side].tcp);
        PAIR_MUST(pair, broken == NULL, "side %u: %s", side, broken);
    }
}

static uint64_t users_next_ns(const struct pair *pair)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < PAIR_CONVERSATIONS_MAX; i++) {
        const struct pair_conversation *c = &pair->conversations[i];
        for (unsigned role = 0; role < 2 && c->used; role++)
            next = c->ends[role].next_ns < next ? c->ends[role].next_ns : next;
    }
    return next;
}

static void users_act(struct pair *pair)
{
    for (unsigned i = 0; i < PAIR_CONVERSATIONS_MAX; i++) {
        struct pair_conversation *c = &pair->conversations[i];
        for (unsigned role = 0; role < 2 && c->used; role++) {
            struct pair_end *end = &c->ends[role];
            if (end->next_ns <= pair->now.mono_ns && end->stream != NULL)
                act(end);
        }
    }
}

void pair_run(struct pair *pair, uint64_t to_ns, bool until_finished)
{
    uint64_t timers_ns[PAIR_SIDES];
    while (pair->now.mono_ns < to_ns) {
        if (until_finished && pair_live(pair) == 0)
            return;
        PAIR_MUST(pair, pair->steps++ < STEPS_MAX, "this never ends");
        uint64_t next = pair_link_next_ns(pair), users = users_next_ns(pair);
        next = users < next ? users : next;
        for (unsigned side = 0; side < PAIR_SIDES; side++) {
            timers_ns[side] = tcp_next_ns(pair->sides[side].tcp);
            if (timers_ns[side] <= pair->now.mono_ns)
                timers_ns[side] = pair->now.mono_ns + (UINT64_C(1) << TIMER_TICK_SHIFT);
            next = timers_ns[side] < next ? timers_ns[side] : next;
        }
        PAIR_MUST(pair, next != UINT64_MAX || !until_finished, "nothing will ever happen: %u hang",
                  pair_live(pair));
        next = next < to_ns ? next : to_ns;
        if (next > pair->now.mono_ns)
            pair->now.mono_ns = next;
        pair->now.wall_ms = pair->now.mono_ns / 1000000;
        pair_link_deliver(pair);
        users_act(pair);
        for (unsigned side = 0; side < PAIR_SIDES; side++)
            tcp_turn(pair->sides[side].tcp, pair->now);
        if (pair->steps % INVARIANTS_EVERY == 0)
            check(pair);
    }
}

struct rte_mempool *pair_pool(const char *name, unsigned frames)
{
    struct rte_mempool *pool =
        rte_pktmbuf_pool_create(name, frames, 0, TCP_FRAME_PRIVATE_BYTES, FRAME_ROOM, SOCKET_ID_ANY);
    if (pool == NULL) {
        fprintf(stderr, "no memory for the pool %s\n", name);
        exit(1);
    }
    /* its pages are there from now on: what grows later is a leak */
    struct rte_mbuf **all = calloc(frames, sizeof(struct rte_mbuf *));
    if (all == NULL || rte_pktmbuf_alloc_bulk(pool, all, frames) != 0)
        exit(1);
    for (unsigned i = 0; i < frames; i++)
        memset(all[i]->buf_addr, 0, all[i]->buf_len);
    rte_pktmbuf_free_bulk(all, frames);
    free(all);
    return pool;
}

void pair_start(struct pair *pair, uint64_t seed, const struct pair_link *link,
                const struct tcp_config configs[2])
{
    struct pair_packet *packets = pair->packets, **heap = pair->heap;
    memset(pair, 0, sizeof *pair);
    pair->packets = packets;
    pair->heap = heap;
    pair->seed = seed;
    pair->verbose = getenv("WILD_TCP_TRACE") != NULL;
    pair->random = seeded_start(seed);
    pair->link = *link;
    pair->now = (struct instant){.mono_ns = START_NS, .wall_ms = START_NS / 1000000};
    pair->stall_at_ns = link->stall_every_ns != 0 ? START_NS + link->stall_every_ns : UINT64_MAX;
    pair_link_start(pair);
    for (unsigned i = 0; i < PAIR_SIDES; i++) {
        struct pair_side *side = &pair->sides[i];
        struct tcp_config config = configs[i];
        side->pair = pair;
        side->pool = config.pool;
        side->pool_frames = rte_mempool_avail_count(config.pool);
        side->random = seeded_start(seed * 2 + i);
        side->source = seeded_source(&side->random);
        config.output = pair_link_output(side);
        config.counters = &side->counters;
        config.random = &side->source;
        config.numa_node = SOCKET_ID_ANY;
        side->tcp = tcp_create(&config, pair->now);
        PAIR_MUST(pair, side->tcp != NULL, "tcp_create");
        struct stream_acceptor acceptor = {.state = side, .accepted = accept_stream};
        PAIR_MUST(pair, tcp_listen(side->tcp, PORT, acceptor) == 0, "tcp_listen");
    }
}

void pair_finish(struct pair *pair)
{
    check(pair);
    for (unsigned i = 0; i < PAIR_SIDES; i++)
        tcp_destroy(pair->sides[i].tcp);
    pair_link_finish(pair);
    PAIR_MUST(pair, pair->closed == pair->opened + pair->accepted, "%llu streams, %llu told closed",
              (unsigned long long)(pair->opened + pair->accepted), (unsigned long long)pair->closed);
    for (unsigned i = 0; i < PAIR_SIDES; i++) {
        const struct pair_side *side = &pair->sides[i];
        PAIR_MUST(pair, rte_mempool_avail_count(side->pool) == side->pool_frames, "side %u leaks frames", i);
    }
}
