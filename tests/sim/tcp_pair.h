/*
 * tcp_pair.h - two TCP stacks joined by a link in virtual time, with users at both ends who write, read,
 * hold, close and abort by a seed. The link loses, repeats, delays, reorders and corrupts; it computes and
 * verifies real checksums, so that what it corrupted is dropped as the layer below would.
 *
 * Every byte of a stream is a function of its place: what is delivered is compared at once.
 */
#ifndef WILD_TEST_TCP_PAIR_H
#define WILD_TEST_TCP_PAIR_H

#include "tcp/tcp_internal.h"

enum { PAIR_SIDES = 2, PAIR_CONVERSATIONS_MAX = 512 };

struct pair_link {
    unsigned loss[PAIR_SIDES]; /* per 1000, of what side 0 or 1 sends */
    unsigned repeat, late, corrupt;
    uint64_t delay_ns, late_ns;                     /* one way; a late one takes up to so much more */
    uint64_t stall_every_ns, stall_ns;              /* one way at a time, nothing passes; 0: never */
    uint16_t mtu;                                   /* what both stacks believe */
    uint16_t path_mtu;                              /* longer ones do not pass */
    bool icmp;                                      /* and are reported */
    bool strip_sack, strip_timestamps, strip_scale; /* from SYNs, as some boxes do */
};

/* What the users of one conversation do; [0]: who opens. */
struct pair_plan {
    uint64_t bytes[2];    /* each writes so many, then closes */
    uint64_t pause_ns[2]; /* up to so long between writes */
    unsigned write_max;   /* bytes at once */
    unsigned hold;        /* per 1000 deliveries are not taken whole */
    uint64_t abort_ns;    /* after so long the opener aborts; 0: never */
    bool waits;           /* who was called closes only when the caller has */
    uint64_t lost_ns;     /* after so long nothing of it passes the link any more; 0: never */
};

struct pair_end {
    struct pair_conversation *conversation;
    struct stream *stream; /* NULL: none yet, or closed */
    unsigned side, role;   /* role 0 opened */
    uint64_t written, received, next_ns;
    bool established, holding, close_called, ended, over;
    enum stream_end end;
};

struct pair_conversation {
    struct pair *pair;
    struct pair_plan plan;
    struct pair_end ends[2];
    uint64_t opened_ns, finished_ns;
    rte_be16_t ports[2]; /* of who opens, of who listens */
    uint32_t salt;
    bool used, lost;
};

struct pair_side {
    struct pair *pair;
    struct tcp *tcp;
    struct rte_mempool *pool;
    unsigned pool_frames;
    struct counters counters;
    uint64_t random;
    struct random_source source;
    uint64_t stalled_until_ns; /* of what it sends */
};

struct pair_packet;

struct pair {
    uint64_t seed, random;
    struct instant now;
    struct pair_link link;
    struct pair_side sides[PAIR_SIDES];
    struct pair_conversation conversations[PAIR_CONVERSATIONS_MAX];
    struct pair_packet *packets, *free;
    struct pair_packet **heap;
    unsigned in_link, in_function;
    uint64_t order, stall_at_ns;
    uint64_t trace; /* hash of all that happened */
    uint64_t segments, lost, steps;
    uint64_t opened, accepted, closed; /* streams */
    bool verbose;
    /* For scenarios: whether this segment is to be lost. NULL: no. */
    bool (*drop)(struct pair *pair, unsigned from, const uint8_t *segment, unsigned length);
    void *drop_state;
};

/* The caller fills in the link, the configurations' limits and their pools (so that seeds share them); the
 * rest is made here. Ends the process when memory is short. */
void pair_start(struct pair *pair, uint64_t seed, const struct pair_link *link,
                const struct tcp_config configs[2]);
/* A place for a conversation that `side` opens; false: tcp_connect gave NULL. */
bool pair_open(struct pair *pair, unsigned side, const struct pair_plan *plan);
/* Until nothing is left to happen before `to_ns`, or `done`. */
void pair_run(struct pair *pair, uint64_t to_ns, bool until_finished);
unsigned pair_live(const struct pair *pair); /* conversations that are not over on both ends */
/* Destroys both stacks; every stream must have been told closed, every frame be back. */
void pair_finish(struct pair *pair);

struct rte_mempool *pair_pool(const char *name, unsigned frames);
/* A failure names the seed and ends the process. */
__attribute__((format(printf, 3, 4), noreturn)) void pair_fail(const struct pair *pair, const char *where,
                                                               const char *format, ...);
#define PAIR_MUST(pair, condition, ...)                                                                      \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            pair_fail(pair, #condition, __VA_ARGS__);                                                        \
    } while (0)

#endif
