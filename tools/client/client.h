/*
 * client.h - inside libwild: the client object and what its files offer one another.
 *
 * What a request is, the same however it travels:
 *   connect.c   options and secrets; makes and closes clients
 *   address.c   endpoints, names and addresses
 *   pipeline.c  operations in flight: ids, timers, outcomes, what is sent again
 *   messages.c  operations into messages, answers out of them, and the turn that waits for them
 *   calls.c     wild_get() and its like: submit one, wait for it
 *   batch.c     wild_submit(), wild_poll() and batches
 *   health.c    wild_health(), texts
 * How it travels, behind struct carrier:
 *   datagrams.c UDP: messages may be lost, come twice or overtake each other; the unanswered are sent again
 *   session.c   the handshake over UDP, its retransmissions, and how a lost session is replaced
 *   stream.c    TCP: a connection's beginning and end, its handshake, and when it is given up
 *   stream_records.c messages in records on it; a reply can only be late, or lost with the connection
 * And for many threads:
 *   pool.c      clients that are lent
 * And for many nodes: router.h.
 *
 * Everything runs on the caller's thread, inside its calls. `now` is CLOCK_MONOTONIC in nanoseconds, read by
 * the public functions and after each wait, and passed down.
 */
#ifndef WILD_CLIENT_INTERNAL_H
#define WILD_CLIENT_INTERNAL_H

#include <stdatomic.h>
#include <sys/socket.h>

#include "datagrams.h"
#include "handshake.h"
#include "keys.h"
#include "message.h"
#include "client_stream.h"
#include "wild.h"

enum {
    FLIGHTS_MAX = WILD_PIPELINE_MAX,
    FLIGHT_NONE = 0xFF,
    BODY_BYTES_MAX = 1280, /* a request's key and value; then the answer's value in their place */
};
static_assert((int)KEY_BYTES_MAX + (int)VALUE_BYTES_MAX <= (int)BODY_BYTES_MAX,
              "the largest SET fits a body");
static_assert(FLIGHTS_MAX <= FLIGHT_NONE, "a flight's index fits a byte");
static_assert((int)FLIGHTS_MAX < (int)RETRY_WINDOW_IDS,
              "a full pipeline of new writes fits one retry window");
static_assert(WILD_CLUSTER_ID_BYTES == CLUSTER_ID_BYTES, "wild.h tells the truth");
static_assert(WILD_KEY_MAX == KEY_BYTES_MAX && WILD_VALUE_MAX == VALUE_BYTES_MAX, "wild.h tells the truth");
#define STATUS_SAME(name, number, meaning) static_assert((int)WILD_##name == (number), "wild.h: " #name);
STATUS_LIST(STATUS_SAME)
#undef STATUS_SAME

#define MS_NS      UINT64_C(1000000)
#define RTO_MAX_NS (1000 * MS_NS)
/* A node ends sessions that were idle for minutes, and firewalls forget flows sooner. */
#define SESSION_DOUBT_NS  (60 * 1000 * MS_NS)
#define BUSY_PAUSE_MIN_NS (MS_NS / 10)
#define BUSY_PAUSE_MAX_NS (10 * MS_NS)
#define NEVER_NS          UINT64_MAX
/* How long somebody who waits may take to notice that everything is to end. */
#define STOP_LOOK_NS (20 * MS_NS)

/* No flight has this index: the answer only shows that the session lives. */
#define PROBE_ID ((UINT64_C(1) << 63) | FLIGHT_NONE)

/*
 *            submit            flush             answer or end          taken by the caller   next call
 *   FREE ------------> QUEUED --------> SENT ----------------> DONE ----------------> LENT ----------> FREE
 *                        ^                |
 *                        +----------------+  retransmission, new session, MORE
 *
 * QUEUED: in client->outbox exactly once. DONE: in client->done exactly once, unless synchronous. LENT: the
 * caller reads result.value out of our body; in client->lent exactly once.
 */
enum flight_state { FLIGHT_FREE = 0, FLIGHT_QUEUED, FLIGHT_SENT, FLIGHT_DONE, FLIGHT_LENT };

