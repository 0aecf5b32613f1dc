/*
 * tcp_script_player.h - the player of scripts: a struct tcp, its users and its peers.
 */
#ifndef WILD_TEST_TCP_SCRIPT_PLAYER_H
#define WILD_TEST_TCP_SCRIPT_PLAYER_H

#include "tcp_invariants.h"
#include "tcp_script_internal.h"

enum {
    CONVERSATIONS_MAX = 600,
    SENT_MAX = 1024, /* segments that left and are not looked at yet */
    KEPT_MAX = 256,  /* frames that a device may still hold */
    POOL_FRAMES = 2048,
    LOG_BYTES = 65536,
    TURNS_MAX = 200000, /* in one step: more is a busy loop */
    FRONT_BYTES = 34,   /* Ethernet and IPv4, as a worker leaves them in front */
    BACK_BYTES = 5,     /* padding of short frames */
};

#define PLAYER_START_NS UINT64_C(7000000000000)

struct reaction {
    enum script_kind kind;
    uint64_t number;
    bool set;
};

/* A peer, its numbers, and our user at the other end. */
struct conversation {
    struct player *player;
    struct script_origin origin;
    struct return_path path;
    struct stream *stream;             /* NULL: none, or closed */
    uint32_t write_at, read_at, acked; /* acked: the highest number that the peer acknowledged */
    uint64_t received, hold_left;
    uint32_t highest_sent;
    unsigned told[EVENTS];
    enum stream_end end;
    bool holding, over;
    struct reaction reaction[EVENTS];
};

struct sent {
    struct rte_mbuf *frame; /* with a reference of ours */
    const uint8_t *bytes;
    size_t length;
    uint64_t sum;
    struct conversation *conversation;
};

struct player {
    const struct script *script;
    struct rte_mempool *pool;
    struct tcp *tcp;
    struct tcp_config config;
    struct counters counters;
    uint64_t random;
    struct random_source source;
    struct instant now;
    struct conversation *conversations, *current;
    unsigned conversations_used;
    struct sent sent[SENT_MAX], kept[KEPT_MAX];
    unsigned sent_count, sent_taken, kept_at;
    struct tcp_arrival burst[TCP_BURST_MAX];
    unsigned burst_count;
    struct rte_mbuf **starved;
    unsigned starved_count;
    uint16_t link_mtu;
    bool refuse, in_function, in_event, failed, awaiting;
    uint64_t await_from_ns, await_to_ns; /* of the next STEP_LEAVES */
    char *log;
    size_t log_used;
    const struct script_step *step;
    char failure[1024];
};

/* ---- tcp_script_user.c: what leaves, what users do and are told, time ---- */

__attribute__((format(printf, 2, 3))) void player_note(struct player *p, const char *format, ...);
/* The first failure counts. */
__attribute__((format(printf, 2, 3))) void player_fail(struct player *p, const char *format, ...);
void player_release(struct player *p, struct sent *sent);
struct conversation *player_conversation_of(struct player *p, const struct flow *flow);
void player_output_send(void *state, struct rte_mbuf *frame, const struct return_path *path);
uint16_t player_output_mtu(void *state, const struct return_path *path);
const struct sent *player_peek(const struct player *p); /* the next segment that left, or NULL */
void player_take(struct player *p);
void player_describe(const struct sent *sent, char *out, size_t room);
void player_expect_nothing(struct player *p);
size_t player_write(struct conversation *c, uint64_t length);
void player_does(struct conversation *c, enum script_kind kind, uint64_t number);
extern const struct stream_events player_events;
bool player_accepted(void *state, struct stream *stream);
void player_turn(struct player *p);
/* To `to_ns`, stopping at every timer on the way; with `until_sent`, no further than the next segment. */
void player_advance(struct player *p, uint64_t to_ns, bool until_sent);

/* ---- tcp_script_steps.c ---- */

struct conversation *player_converse(struct player *p, uint64_t number, uint64_t host);
void player_feed(struct player *p);
void player_step(struct player *p, const struct script_step *step);

#endif
