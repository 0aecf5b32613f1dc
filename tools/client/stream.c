/*
 * stream.c - a client's connection over TCP: how it begins, how it ends, and what that means for the
 * operations on it. The states: client_stream.h.
 *
 * A connection is its session. Nothing is sent twice on it, and a reply can only be late or lost with the
 * connection: so there is no retransmission here, and a connection that has failed in any way is not mended
 * but replaced. What was not handed to the kernel whole when it failed cannot have been executed.
 *
 * Silence. Over TCP a node cannot be asked for a sign of life past the replies it owes. A connection is given
 * up when an operation runs out of time while nothing at all has come for half of that time: the node's host
 * may be gone without a word. Otherwise a time-out costs the connection nothing: the late reply is still due,
 * and when it comes it meets nobody.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client.h"

bool client_stream_is_ours(const struct wild_client *client)
{
    return client->secrets->present;
}

void client_stream_watch(struct wild_client *client)
{
    struct stream *stream = &client->stream;
    int events = EPOLLIN;
    if (stream->state == STREAM_CONNECTING)
        events = EPOLLOUT;
    else if (stream->send_at < stream->send_end)
        events |= EPOLLOUT;
    if (stream->state == STREAM_DOWN || events == stream->events)
        return;
    struct epoll_event event = {.events = (uint32_t)events};
    epoll_ctl(client->descriptor, stream->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, client->fd, &event);
    stream->events = events;
}

/* ---- the end of a connection ---- */

static void wipe_session(struct wild_client *client)
{
    client->live = false;
    handshake_end(&client->secrets->handshake);
    keys_wipe(&client->secrets->current, sizeof(client->secrets->current));
}

/* What stands in send_room, whole or in part, has not happened and will not. */
static void take_back_unwritten(struct wild_client *client)
{
    for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
        struct flight *flight = &client->flight[i];
        if (flight->state == FLIGHT_SENT && flight->record_end > client->stream.written)
            pipeline_unsent(client, i);
    }
}

void client_stream_lose(struct wild_client *client, int reason, uint64_t now)
{
    struct stream *stream = &client->stream;
    if (stream->state == STREAM_DOWN || !client_stream_is_ours(client))
        return;
    if (client->fd >= 0) {
        /* Not left to close(): a child process may hold the socket, too. */
        epoll_ctl(client->descriptor, EPOLL_CTL_DEL, client->fd, NULL);
        close(client->fd);
    }
    client->fd = -1;
    client->failure = reason;
    wipe_session(client);
    /* At once after one that worked; else with growing pauses, so that a node in trouble is not stormed. */
    if (stream->served)
        stream->pause_ns = 0;
    else
        stream->pause_ns = min_u64(max_u64(2 * stream->pause_ns, ATTEMPT_PAUSE_MIN_NS), ATTEMPT_PAUSE_MAX_NS);
    stream->retry_ns = now + stream->pause_ns;
    stream->state = STREAM_DOWN;
    stream->events = 0;
    stream->doubted = stream->give_up = false;
    stream->due_count = 0;
    take_back_unwritten(client);
    pipeline_renew(client, now);
}

/* ---- its beginning ---- */

static void attempt(struct wild_client *client, uint64_t now)
{
    struct stream *stream = &client->stream;
    if (stream->state != STREAM_DOWN || !client_stream_is_ours(client))
        return;
    stream->state = STREAM_CONNECTING;
    /* Later ones are shorter: what a node that was down has lost, kernels repeat at long intervals only. */
    stream->retry_ns = now + client->connect_timeout_ns;
    if (stream->had_session)
        stream->retry_ns =
            now + min_u64(client->connect_timeout_ns, max_u64(client->timeout_ns, ATTEMPT_MIN_NS));
    stream->served = false;
    stream->cookies = 0;
    stream->made = stream->written = stream->send_at = stream->send_end = 0;
    client->fd = socket(client->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (client->fd < 0) {
        client_stream_lose(client, -errno, now);
        return;
    }
    int one = 1; /* every write is a whole burst of records already: Nagle's delay gathers nothing more */
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(client->fd, (const struct sockaddr *)&client->address, client->address_bytes) != 0 &&
        errno != EINPROGRESS && errno != EINTR) {
        client_stream_lose(client, -errno, now);
        return;
    }
    client_stream_watch(client);
}