struct flight {
    struct operation operation; /* key and value stand in this flight's body */
    uint64_t history;           /* GET with FLAG_MIN_LSN */
    uint64_t sequence;          /* of submission */
    uint64_t submitted_ns, deadline_ns, sent_ns;
    uint64_t retry_ns, rto_ns; /* when it is sent again, and the pause before that; NEVER_NS */
    uint64_t record_end;       /* streams: where in the connection's bytes its record ends */
    struct wild_result result;
    unsigned sends;    /* in the present session: 0 = the node cannot have seen it */
    unsigned refusals; /* answers to these copies that say "not executed": BUSY and its like, MORE */
    uint8_t state;
    bool synchronous; /* a call waits for it: not for wild_poll() */
    bool alone;       /* answered with MORE once: gets a message of its own */
    bool exposed;     /* a session that is gone may have executed it */
};

/* Indexes of flights, oldest first; each at most once, so it never runs over. */
struct flight_queue {
    unsigned head, count;
    uint8_t index[FLIGHTS_MAX];
};

/* Every secret byte of a client, in pages of their own, which are all zero in a child process. */
struct client_secrets {
    bool present;          /* in this process: see carriers */
    struct role_keys keys; /* the client role alone */
    struct handshake_client handshake;
    struct session_keys current;
    struct session_keys next;    /* confirmed by the node, not yet by READY */
    struct session_keys offered; /* a RESPONSE that has yet to verify */
};

/* What one message was filled with, in its order. */
struct message_load {
    unsigned count;
    uint8_t index[FLIGHTS_MAX];
};

/*
 * How messages reach the node and its answers come back. A carrier keeps client->live and the session's
 * keys; it takes operations from the outbox with messages_fill(), says pipeline_sent() of each, and hands
 * replies to messages_take(). When a session is lost it calls pipeline_renew(). In a child process, where
 * secrets->present is false, it sends nothing.
 */
struct carrier {
    size_t message_bytes_max;
    int socket_type;       /* for getaddrinfo() */
    bool failure_is_final; /* client->failure is proof that this address will not do now, not a hint */

    /* Before anything else, once: 0 or -errno. Then client->descriptor is what an event loop may wait for. */
    int (*create)(struct wild_client *client);
    /* Ready to talk to client->address; may be called again after hang_up(). 0 or -errno. */
    int (*open)(struct wild_client *client);
    void (*hang_up)(struct wild_client *client);
    /* Begins to make a session; nothing while one is being made. */
    void (*start)(struct wild_client *client, uint64_t now);
    /* The client had nothing in flight and is about to: is the session still there? */
    void (*doubt)(struct wild_client *client, uint64_t now);

    void (*flush)(struct wild_client *client, uint64_t now); /* sends what may go */
    void (*wait)(struct wild_client *client, uint64_t wait_ns);
    void (*receive)(struct wild_client *client, uint64_t now); /* takes what has come, without waiting */
    void (*timer)(struct wild_client *client, uint64_t now);
    uint64_t (*timer_ns)(const struct wild_client *client); /* when that has something to do */
    /* There is no session, and the latest attempt at one has failed for certain. NULL: silence proves
     * nothing. */
    bool (*unreachable)(const struct wild_client *client);

    /* What the pipeline has learned. NULL: of no interest. */
    void (*answered)(struct wild_client *client, uint64_t rtt_ns); /* by an operation that was sent once */
    void (*unanswered)(struct wild_client *client, uint64_t now);  /* operations are about to be sent again */
    void (*timed_out)(struct wild_client *client, uint64_t now);   /* one was given up */

    void (*end)(
        struct wild_client *client); /* says CLOSE where there is a session, and frees what create() made */
};
extern const struct carrier carrier_datagrams, carrier_stream;

struct wild_client {
    const struct carrier *carrier;
    int fd;         /* the socket; -1: none */
    int descriptor; /* wild_descriptor() */
    int failure;    /* why there is no session yet, -errno; 0: nothing speaks against it */
    bool live;      /* secrets->current is a session; it may be lost without our knowing */
    bool batch;     /* between wild_batch_begin() and wild_batch_end() */

