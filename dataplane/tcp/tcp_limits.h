/*
 * tcp_limits.h - every number of the TCP layer in one place, with its source and its relations.
 */
#ifndef WILD_TCP_LIMITS_H
#define WILD_TCP_LIMITS_H

#include <assert.h>
#include <stdint.h>

#define TCP_MS UINT64_C(1000000)

/* RFC 6298 (2.1), (2.4), (2.5); the lower bound is Linux's, as RFC 6298's second predates data centres. */
#define TCP_RTO_INITIAL_NS (1000 * TCP_MS)
#define TCP_RTO_MIN_NS     (200 * TCP_MS)
#define TCP_RTO_MAX_NS     (60000 * TCP_MS)
/* RFC 6298 (5.7): after a SYN had to be sent again, data starts from here */
#define TCP_RTO_AFTER_SYN_NS (3000 * TCP_MS)
/* RFC 8985 7.2 */
#define TCP_PTO_MIN_NS        (2 * TCP_MS)
#define TCP_PTO_ACK_DELAY_NS  (40 * TCP_MS) /* added when one segment is in flight: ours; Linux's shortest */
#define TCP_DELAYED_ACK_NS    (40 * TCP_MS) /* RFC 1122 4.2.3.2 allows 500 */
#define TCP_PERSIST_MAX_NS    (60000 * TCP_MS)
#define TCP_KEEPALIVE_IDLE_NS (120000 * TCP_MS) /* RFC 1122 4.2.3.6 wants two hours: ours is an option, on */
#define TCP_KEEPALIVE_STEP_NS (15000 * TCP_MS)
#define TCP_TIME_WAIT_NS      (60000 * TCP_MS) /* 2 MSL, with an MSL of 30 s */
#define TCP_FIN_WAIT_2_NS     (60000 * TCP_MS) /* closed by us, nobody here waits, and the peer does not close */
#define TCP_PMTU_RAISE_NS     (600000 * TCP_MS) /* RFC 1191 6.3 */
#define TCP_COOKIE_LIFE_NS    (64000 * TCP_MS)
#define TCP_STARVED_NS        (2 * TCP_MS)             /* until a user who found no frame is asked again */
#define TCP_PAWS_LIFE_NS      (86400000 * 24 * TCP_MS) /* RFC 7323 5.5: an older time stamp proves nothing */

enum {
    TCP_HEADER_BYTES = 20,
    TCP_OPTIONS_BYTES_MAX = 40,
    TCP_HEADERS_BYTES_MAX = TCP_HEADER_BYTES + TCP_OPTIONS_BYTES_MAX,
    TCP_TIMESTAMPS_BYTES = 12, /* with two NOPs in front (RFC 7323 appendix A) */

    TCP_MSS_DEFAULT = 536, /* RFC 9293 3.7.1: a peer that sends no option */
    /* Peers that ask for less get this: one-byte segments are an attack (CVE-2019-11479). */
    TCP_MSS_MIN = 216,
    TCP_PATH_MTU_MIN = 296, /* RFC 791's 68 would let forged ICMP shred the stream */

    TCP_INITIAL_WINDOW_SEGMENTS = 10, /* RFC 6928 */
    TCP_WINDOW_SHIFT_MAX = 14,        /* RFC 7323 2.3 */
    TCP_DUP_ACKS = 3,                 /* RFC 5681 3.2; RACK does the work where SACK is spoken */
    TCP_SACK_BLOCKS_RECEIVED_MAX = 4, /* what 40 bytes of options can hold */
    TCP_SACK_BLOCKS_SENT_MAX = 3,     /* beside time stamps */

    TCP_SYN_RETRIES = 5, /* RFC 9293 3.8.3: R2 for SYNs of at least 3 minutes for active opens, 63 s here */
    TCP_SYN_ACK_RETRIES = 3, /* passive: about 15 s */
    TCP_RETRIES_SOFT = 3,    /* R1: the path is doubted (ARP, path MTU) */
    TCP_RETRIES = 10,        /* R2 > 100 s: 0.2, 0.4 ... 51.2, 60 s */
    TCP_KEEPALIVE_PROBES = 8,
    TCP_PMTU_BLACK_HOLE_RETRIES = 2, /* RFC 1191 8, DESIGN 7: then segments of TCP_MSS_DEFAULT */

    TCP_GAPS_MAX = 32,                  /* separate runs in one out-of-order queue */
    TCP_CHALLENGE_ACKS_PER_SECOND = 10, /* each connection (RFC 5961 7; a global limit is CVE-2016-5696) */

    /* Short of frames for sending (the last eighth is left), a connection that holds this many gets no more;
     * and it makes room if as many probes of its closed window, or repetitions, have changed nothing: about
     * 3 s. */
    TCP_HOG_FRAMES = 16,
    TCP_HOG_TRIES = 3,

    TCP_LISTENERS_MAX = 8,
    TCP_CONNECTIONS_LIMIT = 1 << 20,
    TCP_BURST_MAX = 64,
    TCP_TIMERS_PER_TURN = 32, /* so that many at once do not hold up segments: some us */

    TCP_PORT_FIRST = 1024, /* RFC 6056 3.2 */
    TCP_PORT_TRIES = 4096, /* ports asked for one active open; one in (lcores) fits */
};
static_assert((int)TCP_MSS_MIN < (int)TCP_MSS_DEFAULT, "the default is acceptable");
static_assert((int)TCP_PATH_MTU_MIN - 40 - (int)TCP_OPTIONS_BYTES_MAX >= (int)TCP_MSS_MIN,
              "and fits the smallest path");

#endif