bool client_stream_connected(struct wild_client *client, uint64_t now)
{
    struct stream *stream = &client->stream;
    struct client_secrets *secrets = client->secrets;
    struct pollfd descriptor = {.fd = client->fd, .events = POLLOUT};
    int error = 0;
    socklen_t bytes = sizeof(error);
    if (poll(&descriptor, 1, 0) <= 0)
        return false;
    if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
        error = errno;
    /* Cannot fail: the role was checked by wild_connect(), and one sealed suite runs everywhere. */
    if (error == 0 && handshake_start(&secrets->handshake, &secrets->keys, ROLE_CLIENT, TRANSPORT_TCP,
                                      datagram_suites(), &client->random) != 0)
        error = ENOTSUP;
    if (error != 0) {
        client_stream_lose(client, -error, now);
        return false;
    }
    stream->state = STREAM_INIT;
    stream->reader = record_reader_start(
        RECORD_KIND_BIT(DATAGRAM_COOKIE) | RECORD_KIND_BIT(DATAGRAM_RESPONSE), stream->limits);
    record_reader_lend(&stream->reader, stream->record_room, sizeof(stream->record_room));
    client_stream_put(client, secrets->handshake.init, HANDSHAKE_INIT_BYTES);
    return true;
}

/* ---- the handshake ---- */

static bool take_cookie(struct wild_client *client, const struct record_item *item)
{
    struct handshake_client *handshake = &client->secrets->handshake;
    if (client->stream.cookies++ == COOKIES_MAX ||
        handshake_take_cookie(handshake, &client->secrets->keys, item->bytes, item->length) != 0)
        return false;
    client_stream_put(client, handshake->init, HANDSHAKE_INIT_BYTES);
    return true;
}

static bool take_response(struct wild_client *client, const struct record_item *item)
{
    struct client_secrets *secrets = client->secrets;
    uint8_t confirm[HANDSHAKE_CONFIRM_BYTES];
    if (handshake_finish(&secrets->handshake, &secrets->keys, item->bytes, item->length, confirm,
                         &secrets->current, &client->node) != 0)
        return false;
    client->stream.state = STREAM_CONFIRM;
    client->stream.reader.expected = RECORD_KIND_BIT(DATAGRAM_READY);
    client_stream_put(client, confirm, sizeof(confirm));
    return true;
}

/*
 * The first records could follow CONFIRM at once; they wait for READY, because an operation that was sent
 * before the node has shown that it took the session would be of unknown fate if it had not.
 */
static bool take_ready(struct wild_client *client, const struct record_item *item, uint64_t now)
{
    struct stream *stream = &client->stream;
    struct session_keys *session = &client->secrets->current;
    if (handshake_ready_check(session, item->bytes, item->length) != 0)
        return false;
    handshake_end(&client->secrets->handshake);
    record_reader_key(&stream->reader, &session->receive);
    stream->writer = record_writer_start(&session->send, stream->limits);
    stream->state = STREAM_LIVE;
    stream->heard_ns = now;
    client->live = true;
    client->failure = 0;
    if (stream->had_session)
        client->statistics.reconnects++;
    stream->had_session = true;
    return true;
}

bool client_stream_take_handshake(struct wild_client *client, const struct record_item *item, uint64_t now)
{
    switch (item->kind) { /* the reader lets through what the state waits for */
    case DATAGRAM_COOKIE:
        return take_cookie(client, item);
    case DATAGRAM_RESPONSE:
        return take_response(client, item);
    case DATAGRAM_READY:
        return take_ready(client, item, now);
    default:
        return false;
    }
}

/* ---- doubt and time ---- */

/*
 * The node ends connections that were idle for long, and firewalls forget them. Its CLOSE, FIN or RST is
 * looked for before something new is sent; after minutes also a sign of life is asked for, and the operation
 * waits.
 */
static void stream_doubt(struct wild_client *client, uint64_t now)
{
    struct stream *stream = &client->stream;
    if (stream->state != STREAM_LIVE || !client_stream_is_ours(client) ||
        now - stream->heard_ns <= min_u64(STREAM_LOOK_NS, client->doubt_ns))
        return;
    client_stream_receive(client, now);
    if (stream->state == STREAM_LIVE && !stream->doubted && now - stream->heard_ns > client->doubt_ns) {
        stream->doubted = true;
        stream->retry_ns = now + client->timeout_ns / 2;
        client_stream_seal_probe(client, now);
    }
}