    struct client_secrets *secrets;
    struct random_source random;

    uint64_t
        rto_ns; /* until an unanswered operation is sent again; NEVER_NS where the carrier repeats nothing */
    uint64_t timer_ns; /* no flight needs anything before */
    uint64_t next_sequence;

    uint64_t next_write_id, oldest_write_id; /* oldest unanswered; equal to next when there is none */
    uint64_t next_read_id;
    uint8_t write_flight[RETRY_WINDOW_IDS]; /* by id mod window: its flight, or FLIGHT_NONE */

    unsigned value_bytes; /* what a GET probably answers: so many share a message as fit its answer */

    uint32_t epoch; /* highest seen */
    struct handshake_identity node;
    uint64_t history; /* of the latest answer */

    unsigned in_flight; /* not FREE and not LENT */
    unsigned lent_count;
    uint8_t lent[FLIGHTS_MAX];
    struct flight_queue free, outbox, done;
    struct flight flight[FLIGHTS_MAX];

    struct wild_statistics statistics;

    /* what never changes after wild_connect() */
    struct sockaddr_storage address;
    socklen_t address_bytes;
    uint64_t timeout_ns, connect_timeout_ns, doubt_ns;
    const _Atomic bool *stop; /* a router's clients: true ends what waits; writer: wild_router_destroy() */
    bool sealed;
    char endpoint[WILD_ENDPOINT_BYTES]; /* for error lines */

    uint8_t body[FLIGHTS_MAX][BODY_BYTES_MAX];
    union { /* the carrier's own */
        struct datagrams datagrams;
        struct stream stream;
    };
};

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* A session, and in this process: after fork() it is the parent's alone. */
static inline bool client_may_seal(const struct wild_client *client)
{
    return client->live && client->secrets->present;
}

uint64_t client_now(void);

/* pipeline.c */
void pipeline_init(struct wild_client *client);
/* WILD_OK with the flight's index; else nothing was accepted. Copies key and value; sets the request id. */
enum wild_status pipeline_submit(struct wild_client *client, const struct operation *operation,
                                 uint64_t history, uint64_t tag, bool synchronous, uint64_t now,
                                 unsigned *index);
void pipeline_sent(struct wild_client *client, unsigned index, uint64_t now);
/* It was not, after all: the present session's node cannot have seen it. Queued again. */
void pipeline_unsent(struct wild_client *client, unsigned index);
void pipeline_answer(struct wild_client *client, const struct reply *reply, uint64_t history, uint64_t now);
void pipeline_timer(struct wild_client *client, uint64_t now);
/*
 * The session is gone, and with it what it remembers: operations that were sent on it are queued again where
 * that is safe, in the order of their submission; the others end as WILD_UNKNOWN.
 */
void pipeline_renew(struct wild_client *client, uint64_t now);
void pipeline_lend(struct wild_client *client, unsigned index, struct wild_result *out); /* DONE -> LENT */
void pipeline_reclaim(struct wild_client *client); /* LENT -> FREE: at the start of every call */
/* Whether the node has certainly not executed it; holds for one that is DONE, too. */
bool pipeline_unexecuted(const struct flight *flight);
/* Ends as WILD_UNREACHABLE every read, and every write that has certainly not been executed. */
void pipeline_give_up(struct wild_client *client, uint64_t now);
void pipeline_expire(struct wild_client *client, unsigned index, uint64_t now); /* its time is over */
void flight_queue_add(struct flight_queue *queue, unsigned index);
unsigned flight_queue_take(struct flight_queue *queue); /* not when empty */

/* messages.c */
/*
 * A message of the next operations in the outbox that fit together and whose answers are likely to; its
 * bytes, 0 if none may go. They leave the outbox and stand in `load`: the carrier sends them. `fresh`: also
 * operations that the session has not seen yet; without it those go to the end of the outbox. Examines at
 * most *left entries and counts them down.
 */
size_t messages_fill(struct wild_client *client, uint8_t *out, bool fresh, unsigned *left,
                     struct message_load *load);
