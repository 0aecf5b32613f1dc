/*
 * native_internal.h - what the files of the native UDP service share: native_udp.c (bursts, sessions'
 * datagrams), native_handshake.c (INIT to READY) and native_udp_parked.c (replies that wait for the log).
 * What executes messages is native_engine.h.
 */
#ifndef WILD_NATIVE_INTERNAL_H
#define WILD_NATIVE_INTERNAL_H

#include "datagram_inline.h"
#include "service/native_engine.h"
#include "service/native_udp.h"
#include "service/parked.h"
#include "service/session.h"

enum {
    NATIVE_BURST_MAX = 64,        /* udp_service.h's promise */
    NATIVE_WAITS = 1 << 16,       /* with a reply's length: not now */
    NATIVE_PARKED_PER_TURN = 128, /* replies that leave late: more than a turn's burst brings */
};

/*
 * One datagram on its way through a burst: a lone GET (message_inline.h), of which nothing but this is
 * written down, or any other message, which is a native_request.
 */
struct native_work {
    struct udp_datagram *datagram;
    struct session *session;   /* NULL: PLAIN */
    struct table_probe *probe; /* of a lone GET */
    uint32_t session_id;       /* the id it came with: an earlier datagram of the burst may have ended it */
    uint8_t kind;              /* enum datagram_kind; 0: dealt with */
    bool lone_get;
};

struct native_udp {
    struct native_udp_config config;
    struct native_engine engine;
    struct table_probe *next_probe; /* of this burst's, see `probe` */
    struct table_probe *next_hash;  /* those before it are hashed */
    bool draining;
    struct cookie_secrets *cookies; /* in the arena */
    struct session_table sessions;
    struct parked *parked; /* NULL: there is no log, nothing waits */
    unsigned parked_of_burst;
    _Alignas(64) struct native_work work[NATIVE_BURST_MAX];
    struct native_request request[NATIVE_BURST_MAX]; /* a work's, at the same place */
    /* The burst's look-ups, one for the first key of a message: filled in phase 1, see table.h. */
    struct table_probe probe[NATIVE_BURST_MAX];
    /* Datagrams whose tags are checked, and replies whose tags are made, together. opened[i]: whose tag is
     * i. */
    struct native_work *opened[DATAGRAM_TAGS_MAX];
    struct datagram_tags expected, made;
    _Alignas(64) uint8_t reply[DATAGRAM_BYTES_MAX]; /* of a message of several operations */
};

static inline void native_count(struct native_udp *service, enum counter which)
{
    counter_add(service->config.counters, which, 1);
}

/* native_handshake.c. Each answers in place (or not: length 0). */
void native_init(struct native_udp *service, struct udp_datagram *datagram);
void native_confirm(struct native_udp *service, struct udp_datagram *datagram);
void native_send_responses(struct native_udp *service);

/* native_udp_parked.c */
/* Whether a reply of up to so many bytes to this work may wait. */
bool native_may_park(const struct native_udp *service, const struct native_work *work, size_t message_bytes);
/* native_read_waits() for a lone GET; result: cleared if it may not be told. */
enum status native_lone_get_waits(struct native_udp *service, const struct native_work *work,
                                  enum status status, struct result *result);
/* The work's reply, which stands at `message`, waits for engine.wait_lsn. */
void native_park(struct native_udp *service, const struct native_work *work, const uint8_t *message,
                 size_t length);
/* Those that the log has reached, and those that wait no more. */
void native_send_parked(struct native_udp *service);

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

#endif