static bool has_deadline(const struct stream *stream)
{
    return stream->doubted || (stream->state != STREAM_DOWN && stream->state != STREAM_LIVE);
}

static void stream_timer(struct wild_client *client, uint64_t now)
{
    if (has_deadline(&client->stream) && now >= client->stream.retry_ns)
        client_stream_lose(client, -ETIMEDOUT, now);
}

static uint64_t stream_timer_ns(const struct wild_client *client)
{
    const struct stream *stream = &client->stream;
    if (!client_stream_is_ours(client))
        return NEVER_NS;
    if (stream->give_up)
        return 0;
    bool wanted = stream->state == STREAM_DOWN && client->outbox.count > 0;
    return wanted || has_deadline(stream) ? stream->retry_ns : NEVER_NS;
}

static bool stream_unreachable(const struct wild_client *client)
{
    return client->stream.state == STREAM_DOWN && client->stream.pause_ns > 0;
}

static void stream_timed_out(struct wild_client *client, uint64_t now)
{
    struct stream *stream = &client->stream;
    if (stream->state != STREAM_LIVE || stream->due_count == 0)
        return;
    uint64_t since_ns = max_u64(stream->heard_ns, stream->due[stream->due_head].sent_ns);
    if (now - since_ns >= client->timeout_ns / 2)
        stream->give_up = true; /* the pipeline is being walked: later */
}

static void stream_flush(struct wild_client *client, uint64_t now)
{
    struct stream *stream = &client->stream;
    if (!client_stream_is_ours(client))
        return;
    if (stream->give_up)
        client_stream_lose(client, -ETIMEDOUT, now);
    if (stream->state == STREAM_DOWN && client->outbox.count > 0 && now >= stream->retry_ns)
        attempt(client, now);
    if (stream->state == STREAM_LIVE)
        client_stream_send_records(client, now);
    else if (stream->state != STREAM_DOWN && stream->state != STREAM_CONNECTING)
        client_stream_write(client, now);
}

/* ---- the carrier ---- */

static int stream_create(struct wild_client *client)
{
    client->descriptor = epoll_create1(EPOLL_CLOEXEC);
    if (client->descriptor < 0)
        return -errno;
    client->rto_ns = NEVER_NS; /* TCP repeats what is lost */
    client->stream.limits = &record_limits_default;
    return 0;
}

static int stream_open(struct wild_client *client)
{
    client->stream.retry_ns = client->stream.pause_ns = 0; /* whatever another address did */
    return 0;
}

static void stream_hang_up(struct wild_client *client)
{
    client_stream_lose(client, -ETIMEDOUT, client_now());
}

static void stream_wait(struct wild_client *client, uint64_t wait_ns)
{
    struct stream *stream = &client->stream;
    if (!client_stream_is_ours(client)) {
        client_wait(-1, 0, wait_ns); /* what comes is the parent's */
        return;
    }
    bool writes = stream->state == STREAM_CONNECTING || stream->send_at < stream->send_end;
    bool reads = stream->state != STREAM_CONNECTING;
    client_wait(client->fd, (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), wait_ns);
}

static void stream_end(struct wild_client *client)
{
    if (client_stream_is_ours(client) && client_may_seal(client)) {
        client_stream_seal_close(client);
        client_stream_write(client, client_now());
    }
    if (client->fd >= 0)
        close(client->fd);
    if (client->descriptor >= 0)
        close(client->descriptor);
    client->fd = client->descriptor = -1;
}

const struct carrier carrier_stream = {
    .message_bytes_max = RECORD_MESSAGE_BYTES_MAX,
    .socket_type = SOCK_STREAM,
    .failure_is_final = true,
    .create = stream_create,
    .open = stream_open,
    .hang_up = stream_hang_up,
    .start = attempt,
    .doubt = stream_doubt,
    .flush = stream_flush,
    .wait = stream_wait,
    .receive = client_stream_receive,
    .timer = stream_timer,
    .timer_ns = stream_timer_ns,
    .unreachable = stream_unreachable,
    .timed_out = stream_timed_out,
    .end = stream_end,
};