size_t messages_probe(const struct wild_client *client, uint8_t *out, uint64_t id); /* HEALTH alone */
void messages_take(struct wild_client *client, const uint8_t *bytes, size_t length, uint64_t now);
void client_wait(int fd, short events, uint64_t wait_ns); /* for poll()'s events; fd -1: for the time alone */
/* One turn: send what is queued, wait for an answer, a timer or `until_ns`, and handle what came. Returns
 * the time after it. */
uint64_t client_turn(struct wild_client *client, uint64_t now, uint64_t until_ns);

static inline bool client_is_stopped(const struct wild_client *client)
{
    return client->stop != NULL && atomic_load_explicit(client->stop, memory_order_relaxed);
}

static inline bool client_is_unreachable(const struct wild_client *client)
{
    return client->carrier->unreachable != NULL && client->carrier->unreachable(client);
}

/* address.c */
enum { ADDRESSES_MAX = 8 };
struct address_list {
    unsigned count;
    socklen_t bytes[ADDRESSES_MAX];
    struct sockaddr_storage address[ADDRESSES_MAX];
};
bool endpoint_is_valid(const char *endpoint);
/* May wait for a name server, unless only `numeric` addresses are taken. 0, or -1 with one line. */
int endpoint_resolve(const char *endpoint, int socket_type, bool numeric, struct address_list *out,
                     char error[WILD_ERROR_BYTES]);

/* connect.c */
/* What `options` describe, with its keys and without a connection or an address. */
struct wild_client *client_new(const struct wild_options *options, char error[WILD_ERROR_BYTES]);
/* A client with the same keys, address and options, and no connection: what others are copied from. */
struct wild_client *client_pattern(const struct wild_client *from, char error[WILD_ERROR_BYTES]);
/* Runs the handshake with client->address: 0 once there is a session. `last`: there is no other address to
 * try, so what only hints at a failure does not end it early. */
int client_establish(struct wild_client *client, uint64_t deadline_ns, bool last);
void client_say_no_session(const struct wild_client *client, int outcome, char error[WILD_ERROR_BYTES]);
__attribute__((format(printf, 2, 3))) void client_say(char error[WILD_ERROR_BYTES], const char *format, ...);

/* calls.c */
struct call_terms {
    uint64_t history;     /* that FLAG_MIN_LSN's version belongs to */
    uint64_t deadline_ns; /* the client's own time-out counts besides */
    uint64_t unsent_ns;   /* not sent by then: WILD_UNREACHABLE */
    unsigned busy_tries;  /* 0: until the deadline */
    bool gives_up;        /* pipeline_give_up() once the node cannot be reached */
};
enum wild_status client_call_with(struct wild_client *client, const struct operation *operation,
                                  const struct call_terms *terms, struct wild_result *result);
enum wild_status client_call(struct wild_client *client, const struct operation *operation,
                             struct wild_result *result);

/* pool.c: what routers need beyond wild.h */
/* Takes `pattern`, which has no address yet, and connects to nobody. NULL: no memory. */
struct wild_pool *pool_create(struct wild_client *pattern, unsigned most);
/* 0; -EAGAIN: all are taken; else why a new one does not connect. */
int pool_take(struct wild_pool *pool, uint64_t deadline_ns, struct wild_client **out);
void pool_discard(struct wild_pool *pool, struct wild_client *client); /* gives it back to be closed */
/* Where new clients connect to from now on; idle ones that are connected elsewhere are closed. */
void pool_address_set(struct wild_pool *pool, const struct sockaddr_storage *address, socklen_t bytes);
unsigned pool_connections(struct wild_pool *pool);
void pool_wake(struct wild_pool *pool); /* who waits looks at the pattern's `stop` again */

/* health.c: words for a node's numbers, "?" for others */
const char *mode_text(unsigned mode);
const char *state_text(unsigned state);

/* batch.c */
enum wild_status client_request_encode(struct operation *out, uint8_t operands[INCR_OPERAND_BYTES],
                                       const struct wild_request *request);

#endif
