/*
 * client.h - inside libwild: the client object and what its files offer one another.
 *
 *   connect.c   options, names, secrets; makes and closes clients
 *   session.c   the handshake, its retransmissions, and how a lost session is replaced
 *   pipeline.c  operations in flight: ids, timers, outcomes
 *   datagrams.c operations into datagrams and back; the only file that touches the socket
 *   calls.c     wild_get() and its like: submit one, wait for it
 *   batch.c     wild_submit(), wild_poll() and batches
 *   health.c    wild_health(), texts
 *
 * Everything runs on the caller's thread, inside its calls. `now` is CLOCK_MONOTONIC in nanoseconds, read by
 * the public functions and after each wait, and passed down.
 */
#ifndef WILD_CLIENT_INTERNAL_H
#define WILD_CLIENT_INTERNAL_H

#include <sys/socket.h>

#include "datagram.h"
#include "handshake.h"
#include "keys.h"
#include "message.h"
#include "wild.h"

enum {
    FLIGHTS_MAX = WILD_PIPELINE_MAX,
    FLIGHT_NONE = 0xFF,
    BODY_BYTES_MAX = 1280, /* a request's key and value; then the answer's value in their place */

    DATAGRAMS_PER_CALL = 16, /* staged for one sendmmsg() or taken by one recvmmsg() */
    RECEIVE_ROOM_BYTES = 1408,

    SILENT_ROUNDS_MAX = 3, /* retransmissions without any sign of life before a new handshake */
    CONFIRM_TRIES_MAX = 4, /* CONFIRMs without READY before starting over with a new INIT */
};
static_assert((int)KEY_BYTES_MAX + (int)VALUE_BYTES_MAX <= (int)BODY_BYTES_MAX,
              "the largest SET fits a body");
static_assert((int)RECEIVE_ROOM_BYTES > (int)DATAGRAM_BYTES_MAX, "an oversized datagram is seen to be one");
static_assert(FLIGHTS_MAX <= FLIGHT_NONE, "a flight's index fits a byte");
static_assert((int)FLIGHTS_MAX < (int)RETRY_WINDOW_IDS,
              "a full pipeline of new writes fits one retry window");
static_assert(WILD_KEY_MAX == KEY_BYTES_MAX && WILD_VALUE_MAX == VALUE_BYTES_MAX, "wild.h tells the truth");
#define STATUS_SAME(name, number, meaning) static_assert((int)WILD_##name == (number), "wild.h: " #name);
STATUS_LIST(STATUS_SAME)
#undef STATUS_SAME

#define MS_NS            UINT64_C(1000000)
#define RTO_MIN_NS       (5 * MS_NS)
#define RTO_INITIAL_NS   (50 * MS_NS)
#define RTO_MAX_NS       (1000 * MS_NS)
#define SHAKE_RTO_MAX_NS (250 * MS_NS) /* a node that comes back is found soon */
/* A node ends sessions that were idle for minutes, and firewalls forget flows sooner. */
#define SESSION_DOUBT_NS  (60 * 1000 * MS_NS)
#define BUSY_PAUSE_MIN_NS (MS_NS / 10)
#define BUSY_PAUSE_MAX_NS (10 * MS_NS)
/* A node that only paused is not given up: losing a session turns writes in flight into WILD_UNKNOWN. */
#define SILENCE_MIN_NS (150 * MS_NS)
#define NEVER_NS       UINT64_MAX

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
    uint64_t submitted_ns, deadline_ns, sent_ns, retry_ns, rto_ns;
    struct wild_result result;
    unsigned sends;    /* in the present session: 0 = the node cannot have seen it */
    unsigned refusals; /* answers to these copies that say "not executed": BUSY and its like, MORE */
    uint8_t state;
    bool synchronous; /* a call waits for it: not for wild_poll() */
    bool alone;       /* answered with MORE once: gets a datagram of its own */
};

/* Indexes of flights, oldest first; each at most once, so it never runs over. */
struct flight_queue {
    unsigned head, count;
    uint8_t index[FLIGHTS_MAX];
};

/* Every secret byte of a client, in pages of their own, which are all zero in a child process. */
struct client_secrets {
    struct role_keys keys; /* the client role alone */
    struct handshake_client handshake;
    struct session_keys current;
    struct session_keys next;    /* confirmed by the node, not yet by READY */
    struct session_keys offered; /* a RESPONSE that has yet to verify */
};

enum shake_state { SHAKE_IDLE = 0, SHAKE_INIT, SHAKE_CONFIRM };

/* A handshake under way; beside a live session when that one is suspected to be lost. */
struct shake {
    enum shake_state state;
    unsigned tries;    /* of the present state's datagram */
    bool cookie_taken; /* a cookie was answered since the last timer: at most one a period */
    uint64_t sent_ns, retry_ns, rto_ns;
    uint8_t confirm[HANDSHAKE_CONFIRM_BYTES];
    struct handshake_identity node;
};

