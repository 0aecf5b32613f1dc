/*
 * client_responder_internal.h - what the parts of the responder share: its store, its datagrams, its streams.
 */
#ifndef WILD_TESTS_CLIENT_RESPONDER_INTERNAL_H
#define WILD_TESTS_CLIENT_RESPONDER_INTERNAL_H

#include <pthread.h>
#include <sys/socket.h>

#include "client_responder.h"
#include "handshake.h"
#include "record.h"
#include "seeded.h"

enum {
    ITEMS_MAX = 2048,
    FOLLOWERS_MAX = 8,
    REPLIES_MAX = 256,
    PEERS_MAX = 16,
    WAITING_MAX = 1024,
    OUT_BYTES = 1 << 20
};

struct item {
    uint64_t version;
    uint16_t key_length, value_length;
    uint8_t key[KEY_BYTES_MAX], value[VALUE_BYTES_MAX];
};

struct outcome {
    uint64_t request_id, version;
    int64_t integer;
    uint8_t status;
    bool parked;
};

struct session {
    bool live;
    struct session_keys keys;
    struct replay_window window;
    uint64_t counter;
};

/* One connection of a client over TCP. */
struct stream_peer {
    int fd; /* -1: none */
    bool live;
    struct session_keys keys;
    struct record_reader reader;
    struct record_writer writer;
    struct outcome outcomes[RETRY_WINDOW_IDS];
    struct {
        size_t length;
        uint8_t *bytes; /* a message, not sealed yet */
    } waiting[WAITING_MAX];
    unsigned waiting_count;
    size_t out_end;
    uint8_t out[OUT_BYTES];
    uint8_t record_room[RECORD_BYTES_MAX];
};

/* Everything behind `lock`: writer and reader are the thread and the test. */
struct responder {
    pthread_t thread;
    pthread_mutex_t lock;
    int fd;
    bool stop, stream;
    bool drop_all; /* the thread is to end all connections */
    char endpoint[80];
    struct role_keys keys;
    struct handshake_identity identity;
    struct random_source random;
    struct cookie_secrets cookies;
    struct responder_orders orders;
    struct responder_role role;
    struct responder *follower[FOLLOWERS_MAX];
    unsigned followers;
    uint16_t port; /* network order */
    uint32_t next_session;
    uint64_t lsn, datagrams;
    unsigned handshake_datagrams, sessions, closes;

    struct item items[ITEMS_MAX];
    unsigned item_count;
    uint64_t entropy;
    unsigned gets;
    uint8_t damaged[VALUE_BYTES_MAX];

    struct responder_entry log[RESPONDER_LOG_MAX];
    unsigned log_count;

    /* datagrams: one session */
    struct session_keys pending;
    bool has_pending;
    struct session session;
    struct outcome outcomes[RETRY_WINDOW_IDS];
    struct {
        size_t length;
        uint8_t bytes[DATAGRAM_BYTES_MAX];
    } replies[REPLIES_MAX];
    unsigned reply_count, held_count;
    struct sockaddr_storage peer;
    socklen_t peer_bytes;

    /* streams: several */
    const struct record_limits *limits;
    struct stream_peer peers[PEERS_MAX];
};

/* client_responder_store.c: executes a message and makes the one that answers it, in out[room]; its bytes, 0
 * when there is nothing to answer. */
size_t responder_answer(struct responder *r, struct outcome outcomes[RETRY_WINDOW_IDS], unsigned kind,
                        const uint8_t *bytes, size_t length, uint8_t *out, size_t room);

/* client_responder.c: something has come, and is looked at as late as ordered; not below the lock */
void responder_tarry(struct responder *r);
/* the listening socket, at the port that it had before, if any */
bool responder_bind(struct responder *r, const char *address);

/* client_responder_stream.c */
void stream_run(struct responder *r);      /* the thread's life, until r->stop */
void stream_drop_all(struct responder *r); /* by the thread, or when there is none any more */

#endif
