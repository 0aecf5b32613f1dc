/*
 * wild.h - libwild, the C client of WILD.
 *
 * One wild_client is one authenticated session with one node over UDP on ordinary sockets. A client belongs
 * to one thread at a time. Nothing here allocates per operation; a client holds about 600 KiB.
 *
 *   struct wild_options options = {.endpoint = "198.18.0.1:7878", .secret_file = "/etc/wild/secret"};
 *   char error[WILD_ERROR_BYTES];
 *   struct wild_client *client = wild_connect(&options, error);
 *   struct wild_result result;
 *   wild_set(client, "key", 3, "value", 5, NULL, &result);
 *   wild_get(client, "key", 3, &result);   // result.value, result.value_length
 *   wild_close(client);
 *
 * Retries. A request that is not answered is sent again with its request id until the time-out; the server
 * executes a write once within a session. If the session itself is lost (the node restarted), libwild makes a
 * new one and sends again only what is safe: reads, unconditional SET, DELETE and TOUCH. INCR, FLUSH and
 * conditional writes in flight end as WILD_UNKNOWN.
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
    WILD_MORE = 13,
    WILD_BAD_REQUEST = 14,
    WILD_AUTH = 15,
    WILD_NO_ANSWER = 100,     /* nothing came before the time-out; a write may have happened */
    WILD_UNKNOWN = 101,       /* the session was lost while a write was in flight; it may have happened */
    WILD_PIPELINE_FULL = 102, /* WILD_PIPELINE_MAX operations are in flight: wait first */
};

const char *wild_status_text(enum wild_status status);

struct wild_client;

struct wild_options {
    const char *endpoint;        /* "HOST:PORT", "[IPv6]:PORT" or "HOST" (port 7878); NULL: 127.0.0.1:7878 */
    const char *secret;          /* secret text, or */
    const char *secret_file;     /* a file that holds it (mode 0600), or */
    bool insecure_no_auth;       /* a bench node's published key */
    const char *cluster_name;    /* salt of passphrases; NULL: "wild" */
    bool sealed;                 /* encrypt datagrams, not only authenticate them */
    uint32_t timeout_ms;         /* per operation, retries included; 0: 1000 */
    uint32_t connect_timeout_ms; /* 0: 3000 */
};

/* NULL with one line in `error` (never a secret). */
struct wild_client *wild_connect(const struct wild_options *options, char error[WILD_ERROR_BYTES]);
void wild_close(struct wild_client *client); /* tells the node; NULL is fine */

/* Conditions and lifetime of a write; NULL or zeros: unconditional, does not expire. At most one condition.
 */
struct wild_write_options {
    bool if_absent, if_present, if_version;
    uint64_t version; /* for if_version */
    uint64_t ttl_ms;
};

struct wild_result {
    enum wild_status status;
    uint64_t version;  /* the item's version: CAS token and min_lsn */
    int64_t integer;   /* INCR */
    const void *value; /* GET: valid until the next call with this client */
    size_t value_length;
    uint64_t tag;        /* pipelining: the caller's */
    uint64_t latency_ns; /* from submission to answer */
};

/* One operation, one answer. Return result->status. */
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

struct wild_health {
    uint64_t lsn, items, capacity, lines_used, uptime_ms;
    uint32_t epoch;
    const char *mode;  /* "standalone", "primary", "replica" */
    const char *state; /* "serving", ... */
};
enum wild_status wild_health(struct wild_client *client, struct wild_health *health);

/*
 * Pipelining and batches. Submit up to WILD_PIPELINE_MAX operations; operations submitted between
 * wild_batch_begin() and wild_batch_end() share datagrams where they fit. Answers come in any order. Keys and
 * values are copied at submission.
 */
enum wild_operation {
    WILD_OP_GET = 1,
    WILD_OP_SET = 2,
    WILD_OP_DELETE = 3,
    WILD_OP_INCR = 4,
    WILD_OP_TOUCH = 5
};
struct wild_request {
    enum wild_operation operation;
    const void *key, *value;
    size_t key_length, value_length;
    int64_t delta, initial;
    struct wild_write_options options; /* TOUCH: ttl_ms */
    uint64_t min_lsn;                  /* GET: 0 = any */
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
    uint64_t operations, retransmissions, reconnects, timeouts, datagrams_sent, datagrams_received,
        datagrams_refused;
};
void wild_statistics(const struct wild_client *client, struct wild_statistics *out);

#ifdef __cplusplus
}
#endif

#endif
