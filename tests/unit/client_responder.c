/* client_responder.c - the responder's thread, its datagrams, and the test's side. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client_responder_internal.h"

/* ---- datagrams ---- */

static void send_bytes(struct responder *r, const void *bytes, size_t length)
{
    sendto(r->fd, bytes, length, 0, (struct sockaddr *)&r->peer, r->peer_bytes);
}

static void seal_reply(struct responder *r, size_t message_length)
{
    struct session *session = &r->session;
    r->replies[r->reply_count].length =
        datagram_seal(&session->keys.send, 0, session->keys.version, session->keys.session,
                      session->counter++, r->replies[r->reply_count].bytes, message_length);
    r->reply_count++;
}

/* Copies of a reply message with a few bytes changed and the end cut off, sealed as the node seals. */
static void add_garbage(struct responder *r, const uint8_t *message, size_t length)
{
    for (unsigned i = 0; i < r->orders.garbage && r->reply_count + 1 < REPLIES_MAX; i++) {
        uint8_t *copy = r->replies[r->reply_count].bytes + DATAGRAM_HEADER_BYTES;
        memcpy(copy, message, length);
        for (unsigned n = seeded_next(&r->entropy) % 4; n > 0; n--)
            copy[seeded_next(&r->entropy) % length] = (uint8_t)seeded_next(&r->entropy);
        seal_reply(r, seeded_next(&r->entropy) % 2 ? length : seeded_next(&r->entropy) % (length + 1));
    }
}

static void answer_message(struct responder *r, unsigned kind, const uint8_t *bytes, size_t length)
{
    uint8_t out[MESSAGE_BYTES_MAX];
    if (r->reply_count == REPLIES_MAX)
        return;
    size_t reply_length = responder_answer(r, r->outcomes, kind, bytes, length, out, sizeof(out));
    if (reply_length == 0)
        return;
    add_garbage(r, out, reply_length);
    memcpy(r->replies[r->reply_count].bytes + DATAGRAM_HEADER_BYTES, out, reply_length);
    seal_reply(r, reply_length);
}

static void take_session_datagram(struct responder *r, unsigned kind, uint8_t *bytes, size_t length)
{
    uint8_t *message;
    size_t message_length;
    struct session *session = &r->session;
    struct datagram_header header;
    datagram_peek(&header, bytes, length);
    if (!session->live || header.session != session->keys.session ||
        datagram_open(&session->keys.receive, &session->window, session->keys.version, bytes, length,
                      &message, &message_length) != 0)
        return;
    if (kind == DATAGRAM_CLOSE) {
        r->closes++;
        return;
    }
    r->datagrams++;
    if (r->orders.lose_requests > 0) {
        r->orders.lose_requests--;
        return;
    }
    answer_message(r, kind, message, message_length);
}

static void take_init(struct responder *r, const uint8_t *bytes, size_t length)
{
    enum role role;
    uint32_t index;
    uint8_t out[HANDSHAKE_RESPONSE_BYTES], source[COOKIE_SOURCE_BYTES] = {1};
    if (handshake_init_check(&r->keys, TRANSPORT_UDP, bytes, length, &role, &index) != 0)
        return;
    if (r->orders.cookie && !handshake_cookie_valid(&r->cookies, source, bytes)) {
        handshake_cookie_reply(&r->keys, role, &r->cookies, source, bytes, out);
        send_bytes(r, out, HANDSHAKE_COOKIE_BYTES);
        return;
    }
    if (handshake_respond(&r->keys, &r->identity, &r->random, r->next_session++, bytes, out, &r->pending) !=
        0)
        return;
    r->has_pending = true;
    send_bytes(r, out, HANDSHAKE_RESPONSE_BYTES);
}

static void take_confirm(struct responder *r, const uint8_t *bytes, size_t length)
{
    uint8_t ready[HANDSHAKE_READY_BYTES];
    if (r->has_pending && handshake_confirm_check(&r->pending, bytes, length) == 0) {
        r->session = (struct session){.live = true, .keys = r->pending};
        r->has_pending = false;
        r->sessions++;
        memset(r->outcomes, 0, sizeof(r->outcomes));
    }
    if (!r->session.live || handshake_confirm_check(&r->session.keys, bytes, length) != 0)
        return;
    handshake_ready(&r->session.keys, ready);
    if (r->orders.lose_handshake > 0 && r->handshake_datagrams++ % 2 == 0)
        r->orders.lose_handshake--;
    else
        send_bytes(r, ready, sizeof(ready));
}