struct wild_client {
    int fd;
    bool live;    /* secrets->current is a session; it may be lost, see shake */
    bool refused; /* the node's host says that nobody listens (ICMP); a hint, not proof */
    bool batch;   /* between wild_batch_begin() and wild_batch_end() */
    bool probe;   /* the next flush also asks for a sign of life */

    struct client_secrets *secrets;
    struct random_source random;
    struct shake shake;

    uint64_t send_counter; /* of the present session */
    struct replay_window received;

    uint64_t rtt_ns, rtt_variation_ns, rto_ns; /* RFC 6298; rtt_ns 0 = no sample yet */
    unsigned silent_rounds;                    /* since the last accepted datagram */
    uint64_t round_ns;                         /* when the last one was counted */
    uint64_t silent_since_ns;                  /* when the first one was */
    uint64_t timer_ns;                         /* no flight needs anything before */
    uint64_t heard_ns;                         /* when the last datagram of the session was accepted */

    uint64_t next_write_id, oldest_write_id; /* oldest unanswered; equal to next when there is none */
    uint64_t next_read_id;
    uint8_t write_flight[RETRY_WINDOW_IDS]; /* by id mod window: its flight, or FLIGHT_NONE */

    unsigned value_bytes; /* what a GET probably answers: so many share a datagram as fit its answer */

    uint32_t epoch;   /* highest seen */
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
    bool sealed;
    char endpoint[288]; /* for error lines */

    uint8_t body[FLIGHTS_MAX][BODY_BYTES_MAX];
    uint8_t send_room[DATAGRAMS_PER_CALL][DATAGRAM_BYTES_MAX];
    uint8_t receive_room[DATAGRAMS_PER_CALL][RECEIVE_ROOM_BYTES];
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
    return client->live && client->secrets->current.suite != 0;
}

uint64_t client_now(void);

/* session.c */
void client_session_start(struct wild_client *client,
                          uint64_t now); /* sends INIT; no-op while one is under way */
void client_session_take(struct wild_client *client, unsigned kind, uint8_t *bytes, size_t length,
                         uint64_t now);
void client_session_timer(struct wild_client *client, uint64_t now);
/* Before an operation that has the client to itself: a session that was idle for long is asked for a sign of
 * life beside a new handshake, and the operation waits for whichever comes first. */
void client_session_doubt(struct wild_client *client, uint64_t now);
void client_session_alive(struct wild_client *client,
                          uint64_t now);             /* a datagram of the session was accepted */
void client_session_end(struct wild_client *client); /* says CLOSE, wipes the keys */

/* pipeline.c */
void pipeline_init(struct wild_client *client);
/* WILD_OK with the flight's index; else nothing was accepted. Copies key and value; sets the request id. */
enum wild_status pipeline_submit(struct wild_client *client, const struct operation *operation,
                                 uint64_t history, uint64_t tag, bool synchronous, uint64_t now,
                                 unsigned *index);
void pipeline_sent(struct wild_client *client, unsigned index, uint64_t now);
void pipeline_answer(struct wild_client *client, const struct reply *reply, uint64_t history, uint64_t now);
void pipeline_timer(struct wild_client *client, uint64_t now);
void pipeline_renew(struct wild_client *client, uint64_t now); /* a new session took the old one's place */
void pipeline_rtt(struct wild_client *client, uint64_t sample_ns);
void pipeline_lend(struct wild_client *client, unsigned index, struct wild_result *out); /* DONE -> LENT */
void pipeline_reclaim(struct wild_client *client); /* LENT -> FREE: at the start of every call */
void flight_queue_add(struct flight_queue *queue, unsigned index);
unsigned flight_queue_take(struct flight_queue *queue); /* not when empty */

/* datagrams.c */
int datagrams_open(struct wild_client *client); /* a connected socket to client->address; 0 or -errno */
void datagrams_send(struct wild_client *client, const void *bytes, size_t length);
void datagrams_flush(struct wild_client *client, uint64_t now);
void datagrams_receive(struct wild_client *client, uint64_t now);
/* One turn: send what is queued, wait for a datagram, a timer or `until_ns`, and handle what came. Returns
 * the time after it. */
uint64_t datagrams_turn(struct wild_client *client, uint64_t now, uint64_t until_ns);

/* calls.c */
enum wild_status client_call(struct wild_client *client, const struct operation *operation,
                             struct wild_result *result);

/* batch.c */
enum wild_status client_request_encode(struct operation *out, uint8_t operands[INCR_OPERAND_BYTES],
                                       const struct wild_request *request);

#endif
