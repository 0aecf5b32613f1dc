/*
 * wild.h - libwild, the C client of WILD.
 *
 * One wild_client is one authenticated session with one node over UDP (IPv4 or IPv6) on an ordinary socket.
 * One client per thread: a client belongs to one thread at a time and has no lock. Nothing here allocates per
 * operation or starts a thread; a client holds about 250 KiB. Its keys stand in memory of their own (not
 * dumped to core files, locked where RLIMIT_MEMLOCK allows) and are wiped by wild_close().
 * After fork() a client is the parent's alone: the child's copy has no keys, can only be closed, and what it is
 * asked for ends as WILD_NO_ANSWER. A child makes clients of its own.
 *
 *   struct wild_options options = {.endpoint = "198.18.0.1:7878", .secret_file = "/etc/wild/secret"};
 *   char error[WILD_ERROR_BYTES];
 *   struct wild_client *client = wild_connect(&options, error);
 *   struct wild_result result;
 *   wild_set(client, "key", 3, "value", 5, NULL, &result);
 *   wild_get(client, "key", 3, &result);   // result.value, result.value_length
 *   wild_close(client);
 *
 * Retries. A request that is not answered is sent again with its request id, after a pause learned from the
 * round trips seen (at least 5 ms) that doubles each time, until the time-out; the server executes a write
 * once within a session. If the session itself is lost (the node restarted: it stays silent to several
 * retransmissions and to a probe), libwild makes a new one while the time-out lasts and sends again only what
 * is safe: reads, unconditional SET, DELETE and TOUCH. INCR, FLUSH and conditional writes that had been sent
 * end as WILD_UNKNOWN. (An unconditional write that is sent again may thus happen twice.)
 *
 * A node that answers BUSY has not executed the operation. The synchronous calls try again, with a growing
 * pause (0.1 ms to 10 ms), until the time-out, then return WILD_BUSY; wild_poll() hands BUSY out at once. Of a
 * write that was sent more than once, BUSY (NOT_PRIMARY, READ_ONLY) is a result only when every copy met with
 * it: any other copy may have been executed, so the write is repeated with its id until its outcome is known.
 */
#ifndef WILD_CLIENT_H
#define WILD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WILD_KEY_MAX      250
#define WILD_VALUE_MAX    1024
#define WILD_PIPELINE_MAX 128 /* operations in flight per client */
#define WILD_ERROR_BYTES  256

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
};

/* A few words for people, "?" for a number that is no status. Never NULL. */
const char *wild_status_text(enum wild_status status);

struct wild_client;

/* Zeros are defaults. Exactly one of secret, secret_file and insecure_no_auth must be given. */
struct wild_options {
    const char *endpoint;        /* "HOST:PORT", "[IPv6]:PORT" or "HOST" (port 7878); NULL: 127.0.0.1:7878 */
    const char *secret;          /* secret text: wild1:…, wildc1:… or a passphrase; or */
    const char *secret_file;     /* a file that holds it (mode 0600; a trailing newline is ignored), or */
    bool insecure_no_auth;       /* the published key of a node that runs with --insecure-no-auth */
    const char *cluster_name;    /* salt of passphrases; NULL: "wild" */
    bool sealed;                 /* encrypt datagrams, not only authenticate them */
    uint32_t timeout_ms;         /* per operation, retries included; 0: 1000 */
    uint32_t connect_timeout_ms; /* 0: 3000 */
};

/*
 * Makes a session; waits up to connect_timeout_ms. NULL with one line in `error` (never a secret). A node
 * meets a wrong secret with silence, so "no answer" stands for a node that is down as well as for a secret or
 * cluster name that differs. A passphrase takes about 0.3 s to become a key.
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
    uint64_t version;  /* the item's version: CAS token and min_lsn */
    uint64_t history;  /* the node's history that `version` belongs to; 0 when nothing was answered */
    int64_t integer;   /* INCR */
    const void *value; /* GET: valid until the next call with this client; NULL unless WILD_OK */
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

/*
 * Pipelining and batches. Submit up to WILD_PIPELINE_MAX operations; operations submitted between
 * wild_batch_begin() and wild_batch_end() share datagrams where they fit (wild_poll() and the synchronous
 * calls send what has been gathered so far). A batch saves datagrams and changes nothing else: every
 * operation has its own answer, and answers come in any order. Keys and values are copied at submission.
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
/* For event loops that hold many clients: readable means wild_poll() has work; call it at least every 10 ms
 * as well. */
int wild_descriptor(const struct wild_client *client);

struct wild_statistics {
    uint64_t operations;         /* finished, whatever their status */
    uint64_t retransmissions;    /* operations sent again */
    uint64_t reconnects;         /* sessions made after the first */
    uint64_t timeouts;           /* operations that ended as WILD_NO_ANSWER */
    uint64_t datagrams_sent;     /* handshakes included */
    uint64_t datagrams_received; /* accepted: form, tag and counter were right */
    uint64_t datagrams_refused;  /* forged, replayed, damaged, or of a session that is gone */
};
void wild_statistics(const struct wild_client *client, struct wild_statistics *out);

#ifdef __cplusplus
}
#endif

#endif
