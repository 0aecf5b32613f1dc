/*
 * datagrams.c - messages in datagrams, over a UDP socket; the only file of this carrier that touches it.
 *
 * The socket is connected, so the kernel drops what comes from elsewhere, and non-blocking: what it does not
 * take counts as lost on the way, and the retransmission timer sees to it.
 */
#include <errno.h>
#include <poll.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

enum {
    RECEIVE_CALLS_MAX = 16,            /* a flood must not keep a caller past its time-out */
    SOCKET_BUFFER_BYTES = 1024 * 1024, /* a full pipeline of the largest values, with the kernel's overhead */
};

static int datagrams_create(struct wild_client *client)
{
    client->rto_ns = RTO_INITIAL_NS;
    return 0;
}

static int datagrams_open(struct wild_client *client)
{
    int fd = socket(client->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int bytes = SOCKET_BUFFER_BYTES; /* as much of it as the system grants */
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    if (connect(fd, (const struct sockaddr *)&client->address, client->address_bytes) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    client->fd = client->descriptor = fd;
    client->datagrams.shake.state = SHAKE_IDLE;
    return 0;
}

static void datagrams_hang_up(struct wild_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = client->descriptor = -1;
}

static void datagrams_end(struct wild_client *client)
{
    client_session_end(client);
    datagrams_hang_up(client);
}

/* ---- out ---- */

static void send_all(struct wild_client *client, struct mmsghdr *messages, unsigned count)
{
    unsigned sent = 0, refusals = 0;
    while (sent < count) {
        int n = sendmmsg(client->fd, messages + sent, count - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            sent += (unsigned)n;
        } else if (errno == ECONNREFUSED && refusals++ < 2) {
            client->failure =
                -ECONNREFUSED; /* news of an earlier datagram: this one has not been tried yet */
        } else if (errno != EINTR) {
            break;
        }
    }
    client->statistics.datagrams_sent += sent;
}

void datagrams_send(struct wild_client *client, const void *bytes, size_t length)
{
    struct iovec part = {(void *)(uintptr_t)bytes, length};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    send_all(client, &message, 1);
}

static size_t seal(struct wild_client *client, uint8_t *out, size_t message_length)
{
    const struct session_keys *session = &client->secrets->current;
    return datagram_seal(&session->send, 0, session->version, session->session,
                         client->datagrams.send_counter++, out, message_length);
}

static void send_probe(struct wild_client *client)
{
    uint8_t *out = client->datagrams.send_room[0];
    datagrams_send(client, out,
                   seal(client, out, messages_probe(client, out + DATAGRAM_HEADER_BYTES, PROBE_ID)));
}

/* One datagram of what is next in the outbox; its bytes, 0 if nothing may go. While the session is in doubt,
 * what the node cannot have seen waits for the outcome. */
static size_t fill_datagram(struct wild_client *client, uint8_t *out, unsigned *left, uint64_t now)
{
    struct message_load load;
    bool fresh = client->datagrams.shake.state == SHAKE_IDLE;
    size_t length = messages_fill(client, out + DATAGRAM_HEADER_BYTES, fresh, left, &load);
    for (unsigned i = 0; i < load.count; i++)
        pipeline_sent(client, load.index[i], now);
    return length != 0 ? seal(client, out, length) : 0;
}

static void datagrams_flush(struct wild_client *client, uint64_t now)
{
    if (!client_may_seal(client))
        return;
    if (client->datagrams.probe) {
        client->datagrams.probe = false;
        send_probe(client);
    }
    unsigned left = client->outbox.count;
    while (left > 0) {
        struct mmsghdr messages[DATAGRAMS_PER_CALL];
        struct iovec parts[DATAGRAMS_PER_CALL];
        unsigned count = 0;
        while (left > 0 && count < DATAGRAMS_PER_CALL) {
            uint8_t *out = client->datagrams.send_room[count];
            size_t length = fill_datagram(client, out, &left, now);
            if (length == 0)
                break;
            parts[count] = (struct iovec){out, length};
            messages[count] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[count], .msg_iovlen = 1}};
            count++;
        }
        if (count == 0)
            return;
        send_all(client, messages, count);
    }
}

/* ---- in ---- */

static void take_datagram(struct wild_client *client, uint8_t *bytes, size_t length, uint64_t now)
{
    struct datagram_header header;
    const struct session_keys *session = &client->secrets->current;
    uint8_t *message;
    size_t message_length;
    if (!datagram_peek(&header, bytes, length)) {
        client->statistics.datagrams_refused++;
        return;
    }
    if (header.kind != DATAGRAM_DATA && header.kind != DATAGRAM_SEALED) {
        client_session_take(client, header.kind, bytes, length, now);
        return;
    }
    if (!client->live || header.session != session->session ||
        datagram_open(&session->receive, &client->datagrams.received, session->version, bytes, length,
                      &message, &message_length) != 0) {
        client->statistics.datagrams_refused++;
        return;
    }
    client->statistics.datagrams_received++;
    client_session_alive(client, now);
    messages_take(client, message, message_length, now);
}

void datagrams_receive(struct wild_client *client, uint64_t now)
{
    for (unsigned call = 0; call < RECEIVE_CALLS_MAX; call++) {
        struct mmsghdr messages[DATAGRAMS_PER_CALL];
        struct iovec parts[DATAGRAMS_PER_CALL];
        for (unsigned i = 0; i < DATAGRAMS_PER_CALL; i++) {
            parts[i] = (struct iovec){client->datagrams.receive_room[i], RECEIVE_ROOM_BYTES};
            messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
        }
        int n = recvmmsg(client->fd, messages, DATAGRAMS_PER_CALL, MSG_DONTWAIT, NULL);
        if (n < 0 && errno == ECONNREFUSED) {
            client->failure = -ECONNREFUSED;
            continue;
        }
        if (n <= 0)
            return;
        for (int i = 0; i < n; i++)
            take_datagram(client, client->datagrams.receive_room[i], messages[i].msg_len, now);
        if (n < DATAGRAMS_PER_CALL)
            return;
    }
}

static void datagrams_wait(struct wild_client *client, uint64_t wait_ns)
{
    client_wait(client->fd, POLLIN, wait_ns);
}

static uint64_t datagrams_timer_ns(const struct wild_client *client)
{
    return client->datagrams.shake.state != SHAKE_IDLE ? client->datagrams.shake.retry_ns : NEVER_NS;
}

const struct carrier carrier_datagrams = {
    .message_bytes_max = MESSAGE_BYTES_MAX,
    .socket_type = SOCK_DGRAM,
    .create = datagrams_create,
    .open = datagrams_open,
    .hang_up = datagrams_hang_up,
    .start = client_session_start,
    .doubt = client_session_doubt,
    .flush = datagrams_flush,
    .wait = datagrams_wait,
    .receive = datagrams_receive,
    .timer = client_session_timer,
    .timer_ns = datagrams_timer_ns,
    .answered = client_session_rtt,
    .unanswered = client_session_silence,
    .end = datagrams_end,
};