static void take(struct responder *r, uint8_t *bytes, size_t length)
{
    struct datagram_header header;
    if (r->orders.silent || !datagram_peek(&header, bytes, length))
        return;
    bool handshake = header.kind == DATAGRAM_INIT || header.kind == DATAGRAM_CONFIRM;
    if (handshake && r->orders.lose_handshake > 0 && r->handshake_datagrams++ % 2 == 0) {
        r->orders.lose_handshake--;
        return;
    }
    if (header.kind == DATAGRAM_INIT)
        take_init(r, bytes, length);
    else if (header.kind == DATAGRAM_CONFIRM)
        take_confirm(r, bytes, length);
    else
        take_session_datagram(r, header.kind, bytes, length);
}

static void send_reply(struct responder *r, unsigned i)
{
    uint8_t *bytes = r->replies[i].bytes;
    size_t length = r->replies[i].length;
    if (r->orders.lose_replies > 0) {
        r->orders.lose_replies--;
        return;
    }
    if (r->orders.forge_replies > 0) {
        r->orders.forge_replies--;
        uint8_t forged[DATAGRAM_BYTES_MAX];
        for (size_t at = 0; at < length; at++) { /* every byte damaged in turn */
            memcpy(forged, bytes, length);
            forged[at] ^= (uint8_t)(1U << at % 8);
            send_bytes(r, forged, length);
        }
    }
    send_bytes(r, bytes, length);
    if (r->orders.duplicate_replies > 0) {
        r->orders.duplicate_replies--;
        send_bytes(r, bytes, length);
    }
}

/* Takes all datagrams at hand, then answers them, so that `reverse` has something to turn round. */
static void turn(struct responder *r)
{
    for (;;) {
        uint8_t bytes[2048];
        r->peer_bytes = sizeof(r->peer);
        struct sockaddr_storage peer;
        socklen_t peer_bytes = sizeof(peer);
        ssize_t n =
            recvfrom(r->fd, bytes, sizeof(bytes), MSG_DONTWAIT, (struct sockaddr *)&peer, &peer_bytes);
        if (n < 0)
            break;
        r->peer = peer;
        r->peer_bytes = peer_bytes;
        take(r, bytes, (size_t)n);
    }
    if (r->reply_count > r->held_count && r->orders.hold_replies > 0) {
        r->orders.hold_replies--;
        r->held_count = r->reply_count;
    }
    if (r->held_count > 0 && r->held_count == r->reply_count)
        return;
    r->held_count = 0;
    for (unsigned i = 0; i < r->reply_count; i++)
        send_reply(r, r->orders.reverse ? r->reply_count - 1 - i : i);
    r->reply_count = 0;
}

