/*
 * native_internal.h - what the files of the native UDP service share: native_udp.c (bursts, sessions'
 * datagrams), native_handshake.c (INIT to READY) and native_operations.c (messages to replies).
 */
#ifndef WILD_NATIVE_INTERNAL_H
#define WILD_NATIVE_INTERNAL_H

#include "datagram_inline.h"
#include "service/native_udp.h"
#include "service/session.h"

enum { NATIVE_BURST_MAX = 64 }; /* udp_service.h's promise */

/* One operation on its way through a burst. */
struct native_step {
    struct operation operation;
    struct table_probe *probe; /* of its key; NULL: it has none, or operation_check() did not pass */
    uint8_t status;            /* enum status of operation_check() */
};

/*
 * One datagram on its way through a burst: a lone GET (message_inline.h), of which nothing but this is written
 * down, or any other message, which is in native_request.
 */
struct native_work {
    struct udp_datagram *datagram;
    struct session *session;   /* NULL: PLAIN */
    struct table_probe *probe; /* of a lone GET */
    uint32_t session_id;       /* the id it came with: an earlier datagram of the burst may have ended it */
    uint8_t kind;              /* enum datagram_kind; 0: dealt with */
    bool lone_get;
};

/* A message that is not a lone GET. */
struct native_request {
    uint64_t history;          /* of the message */
    uint16_t count;            /* operations */
    const uint8_t *rest, *end; /* the second operation and the message's end, if there are several */
    struct native_step first;
};

/* What the node's published state means for operations; one reading a burst. */
struct native_gate {
    uint64_t history;
    uint32_t epoch;
    uint8_t mode, state;
    uint8_t read, write; /* enum status: OK, or why not */
};

struct native_udp {
    struct native_udp_config config;
    struct native_gate gate;
    struct instant now;
    struct table_probe *next_probe; /* of this burst's, see `probe` */
    struct table_probe *next_hash;  /* those before it are hashed */
    uint64_t known_lsn;             /* the table's, as of the last time it mattered: never ahead of it */
    bool draining;
    struct cookie_secrets *cookies; /* in the arena */
    struct session_table sessions;
    _Alignas(64) struct native_work work[NATIVE_BURST_MAX];
    struct native_request request[NATIVE_BURST_MAX]; /* a work's, at the same place */
    /* The burst's look-ups, one for the first key of a message: filled in phase 1, see table.h. */
    struct table_probe probe[NATIVE_BURST_MAX];
    /* Datagrams whose tags are checked, and replies whose tags are made, together. opened[i]: whose tag is i. */
    struct native_work *opened[DATAGRAM_TAGS_MAX];
    struct datagram_tags expected, made;
    /* One message of several operations, after its first. */
    struct native_step steps[MESSAGE_OPERATIONS_MAX];
    struct table_probe step_probe[MESSAGE_OPERATIONS_MAX];
    _Alignas(64) uint8_t reply[DATAGRAM_BYTES_MAX]; /* of a message of several operations */
    _Alignas(64) uint8_t key[KEY_BYTES_MAX];        /* of a GET whose reply overruns its request */
};

static inline void native_count(struct native_udp *service, enum counter which)
{
    counter_add(service->config.counters, which, 1);
}

/* native_handshake.c. Each answers in place (or not: length 0). */
void native_init(struct native_udp *service, struct udp_datagram *datagram);
void native_confirm(struct native_udp *service, struct udp_datagram *datagram);
void native_send_responses(struct native_udp *service);

/* native_operations.c: any message. */
void native_read_gate(struct native_udp *service);
/*
 * A verified message: decodes it whole into the work's request, with a probe for the first operation's key. False
 * if it is malformed: nothing of it may be executed.
 */
bool native_message(struct native_udp *service, struct native_work *work, const uint8_t *message,
                    size_t length);
/*
 * Executes a message that native_message() accepted and writes the reply message to `out`, which may be where
 * the message stands if it is one of a single operation. Returns its bytes, 0 if not even bare replies fit
 * `room` (nothing was executed).
 */
size_t native_execute(struct native_udp *service, struct native_work *work, uint8_t *out, size_t room);
void native_count_refusal(struct native_udp *service, enum status status); /* if it is one */

/* Another look-up of this burst. */
static inline struct table_probe *native_probe(struct native_udp *service, const uint8_t *key,
                                               uint8_t key_length)
{
    struct table_probe *probe = service->next_probe++;
    probe->key = key;
    probe->key_length = key_length;
    return probe;
}

static inline struct native_request *native_request_of(struct native_udp *service,
                                                       const struct native_work *work)
{
    return &service->request[work - service->work];
}

static inline uint8_t native_version(const struct native_work *work)
{
    return work->session != NULL ? work->session->version : (uint8_t)PROTOCOL_VERSION_MAX;
}

#endif
