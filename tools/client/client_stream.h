/*
 * client_stream.h - what a client over TCP keeps, and what its two files offer each other.
 */
#ifndef WILD_CLIENT_STREAM_H
#define WILD_CLIENT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "handshake.h"
#include "record.h"

enum {
    SEND_ROOM_BYTES = 64 * 1024, /* whole records that the kernel has not taken yet, and one more */
    READ_ROOM_BYTES = 64 * 1024,
    ANSWERS_DUE_MAX = 512, /* operations sent on one connection without a reply; none are sent above that */
    COOKIES_MAX = 2,       /* per attempt: a node that asks for a third is not serious */
};
static_assert((int)SEND_ROOM_BYTES >= 2 * ((int)RECORD_MESSAGE_BYTES_MAX + (int)RECORD_ROOM_BYTES),
              "a record can be made while another waits");
static_assert((int)ANSWERS_DUE_MAX <= (int)MESSAGE_OPERATIONS_MAX + 1, "a record's replies can be counted");

#define ATTEMPT_MIN_NS       (500 * MS_NS) /* given to a connection with its handshake */
#define ATTEMPT_PAUSE_MIN_NS (5 * MS_NS)
#define ATTEMPT_PAUSE_MAX_NS (250 * MS_NS) /* a node that comes back is found soon */
/* Not looked at for so long, a connection may have been ended by the node without our noticing. */
#define STREAM_LOOK_NS MS_NS

/*
 *            start             connected         RESPONSE            READY
 *   DOWN -----------> CONNECTING -------> INIT ------------> CONFIRM -------> LIVE
 *    ^                    |                |  ^ COOKIE          |              |
 *    |                    |                +--+                 |              |
 *    +--------------------+----------------+--------------------+--------------+
 *      client_stream_lose(): the stream ended, failed, was not in order, took too long, or was given up
 */
enum stream_state { STREAM_DOWN = 0, STREAM_CONNECTING, STREAM_INIT, STREAM_CONFIRM, STREAM_LIVE };

/* A reply that the node owes: they come in the order of the requests, one record for each record. */
struct answer_due {
    uint64_t request_id, sent_ns;
    uint8_t opcode;
    bool last; /* of its record */
};

struct stream {
    enum stream_state state;
    int events;        /* what the epoll instance waits for */
    bool had_session;  /* at some time */
    bool served;       /* this connection has brought an answer */
    bool doubted;      /* what the node cannot have seen waits for the probe's answer */
    bool give_up;      /* the next flush ends this connection */
    unsigned cookies;  /* taken in this attempt */
    uint64_t retry_ns; /* DOWN: not before; CONNECTING to CONFIRM, doubted: not after */
    uint64_t pause_ns; /* before the next attempt */
    uint64_t heard_ns; /* when the last record came */

    const struct record_limits *limits;
    struct record_writer writer;
    struct record_reader reader;

    unsigned due_head, due_count;
    struct answer_due due[ANSWERS_DUE_MAX];

    /* Bytes of this connection's stream: made, and taken by the kernel. Between them they stand in send_room.
     * */
    uint64_t made, written;
    size_t send_at, send_end;
    uint8_t send_room[SEND_ROOM_BYTES];
    uint8_t read_room[READ_ROOM_BYTES];
    uint8_t record_room[RECORD_BYTES_MAX]; /* a record that comes in parts */
};

struct wild_client;

/* stream.c */
bool client_stream_is_ours(const struct wild_client *client); /* false in a child process: touch nothing */
/* Ends the connection: `reason` is a -errno. Operations go on as pipeline_renew() says. */
void client_stream_lose(struct wild_client *client, int reason, uint64_t now);
/* A message of the handshake: true when it was in order, and what it asks for is done. */
bool client_stream_take_handshake(struct wild_client *client, const struct record_item *item, uint64_t now);
void client_stream_watch(struct wild_client *client); /* tells the epoll instance what is waited for now */
bool client_stream_connected(struct wild_client *client, uint64_t now); /* CONNECTING: whether that is over */

/* stream_records.c */
void client_stream_put(struct wild_client *client, const void *bytes,
                       size_t length);                                     /* a handshake's message */
void client_stream_write(struct wild_client *client, uint64_t now);        /* as much as the kernel takes */
void client_stream_send_records(struct wild_client *client, uint64_t now); /* LIVE: what may go, and writes */
void client_stream_seal_probe(struct wild_client *client, uint64_t now);
void client_stream_seal_close(struct wild_client *client);
void client_stream_receive(struct wild_client *client, uint64_t now);

#endif