void responder_tarry(struct responder *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned ms = r->orders.late_ms;
    pthread_mutex_unlock(&r->lock);
    if (ms > 0)
        nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static void *run(void *argument)
{
    struct responder *r = argument;
    if (r->stream) {
        stream_run(r);
        return NULL;
    }
    for (bool stop = false; !stop;) {
        struct pollfd descriptor = {.fd = r->fd, .events = POLLIN};
        if (poll(&descriptor, 1, 5) > 0)
            responder_tarry(r);
        pthread_mutex_lock(&r->lock);
        bool gather = r->orders.reverse;
        pthread_mutex_unlock(&r->lock);
        if (gather)
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        pthread_mutex_lock(&r->lock);
        turn(r);
        stop = r->stop;
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

/* ---- the test's side ---- */

bool responder_bind(struct responder *r, const char *address)
{
    bool v6 = strchr(address, ':') != NULL;
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = r->port};
    struct sockaddr_in in4 = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = r->port};
    struct sockaddr *any = v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in4;
    socklen_t bytes = v6 ? sizeof(in6) : sizeof(in4);
    r->fd = socket(any->sa_family, (r->stream ? SOCK_STREAM | SOCK_NONBLOCK : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    int one = 1;
    if (r->fd >= 0 && r->stream)
        setsockopt(r->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    int room = r->stream ? 4096 : 1 << 20; /* small: streams are to stall */
    if (r->fd < 0 || setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) != 0 ||
        bind(r->fd, any, bytes) != 0 || getsockname(r->fd, any, &bytes) != 0 ||
        (r->stream && listen(r->fd, PEERS_MAX) != 0))
        return false;
    r->port = v6 ? in6.sin6_port : in4.sin_port;
    snprintf(r->endpoint, sizeof(r->endpoint), v6 ? "[%s]:%u" : "%s:%u", address,
             ntohs(v6 ? in6.sin6_port : in4.sin_port));
    return true;
}

static struct responder *start(const char *secret, const char *address, bool stream)
{
    char error[128];
    struct responder *r = aligned_alloc(64, (sizeof(*r) + 63) / 64 * 64);
    memset(r, 0, sizeof(*r));
    r->stream = stream;
    r->limits = &record_limits_default;
    for (unsigned i = 0; i < PEERS_MAX; i++)
        r->peers[i].fd = -1;
    keys_start();
    r->random = random_system();
    r->entropy = seeded_start(1);
    r->identity.node_id = 3;
    r->role = (struct responder_role){.epoch = 7, .history = 42, .node_id = 3};
    r->next_session = 100;
    cookie_secrets_refresh(&r->cookies, &r->random, 1);
    if (keys_from_secret(&r->keys, secret, strlen(secret), "wild", error, sizeof(error)) != 0 ||
        !responder_bind(r, address)) {
        if (r->fd > 0)
            close(r->fd);
        free(r);
        return NULL;
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_create(&r->thread, NULL, run, r);
    return r;
}

struct responder *responder_start(const char *secret, const char *address)
{
    return start(secret, address, false);
}

struct responder *responder_start_stream(const char *secret, const char *address)
{
    return start(secret, address, true);
}

bool responder_is_stream(const struct responder *r)
{
    return r->stream;
}

void responder_stop(struct responder *r)
{
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    stream_drop_all(r);
    pthread_mutex_destroy(&r->lock);
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

const char *responder_endpoint(const struct responder *r)
{
    return r->endpoint;
}

void responder_order(struct responder *r, struct responder_orders orders)
{
    pthread_mutex_lock(&r->lock);
    r->orders = orders;
    while (r->stream && (r->fd < 0) != orders.down) { /* the thread is about to do it */
        pthread_mutex_unlock(&r->lock);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
}

struct responder_orders responder_orders_left(struct responder *r)
{
    pthread_mutex_lock(&r->lock);
    struct responder_orders left = r->orders;
    pthread_mutex_unlock(&r->lock);
    return left;
}

void responder_role(struct responder *r, const struct responder_role *role)
{
    pthread_mutex_lock(&r->lock);
    r->role = *role;
    r->identity.node_id = role->node_id;
    memset(r->identity.cluster_id, role->cluster, sizeof(r->identity.cluster_id));
    pthread_mutex_unlock(&r->lock);
}

void responder_lsn(struct responder *r, uint64_t lsn)
{
    pthread_mutex_lock(&r->lock);
    r->lsn = lsn;
    pthread_mutex_unlock(&r->lock);
}

void responder_follow(struct responder *replica, struct responder *primary)
{
    pthread_mutex_lock(&primary->lock);
    primary->follower[primary->followers++] = replica;
    pthread_mutex_unlock(&primary->lock);
}

void responder_restart(struct responder *r)
{
    pthread_mutex_lock(&r->lock);
    r->session.live = r->has_pending = false;
    r->item_count = 0;
    memset(r->outcomes, 0, sizeof(r->outcomes));
    r->drop_all = r->stream;
    while (r->drop_all) {
        pthread_mutex_unlock(&r->lock);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
}

void responder_limits(struct responder *r, const struct record_limits *limits)
{
    pthread_mutex_lock(&r->lock);
    r->limits = limits;
    pthread_mutex_unlock(&r->lock);
}

unsigned responder_log(struct responder *r, struct responder_entry out[RESPONDER_LOG_MAX])
{
    pthread_mutex_lock(&r->lock);
    unsigned count = r->log_count;
    memcpy(out, r->log, count * sizeof(out[0]));
    r->log_count = 0;
    pthread_mutex_unlock(&r->lock);
    return count;
}

unsigned responder_sessions(struct responder *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned sessions = r->sessions;
    pthread_mutex_unlock(&r->lock);
    return sessions;
}

unsigned responder_closes(struct responder *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned closes = r->closes;
    pthread_mutex_unlock(&r->lock);
    return closes;
}
