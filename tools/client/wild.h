/*
 * wild.h - libwild, the C client of WILD.
 *
 * One wild_client is one authenticated session with one node, over TCP or UDP (IPv4 or IPv6), on an ordinary
 * socket. Nothing here allocates per operation or starts a thread; a client holds about 400 KiB. Its keys
 * stand in memory of their own (not dumped to core files, locked where RLIMIT_MEMLOCK allows) and are wiped
 * by wild_close(). After fork() a client is the parent's alone: the child's copy has no keys, can only be
 * closed, and what it is asked for ends as WILD_NO_ANSWER. A child makes clients of its own.
 *
 *   struct wild_options options = {.endpoint = "198.18.0.1:7878", .secret_file = "/etc/wild/secret"};
 *   char error[WILD_ERROR_BYTES];
 *   struct wild_client *client = wild_connect(&options, error);
 *   struct wild_result result;
 *   wild_set(client, "key", 3, "value", 5, NULL, &result);
 *   wild_get(client, "key", 3, &result);   // result.value, result.value_length
 *   wild_close(client);
 *
 * Threads. A client belongs to one thread at a time and has no lock: everything that takes a wild_client is
 * for that thread, but for wild_duplicate(), which may be called with another's. A wild_pool lends clients to
 * threads: wild_pool_take() and wild_pool_give() are safe from any thread at any time. wild_connect(),
 * wild_pool_create() and wild_status_text() are safe as well.
 *
 * One node, that is. Of a primary with its replicas wild_router.h makes one database.
 *
 * Transports. Over TCP everything is encrypted, a message holds up to 16 KiB of operations, and what the
 * network loses is TCP's business. Over UDP datagrams are authenticated (encrypted when asked for), one lost
 * datagram holds up nothing but itself, and libwild repeats it. Every call below means the same over both.
 *
 * Retries. Over UDP, a request that is not answered is sent again with its request id, after a pause learned
 * from the round trips seen (at least 5 ms) that doubles each time, until the time-out; the server executes a
 * write once within a session. The session is lost when the node restarts: over UDP it then stays silent to
 * several retransmissions and to a probe, over TCP the connection ends. The connection also ends when the
 * node closes it, when anything on it is not in order, and when an operation times out on it while nothing at
 * all has come for half of that time. libwild then makes a new session while the time-out lasts, and sends
 * again only what is safe: reads, unconditional SET, DELETE and TOUCH, in the order of their submission.
 * INCR, FLUSH and conditional writes end as WILD_UNKNOWN, unless they cannot have reached the node: those are
 * sent again as well. (An unconditional write that is sent again may thus happen twice. Where the new session
 * says NOT_PRIMARY or READ_ONLY to it, it ends as WILD_UNKNOWN: the one before may have executed it.)
 *
 * A time-out ends the operation, not the session: an answer that comes later is recognised and given to
 * nobody.
 *
 * A node that answers BUSY has not executed the operation. The synchronous calls try again, with a growing
 * pause (0.1 ms to 10 ms), until the time-out, then return WILD_BUSY; wild_poll() hands BUSY out at once. Of
 * a write that was sent more than once, BUSY (NOT_PRIMARY, READ_ONLY) is a result only when every copy met
 * with it: any other copy may have been executed, so the write is repeated with its id until its outcome is
 * known.
 */
#ifndef WILD_CLIENT_H
#define WILD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WILD_KEY_MAX        250
#define WILD_VALUE_MAX      1024
#define WILD_PIPELINE_MAX   128 /* operations in flight per client */
#define WILD_ERROR_BYTES    256
#define WILD_ENDPOINT_BYTES 288 /* an endpoint's text with its end */

/* Outcomes. 0..15 are the server's statuses; the others are made by the client. */
enum wild_status {
    WILD_OK = 0,
    WILD_NOT_FOUND = 1,
    WILD_EXISTS = 2,
    WILD_VERSION_MISMATCH = 3,
    WILD_FULL = 4,
    WILD_TOO_LARGE = 5,
    WILD_NOT_A_NUMBER = 6,
    WILD_NOT_PRIMARY = 7,
    WILD_STALE = 8,
    WILD_LOST = 9,
    WILD_BUSY = 10,
    WILD_READ_ONLY = 11,
    WILD_TIMEOUT = 12, /* the server cannot say whether it happened */
    WILD_MORE = 13,    /* never a result: libwild asks again by itself */
    WILD_BAD_REQUEST = 14,
    WILD_AUTH = 15,
    WILD_NO_ANSWER = 100,     /* nothing came before the time-out; a write may have happened */
    WILD_UNKNOWN = 101,       /* the session was lost while a write was in flight; it may have happened */
    WILD_PIPELINE_FULL = 102, /* not accepted: WILD_PIPELINE_MAX operations are in flight, or the oldest
                                 unanswered write is 255 writes back: take results first */
    WILD_UNREACHABLE = 103,   /* routers (wild_router.h): no node to send it to; it has not happened */
};

