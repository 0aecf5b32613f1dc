/* client_responder_stream.c - the responder over TCP: handshakes and records on several connections, and what
 * it was ordered to do wrong. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client_responder_internal.h"

static void drop(struct stream_peer *peer, bool reset)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (peer->fd < 0)
        return;
    if (reset)
        setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    else
        shutdown(peer->fd, SHUT_WR);
    close(peer->fd);
    for (unsigned i = 0; i < peer->waiting_count; i++)
        free(peer->waiting[i].bytes);
    peer->fd = -1;
    peer->live = false;
    peer->waiting_count = 0;
    peer->out_end = 0;
}

void stream_drop_all(struct responder *r)
{
    for (unsigned i = 0; i < PEERS_MAX; i++)
        drop(&r->peers[i], true);
}

static bool take_order(unsigned *order)
{
    return *order > 0 && (*order)--;
}

/* ---- out ---- */

static void put(struct stream_peer *peer, const void *bytes, size_t length)
{
    if (peer->out_end + length > OUT_BYTES)
        abort();
    memcpy(peer->out + peer->out_end, bytes, length);
    peer->out_end += length;
}

static void write_out(struct responder *r, struct stream_peer *peer)
{
    size_t first = r->orders.always_split && r->orders.at < peer->out_end ? r->orders.at : peer->out_end;
    ssize_t n = first > 0 ? send(peer->fd, peer->out, first, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (n < 0 && errno != EAGAIN) {
        drop(peer, true);
        return;
    }
    if (n > 0) {
        memmove(peer->out, peer->out + n, peer->out_end - (size_t)n);
        peer->out_end -= (size_t)n;
    }
    if (first == peer->out_end + (n > 0 ? (size_t)n : 0))
        return;
    nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
    n = send(peer->fd, peer->out, peer->out_end, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
        memmove(peer->out, peer->out + n, peer->out_end - (size_t)n);
        peer->out_end -= (size_t)n;
    }
}

static void end(struct responder *r, struct stream_peer *peer)
{
    if (peer->out_end > 0)
        write_out(r, peer);
    drop(peer, r->orders.resets);
}

/* The oldest message that waits, as a record, and what was ordered for it. False when the connection ended.
 * */
static bool send_reply(struct responder *r, struct stream_peer *peer)
{
    uint8_t record[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    size_t length;
    if (take_order(&r->orders.close_replies)) {
        put(peer, record, record_close(&peer->writer, record));
        end(r, peer);
        return false;
    }
    length = record_seal(&peer->writer, peer->waiting[0].bytes, peer->waiting[0].length, record);
    free(peer->waiting[0].bytes);
    memmove(peer->waiting, peer->waiting + 1, --peer->waiting_count * sizeof(peer->waiting[0]));
    if (r->orders.at < length && take_order(&r->orders.flip_replies))
        record[r->orders.at] ^= 1;
    if (take_order(&r->orders.cut_replies)) {
        put(peer, record, r->orders.at < length ? r->orders.at : length);
        end(r, peer);
        return false;
    }
    put(peer, record, length);
    return true;
}

static void send_replies(struct responder *r, struct stream_peer *peer)
{
    if (r->orders.park_writes || r->orders.silent)
        return;
    if (peer->waiting_count > 0 && take_order(&r->orders.hold_replies))
        return;
    if (peer->waiting_count == 1 && r->orders.swap_replies > 0)
        return;
    if (peer->waiting_count > 1 && take_order(&r->orders.swap_replies)) {
        size_t length = peer->waiting[0].length;
        uint8_t *bytes = peer->waiting[0].bytes;
        peer->waiting[0] = peer->waiting[1];
        peer->waiting[1].length = length;
        peer->waiting[1].bytes = bytes;
    }
    while (peer->waiting_count > 0 && peer->out_end < OUT_BYTES / 2)
        if (!send_reply(r, peer))
            return;
    if (peer->out_end > 0)
        write_out(r, peer);
}

/* ---- in ---- */

static bool take_init(struct responder *r, struct stream_peer *peer, const struct record_item *item)
{
    enum role role;
    uint32_t index;
    uint8_t out[HANDSHAKE_RESPONSE_BYTES], source[COOKIE_SOURCE_BYTES] = {1};
    if (take_order(&r->orders.end_handshakes) ||
        handshake_init_check(&r->keys, TRANSPORT_TCP, item->bytes, item->length, &role, &index) != 0)
        return false;
    if (r->orders.cookie && !handshake_cookie_valid(&r->cookies, source, item->bytes)) {
        handshake_cookie_reply(&r->keys, role, &r->cookies, source, item->bytes, out);
        put(peer, out, HANDSHAKE_COOKIE_BYTES);
        return true;
    }
    if (handshake_respond(&r->keys, &r->identity, &r->random, r->next_session++, item->bytes, out,
                          &peer->keys) != 0)
        return false;
    peer->reader.expected = RECORD_KIND_BIT(DATAGRAM_CONFIRM);
    put(peer, out, HANDSHAKE_RESPONSE_BYTES);
    return true;
}

static bool take_confirm(struct responder *r, struct stream_peer *peer, const struct record_item *item)
{
    uint8_t ready[HANDSHAKE_READY_BYTES];
    if (handshake_confirm_check(&peer->keys, item->bytes, item->length) != 0)
        return false;
    record_reader_key(&peer->reader, &peer->keys.receive);
    peer->writer = record_writer_start(&peer->keys.send, r->limits);
    peer->live = true;
    r->sessions++;
    memset(peer->outcomes, 0, sizeof(peer->outcomes));
    handshake_ready(&peer->keys, ready);
    put(peer, ready, sizeof(ready));
    if (take_order(&r->orders.end_sessions)) {
        end(r, peer);
        return false;
    }
    return true;
}

/* One answer, and before it what `garbage` orders: damaged messages in true records. */
static bool take_request(struct responder *r, struct stream_peer *peer, const struct record_item *item)
{
    uint8_t *out = malloc(RECORD_MESSAGE_BYTES_MAX);
    r->datagrams++;
    if (take_order(&r->orders.drop_records) || peer->waiting_count == WAITING_MAX) {
        free(out);
        return false;
    }
    size_t length = responder_answer(r, peer->outcomes, RECORD_DATA, item->bytes, item->length, out,
                                     RECORD_MESSAGE_BYTES_MAX);
    if (length == 0) {
        free(out);
        return false;
    }
    if (take_order(&r->orders.garbage)) {
        for (unsigned n = 1 + seeded_next(&r->entropy) % 4; n > 0; n--)
            out[seeded_next(&r->entropy) % length] ^= (uint8_t)(1 + seeded_next(&r->entropy) % 255);
        if (seeded_next(&r->entropy) % 2)
            length = 1 + seeded_next(&r->entropy) % length;
    }
    peer->waiting[peer->waiting_count].bytes = out;
    peer->waiting[peer->waiting_count++].length = length;
    return true;
}

static bool take_item(struct responder *r, struct stream_peer *peer, enum record_event event,
                      const struct record_item *item)
{
    switch (event) {
    case RECORD_HANDSHAKE:
        return item->kind == DATAGRAM_INIT ? take_init(r, peer, item) : take_confirm(r, peer, item);
    case RECORD_MESSAGE:
        return take_request(r, peer, item);
    case RECORD_REKEYED:
        return true;
    case RECORD_CLOSED:
        r->closes++;
        return false;
    default:
        return false;
    }
}

static void receive(struct responder *r, struct stream_peer *peer)
{
    uint8_t bytes[8192];
    size_t room = r->orders.read_bytes > 0 && r->orders.read_bytes < sizeof(bytes) ? r->orders.read_bytes
                                                                                   : sizeof(bytes);
    while (peer->fd >= 0 && peer->waiting_count < WAITING_MAX) {
        ssize_t n = recv(peer->fd, bytes, room, MSG_DONTWAIT);
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN)
                drop(peer, false);
            return;
        }
        uint8_t *at = bytes;
        while (peer->fd >= 0 && !r->orders.silent) {
            struct record_item item;
            enum record_event event = record_next(&peer->reader, &at, bytes + n, &item);
            if (event == RECORD_NEEDS_BYTES)
                break;
            if (!take_item(r, peer, event, &item) && peer->fd >= 0)
                end(r, peer);
        }
    }
}

