/*
 * datagrams.h - what a client over UDP keeps, and what its two files offer each other.
 */
#ifndef WILD_CLIENT_DATAGRAMS_H
#define WILD_CLIENT_DATAGRAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "datagram.h"
#include "handshake.h"

enum {
    DATAGRAMS_PER_CALL = 16, /* staged for one sendmmsg() or taken by one recvmmsg() */
    RECEIVE_ROOM_BYTES = 1408,

    SILENT_ROUNDS_MAX = 3, /* retransmissions without any sign of life before a new handshake */
    CONFIRM_TRIES_MAX = 4, /* CONFIRMs without READY before starting over with a new INIT */
};
static_assert((int)RECEIVE_ROOM_BYTES > (int)DATAGRAM_BYTES_MAX, "an oversized datagram is seen to be one");

#define RTO_MIN_NS       (5 * MS_NS)
#define RTO_INITIAL_NS   (50 * MS_NS)
#define SHAKE_RTO_MAX_NS (250 * MS_NS) /* a node that comes back is found soon */
/* A node that only paused is not given up: losing a session turns writes in flight into WILD_UNKNOWN. */
#define SILENCE_MIN_NS (150 * MS_NS)

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

struct datagrams {
    struct shake shake;
    bool probe; /* the next flush also asks for a sign of life */

    uint64_t send_counter; /* of the present session */
    struct replay_window received;

    uint64_t rtt_ns, rtt_variation_ns; /* RFC 6298; rtt_ns 0 = no sample yet */
    unsigned silent_rounds;            /* since the last accepted datagram */
    uint64_t round_ns;                 /* when the last one was counted */
    uint64_t silent_since_ns;          /* when the first one was */
    uint64_t heard_ns;                 /* when the last datagram of the session was accepted */

    uint8_t send_room[DATAGRAMS_PER_CALL][DATAGRAM_BYTES_MAX];
    uint8_t receive_room[DATAGRAMS_PER_CALL][RECEIVE_ROOM_BYTES];
};

struct wild_client;

/* session.c */
void client_session_start(struct wild_client *client,
                          uint64_t now); /* sends INIT; nothing while one is under way */
void client_session_take(struct wild_client *client, unsigned kind, uint8_t *bytes, size_t length,
                         uint64_t now);
void client_session_timer(struct wild_client *client, uint64_t now);
/* A session that was idle for long is asked for a sign of life beside a new handshake, and the operation
 * waits for whichever comes first. */
void client_session_doubt(struct wild_client *client, uint64_t now);
void client_session_alive(struct wild_client *client,
                          uint64_t now); /* a datagram of the session was accepted */
void client_session_rtt(struct wild_client *client, uint64_t sample_ns);
void client_session_silence(struct wild_client *client,
                            uint64_t now);           /* operations are about to be sent again */
void client_session_end(struct wild_client *client); /* says CLOSE */

/* datagrams.c */
void datagrams_send(struct wild_client *client, const void *bytes, size_t length);
void datagrams_receive(struct wild_client *client, uint64_t now);

#endif