/* A few words for people, "?" for a number that is no status. Never NULL. */
const char *wild_status_text(enum wild_status status);

struct wild_client;

enum wild_transport {
    WILD_TRANSPORT_TCP = 0,
    WILD_TRANSPORT_UDP = 1,
};

/* Zeros are defaults. Exactly one of secret, secret_file and insecure_no_auth must be given. */
struct wild_options {
    const char *endpoint;        /* "HOST:PORT", "[IPv6]:PORT" or "HOST" (port 7878); NULL: 127.0.0.1:7878 */
    const char *secret;          /* secret text: wild1:…, wildc1:… or a passphrase; or */
    const char *secret_file;     /* a file that holds it (mode 0600; a trailing newline is ignored), or */
    bool insecure_no_auth;       /* the published key of a node that runs with --insecure-no-auth: the same
                                    handshake and sessions, but they prove nothing */
    const char *cluster_name;    /* salt of passphrases; NULL: "wild" */
    bool sealed;                 /* UDP: encrypt datagrams, not only authenticate them; TCP always encrypts */
    uint32_t timeout_ms;         /* per operation, retries included; 0: 1000 */
    uint32_t connect_timeout_ms; /* of a connection with its handshake; 0: 3000 */
    enum wild_transport transport;
    uint32_t connections_max; /* of a pool; 0: 8 */
};

/*
 * Makes a session; waits up to connect_timeout_ms, over TCP not longer than the node's host leaves in doubt
 * whether anybody listens. NULL with one line in `error` (never a secret). A node meets a wrong secret with
 * silence (UDP) or by closing the connection (TCP), and gives no reason: the line names all that may be the
 * cause. A passphrase takes about 0.3 s to become a key.
 */
struct wild_client *wild_connect(const struct wild_options *options, char error[WILD_ERROR_BYTES]);
/*
 * Another session with the same node, options and key: no name look-up, no passphrase work. Reads only what
 * never changes in `client`, so it may be called while another thread uses that client.
 */
struct wild_client *wild_duplicate(const struct wild_client *client, char error[WILD_ERROR_BYTES]);
void wild_close(struct wild_client *client); /* tells the node; NULL is fine */

/*
 * Conditions and lifetime of a write; NULL or zeros: unconditional, does not expire. At most one condition
 * (else WILD_BAD_REQUEST). if_absent is not for DELETE and TOUCH. ttl_ms: SET, TOUCH, and INCR when it
 * creates the item.
 */
struct wild_write_options {
    bool if_absent, if_present, if_version;
    uint64_t version; /* for if_version: the item's version as an earlier result gave it */
    uint64_t ttl_ms;
};

struct wild_result {
    enum wild_status status;
    uint64_t version; /* the item's version: CAS token and min_lsn */
    uint64_t history; /* the node's history that `version` belongs to; 0 when nothing was answered */
    int64_t integer;  /* INCR */
    /* Valid until the next call with this client. WILD_OK: what GET read. WILD_NOT_PRIMARY: the primary's
     * address as text "host:port", of length 0 when the node knows none. Else NULL. */
    const void *value;
    size_t value_length;
    uint64_t tag;        /* pipelining: the caller's */
    uint64_t latency_ns; /* from submission to answer */
};

/*
 * One operation, one answer, within timeout_ms. Return result->status; `result` may be NULL where only the
 * status matters. May be mixed with pipelined operations, whose results stay for wild_poll().
 */
enum wild_status wild_get(struct wild_client *client, const void *key, size_t key_length,
                          struct wild_result *result);
enum wild_status wild_set(struct wild_client *client, const void *key, size_t key_length, const void *value,
                          size_t value_length, const struct wild_write_options *options,
                          struct wild_result *result);
enum wild_status wild_delete(struct wild_client *client, const void *key, size_t key_length,
                             const struct wild_write_options *options, struct wild_result *result);
/* An absent item counts as `initial`, then delta is added. */
enum wild_status wild_incr(struct wild_client *client, const void *key, size_t key_length, int64_t delta,
                           int64_t initial, const struct wild_write_options *options,
                           struct wild_result *result);
enum wild_status wild_touch(struct wild_client *client, const void *key, size_t key_length, uint64_t ttl_ms,
                            struct wild_result *result);
enum wild_status wild_flush(struct wild_client *client, struct wild_result *result);