/* As if the process were gone, or there again. */
static void listen_or_not(struct responder *r)
{
    if (r->orders.down && r->fd >= 0) {
        close(r->fd);
        r->fd = -1;
        stream_drop_all(r);
    } else if (!r->orders.down && r->fd < 0 && !responder_bind(r, "127.0.0.1") && r->fd >= 0) {
        close(r->fd); /* the port is taken: at the next turn */
        r->fd = -1;
    }
}

static void accept_all(struct responder *r)
{
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        struct stream_peer *peer = &r->peers[i];
        if (peer->fd >= 0)
            continue;
        peer->fd = accept4(r->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (peer->fd < 0)
            return;
        int one = 1;
        setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        peer->reader = record_reader_start(RECORD_KIND_BIT(DATAGRAM_INIT), r->limits);
        record_reader_lend(&peer->reader, peer->record_room, sizeof(peer->record_room));
    }
}

void stream_run(struct responder *r)
{
    for (bool stop = false; !stop;) {
        struct pollfd descriptors[PEERS_MAX + 1] = {{.fd = r->fd, .events = POLLIN}};
        for (unsigned i = 0; i < PEERS_MAX; i++)
            descriptors[1 + i] = (struct pollfd){.fd = r->peers[i].fd, .events = POLLIN};
        if (poll(descriptors, PEERS_MAX + 1, 2) > 0)
            responder_tarry(r);
        pthread_mutex_lock(&r->lock);
        if (r->drop_all)
            stream_drop_all(r);
        r->drop_all = false;
        listen_or_not(r);
        accept_all(r);
        for (unsigned i = 0; i < PEERS_MAX; i++)
            if (r->peers[i].fd >= 0 && !r->orders.deaf)
                receive(r, &r->peers[i]);
        for (unsigned i = 0; i < PEERS_MAX; i++)
            if (r->peers[i].fd >= 0)
                send_replies(r, &r->peers[i]);
        stop = r->stop;
        pthread_mutex_unlock(&r->lock);
    }
}
