/*
 * datagrams.c - operations into datagrams and back; the only file that touches the socket.
 *
 * The socket is connected, so the kernel drops what comes from elsewhere, and non-blocking: what it does not
 * take counts as lost on the way, and the retransmission timer sees to it.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

enum {
    RECEIVE_CALLS_MAX = 16,            /* a flood must not keep a caller past its time-out */
    SOCKET_BUFFER_BYTES = 1024 * 1024, /* a full pipeline of the largest values, with the kernel's overhead */
};

/* No flight has this index: the answer only shows that the session lives. */
#define PROBE_ID ((UINT64_C(1) << 63) | FLIGHT_NONE)

uint64_t client_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

int datagrams_open(struct wild_client *client)
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
    client->fd = fd;
    return 0;
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
            client->refused = true; /* news of an earlier datagram: this one has not been tried yet */
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

static struct message_header request_header(const struct wild_client *client, uint64_t history)
{
    return (struct message_header){
        .version = client->secrets->current.version,
        .epoch = client->epoch,
        .history = history,
    };
}

static size_t seal(struct wild_client *client, uint8_t *out, size_t message_length)
{
    const struct session_keys *session = &client->secrets->current;
    return datagram_seal(&session->send, 0, session->version, session->session, client->send_counter++, out,
                         message_length);
}

static void send_probe(struct wild_client *client)
{
    uint8_t *out = client->send_room[0];
    struct operation health = {.opcode = OPCODE_HEALTH, .request_id = PROBE_ID};
    struct message_header header = request_header(client, 0);
    struct message_writer writer;
    message_begin(&writer, out + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX);
    message_add_operation(&writer, &health);
    datagrams_send(client, out, seal(client, out, message_finish(&writer, &header)));
}

/* While the session is in doubt, what the node cannot have seen waits for the outcome. */
static bool may_go(const struct wild_client *client, const struct flight *flight)
{
    return client->shake.state == SHAKE_IDLE || flight->sends > 0;
}

static size_t likely_answer_bytes(const struct wild_client *client, const struct operation *operation)
{
    if (operation->opcode == OPCODE_GET)
        return reply_bytes(client->value_bytes);
    return reply_bytes(operation->opcode == OPCODE_INCR ? INCR_RESULT_BYTES : 0);
}

/* One datagram of the next operations in the outbox that fit together; its bytes, 0 if none may go. Examines
 * at most *left entries; those that wait go to the end of the outbox. */
static size_t fill_datagram(struct wild_client *client, uint8_t *out, unsigned *left, uint64_t now)
{
    struct message_writer writer;
    uint64_t history = 0;
    size_t answer_bytes = MESSAGE_HEADER_BYTES;
    message_begin(&writer, out + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX);
    while (*left > 0) {
        unsigned index = client->outbox.index[client->outbox.head];
        struct flight *flight = &client->flight[index];
        if (!may_go(client, flight)) {
            flight_queue_add(&client->outbox, flight_queue_take(&client->outbox));
            --*left;
            continue;
        }
        bool asks_history = flight->operation.flags & FLAG_MIN_LSN;
        uint64_t asked = flight->history != 0 ? flight->history : client->history;
        if (writer.count > 0 && (flight->alone || (asks_history && history != 0 && history != asked)))
            break;
        answer_bytes += likely_answer_bytes(client, &flight->operation);
        if (writer.count > 0 && answer_bytes > MESSAGE_BYTES_MAX)
            break; /* the rest would only be answered with MORE */
        if (message_add_operation(&writer, &flight->operation) != 0)
            break;
        if (asks_history)
            history = asked;
        flight_queue_take(&client->outbox);
        --*left;
        pipeline_sent(client, index, now);
        if (flight->alone)
            break;
    }
    if (writer.count == 0)
        return 0;
    struct message_header header = request_header(client, history);
    return seal(client, out, message_finish(&writer, &header));
}

void datagrams_flush(struct wild_client *client, uint64_t now)
{
    if (!client_may_seal(client))
        return;
    if (client->probe) {
        client->probe = false;
        send_probe(client);
    }
    unsigned left = client->outbox.count;
    while (left > 0) {
        struct mmsghdr messages[DATAGRAMS_PER_CALL];
        struct iovec parts[DATAGRAMS_PER_CALL];
        unsigned count = 0;
        while (left > 0 && count < DATAGRAMS_PER_CALL) {
            uint8_t *out = client->send_room[count];
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

static void take_message(struct wild_client *client, const uint8_t *bytes, size_t length, uint64_t now)
{
    struct message_reader reader;
    struct message_header header;
    if (message_open(&reader, &header, bytes, length, false) != 0 ||
        header.version != client->secrets->current.version)
        return;
    if (header.epoch > client->epoch)
        client->epoch = header.epoch;
    client->history = header.history;
    struct reply reply;
    while (message_next_reply(&reader, &reply) == 1)
        pipeline_answer(client, &reply, header.history, now);
}

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
        datagram_open(&session->receive, &client->received, session->version, bytes, length, &message,
                      &message_length) != 0) {
        client->statistics.datagrams_refused++;
        return;
    }
    client->statistics.datagrams_received++;
    client_session_alive(client, now);
    take_message(client, message, message_length, now);
}

void datagrams_receive(struct wild_client *client, uint64_t now)
{
    for (unsigned call = 0; call < RECEIVE_CALLS_MAX; call++) {
        struct mmsghdr messages[DATAGRAMS_PER_CALL];
        struct iovec parts[DATAGRAMS_PER_CALL];
        for (unsigned i = 0; i < DATAGRAMS_PER_CALL; i++) {
            parts[i] = (struct iovec){client->receive_room[i], RECEIVE_ROOM_BYTES};
            messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
        }
        int n = recvmmsg(client->fd, messages, DATAGRAMS_PER_CALL, MSG_DONTWAIT, NULL);
        if (n < 0 && errno == ECONNREFUSED) {
            client->refused = true;
            continue;
        }
        if (n <= 0)
            return;
        for (int i = 0; i < n; i++)
            take_datagram(client, client->receive_room[i], messages[i].msg_len, now);
        if (n < DATAGRAMS_PER_CALL)
            return;
    }
}

uint64_t datagrams_turn(struct wild_client *client, uint64_t now, uint64_t until_ns)
{
    datagrams_flush(client, now);
    uint64_t wake_ns = min_u64(until_ns, client->timer_ns);
    if (client->shake.state != SHAKE_IDLE)
        wake_ns = min_u64(wake_ns, client->shake.retry_ns);
    if (wake_ns > now) {
        uint64_t wait_ns = wake_ns - now;
        struct timespec wait = {.tv_sec = (time_t)(wait_ns / UINT64_C(1000000000)),
                                .tv_nsec = (long)(wait_ns % UINT64_C(1000000000))};
        struct pollfd descriptor = {.fd = client->fd, .events = POLLIN};
        ppoll(&descriptor, 1, &wait, NULL);
    }
    now = client_now();
    datagrams_receive(client, now);
    client_session_timer(client, now);
    pipeline_timer(client, now);
    datagrams_flush(client, now);
    return now;
}