/* How the node is. The texts are constants. `health` is written only when WILD_OK is returned. */
struct wild_health {
    uint64_t lsn, items, capacity, lines_used, uptime_ms;
    uint32_t epoch;
    const char *mode;  /* "standalone", "primary", "replica" */
    const char *state; /* "serving", ... */
};
enum wild_status wild_health(struct wild_client *client, struct wild_health *health);

/* Who the node is, as the handshake of the latest session proved: nodes of one cluster share its id. */
#define WILD_CLUSTER_ID_BYTES 16
struct wild_node {
    uint8_t cluster_id[WILD_CLUSTER_ID_BYTES];
    uint64_t node_id;
};
void wild_node(const struct wild_client *client, struct wild_node *out);

/*
 * Pipelining and batches. Submit up to WILD_PIPELINE_MAX operations; operations submitted between
 * wild_batch_begin() and wild_batch_end() share messages (datagrams, records) where they fit (wild_poll() and
 * the synchronous calls send what has been gathered so far). A batch saves messages and system calls and
 * changes nothing else: every operation has its own answer, and answers come in any order (over TCP in that
 * of submission, but for what had to be sent again). Keys and values are copied at submission.
 */
enum wild_operation {
    WILD_OP_GET = 1,
    WILD_OP_SET = 2,
    WILD_OP_DELETE = 3,
    WILD_OP_INCR = 4,
    WILD_OP_TOUCH = 5,
    WILD_OP_FLUSH = 6
};
struct wild_request {
    enum wild_operation operation;
    const void *key, *value;
    size_t key_length, value_length;
    int64_t delta, initial;
    struct wild_write_options options; /* TOUCH: ttl_ms */
    uint64_t min_lsn;                  /* GET: answer from this version on, else STALE or LOST; 0 = any */
    uint64_t min_history;              /* the history that min_lsn came with; 0 = of the latest answer */
    uint64_t tag;                      /* comes back in the result */
};
/* WILD_OK: accepted; WILD_PIPELINE_FULL, WILD_TOO_LARGE, WILD_BAD_REQUEST: not accepted. */
enum wild_status wild_submit(struct wild_client *client, const struct wild_request *request);
void wild_batch_begin(struct wild_client *client);
void wild_batch_end(struct wild_client *client);
/*
 * Takes up to `room` finished operations, waiting up to timeout_ms for the first one (0: do not wait).
 * Returns how many; 0 when nothing finished. Every accepted operation finishes exactly once, at the latest at
 * its time-out. Values stay valid until the next call with this client.
 */
size_t wild_poll(struct wild_client *client, struct wild_result *results, size_t room, uint32_t timeout_ms);
size_t wild_in_flight(const struct wild_client *client);
/* For event loops that hold many clients: readable means wild_poll() has work (over TCP also: it can write
 * again); call it at least every 10 ms as well. It stays the same as long as the client. */
int wild_descriptor(const struct wild_client *client);

struct wild_statistics {
    uint64_t operations;      /* finished, whatever their status */
    uint64_t retransmissions; /* operations sent again */
    uint64_t reconnects;      /* sessions made after the first */
    uint64_t timeouts;        /* operations that ended as WILD_NO_ANSWER */
    /* Over TCP these three count records, and messages of handshakes. */
    uint64_t datagrams_sent;     /* handshakes included */
    uint64_t datagrams_received; /* accepted: form, tag and counter were right */
    uint64_t datagrams_refused;  /* forged, replayed, damaged, or of a session that is gone; over TCP each has
                                    cost its connection */
};
void wild_statistics(const struct wild_client *client, struct wild_statistics *out);

/*
 * A pool of clients of one node, for programs with more threads than connections, or with threads that come
 * and go. It makes the first client at once (so that what is wrong with `options` shows here) and others when
 * they are wanted, up to connections_max; they stay open until the pool is destroyed.
 */
struct wild_pool;
struct wild_pool *wild_pool_create(const struct wild_options *options, char error[WILD_ERROR_BYTES]);
/*
 * A client that is the caller's until it is given back. When all are taken, waits for one; NULL with one line
 * in `error` when there is none within connect_timeout_ms, or a new one does not connect in what is left.
 */
struct wild_client *wild_pool_take(struct wild_pool *pool, char error[WILD_ERROR_BYTES]);
/* Values of its results are invalid from here on. A client with operations in flight, or results not taken,
 * is closed, and the pool makes another when it needs one. NULL is fine. */
void wild_pool_give(struct wild_pool *pool, struct wild_client *client);
/* Closes all. Every client must have been given back, and no other thread may be using the pool. NULL is
 * fine. */
void wild_pool_destroy(struct wild_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
