/*
 * stream_records.c - messages in records, over a connection's socket: written as far as the kernel takes
 * them, read in whatever parts they come, and replies matched with what is due.
 *
 * Replies come in order, one record for each record sent and one reply for each of its operations. So each
 * operation sent stands in a ring until its reply comes, also when nobody waits for it any more, and a reply
 * that is not exactly the next one due ends the connection: it could only be given to the wrong request.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

enum { READS_MAX = 16 }; /* a flood must not keep a caller past its time-out */

/* ---- out ---- */

/* Room for `bytes` more at the end of send_room, or NULL. */
static uint8_t *room_for(struct stream *stream, size_t bytes)
{
    if (SEND_ROOM_BYTES - stream->send_end < bytes && stream->send_at > 0) {
        memmove(stream->send_room, stream->send_room + stream->send_at, stream->send_end - stream->send_at);
        stream->send_end -= stream->send_at;
        stream->send_at = 0;
    }
    return SEND_ROOM_BYTES - stream->send_end < bytes ? NULL : stream->send_room + stream->send_end;
}

static void room_take(struct wild_client *client, size_t bytes)
{
    client->stream.send_end += bytes;
    client->stream.made += bytes;
    client->statistics.datagrams_sent++;
}

void client_stream_put(struct wild_client *client, const void *bytes, size_t length)
{
    uint8_t *out = room_for(&client->stream, length);
    if (out == NULL)
        return; /* a handshake's few messages always fit */
    memcpy(out, bytes, length);
    room_take(client, length);
}

static void due_add(struct stream *stream, struct answer_due due)
{
    stream->due[(stream->due_head + stream->due_count++) % ANSWERS_DUE_MAX] = due;
}

void client_stream_seal_probe(struct wild_client *client, uint64_t now)
{
    struct stream *stream = &client->stream;
    uint8_t *out = room_for(stream, RECORD_MESSAGE_BYTES_MAX + RECORD_ROOM_BYTES);
    if (out == NULL || stream->due_count == ANSWERS_DUE_MAX)
        return; /* then answers are due, and are sign enough when they come */
    size_t length = messages_probe(client, out + RECORD_HEADER_BYTES, PROBE_ID);
    room_take(client, record_seal(&stream->writer, out + RECORD_HEADER_BYTES, length, out));
    due_add(stream, (struct answer_due){
                        .request_id = PROBE_ID, .sent_ns = now, .opcode = OPCODE_HEALTH, .last = true});
}

/* One record of what is next in the outbox; false when there is no room, or nothing may go. */
static bool seal_next(struct wild_client *client, unsigned *left, uint64_t now)
{
    struct stream *stream = &client->stream;
    struct message_load load;
    uint8_t *out = room_for(stream, RECORD_MESSAGE_BYTES_MAX + RECORD_ROOM_BYTES);
    if (out == NULL || stream->due_count + FLIGHTS_MAX > ANSWERS_DUE_MAX)
        return false;
    size_t length = messages_fill(client, out + RECORD_HEADER_BYTES, !stream->doubted, left, &load);
    if (length == 0)
        return false;
    uint64_t record_end = stream->made + RECORD_OVERHEAD_BYTES + length; /* a REKEY may follow */
    room_take(client, record_seal(&stream->writer, out + RECORD_HEADER_BYTES, length, out));
    for (unsigned i = 0; i < load.count; i++) {
        struct flight *flight = &client->flight[load.index[i]];
        flight->record_end = record_end;
        due_add(stream, (struct answer_due){.request_id = flight->operation.request_id,
                                            .sent_ns = now,
                                            .opcode = flight->operation.opcode,
                                            .last = i + 1 == load.count});
        pipeline_sent(client, load.index[i], now);
    }
    return true;
}

void client_stream_write(struct wild_client *client, uint64_t now)
{
    struct stream *stream = &client->stream;
    while (stream->send_at < stream->send_end) {
        ssize_t n = send(client->fd, stream->send_room + stream->send_at, stream->send_end - stream->send_at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            stream->send_at += (size_t)n;
            stream->written += (uint64_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            break;
        } else if (n < 0 && errno != EINTR) {
            int reason = -errno;
            client_stream_receive(client, now); /* answers that came before the end are good */
            client_stream_lose(client, reason, now);
            return;
        }
    }
    if (stream->send_at == stream->send_end)
        stream->send_at = stream->send_end = 0;
    client_stream_watch(client);
}

void client_stream_send_records(struct wild_client *client, uint64_t now)
{
    unsigned left = client->outbox.count;
    do {
        while (left > 0 && seal_next(client, &left, now))
            ;
        client_stream_write(client, now);
        /* What the kernel took made room for more. */
    } while (left > 0 && client->stream.state == STREAM_LIVE && client->stream.send_end == 0 &&
             !client->stream.doubted && client->stream.due_count + FLIGHTS_MAX <= ANSWERS_DUE_MAX);
}

void client_stream_seal_close(struct wild_client *client)
{
    uint8_t *out = room_for(&client->stream, RECORD_OVERHEAD_BYTES);
    if (out != NULL)
        room_take(client, record_close(&client->stream.writer, out));
}

/* ---- in ---- */

/* Whether a message is, whole and valid, the replies to the oldest record that is due. */
static bool answers_what_is_due(const struct wild_client *client, const struct record_item *item)
{
    const struct stream *stream = &client->stream;
    struct message_reader reader;
    struct message_header header;
    struct reply reply;
    if (message_open(&reader, &header, item->bytes, item->length, false) != 0 ||
        header.version != client->secrets->current.version || header.count > stream->due_count)
        return false;
    for (unsigned i = 0; i < header.count; i++) {
        const struct answer_due *due = &stream->due[(stream->due_head + i) % ANSWERS_DUE_MAX];
        if (message_next_reply(&reader, &reply) != 1 || reply.request_id != due->request_id ||
            reply.opcode != due->opcode || due->last != (i + 1 == header.count))
            return false;
    }
    return message_next_reply(&reader, &reply) == 0;
}

static bool take_answers(struct wild_client *client, const struct record_item *item, uint64_t now)
{
    struct stream *stream = &client->stream;
    if (!answers_what_is_due(client, item))
        return false;
    bool last;
    do {
        last = stream->due[stream->due_head].last;
        stream->due_head = (stream->due_head + 1) % ANSWERS_DUE_MAX;
        stream->due_count--;
    } while (!last);
    stream->heard_ns = now;
    stream->served = true;
    stream->doubted = false;
    messages_take(client, item->bytes, item->length, now);
    return true;
}

/* False when the connection has ended. */
static bool take_bytes(struct wild_client *client, uint8_t *at, const uint8_t *end, uint64_t now)
{
    struct stream *stream = &client->stream;
    for (;;) {
        struct record_item item;
        bool in_order = false;
        switch (record_next(&stream->reader, &at, end, &item)) {
        case RECORD_NEEDS_BYTES:
            return true;
        case RECORD_HANDSHAKE:
            in_order = client_stream_take_handshake(client, &item, now);
            break;
        case RECORD_MESSAGE:
            in_order = take_answers(client, &item, now);
            break;
        case RECORD_REKEYED:
            in_order = true;
            break;
        case RECORD_CLOSED: /* the node has said that it is the end: no accident, but the end all the same */
            client->statistics.datagrams_received++;
            client_stream_lose(client, -ECONNRESET, now);
            return false;
        case RECORD_NEEDS_BUFFER: /* no record is larger than the one it has */
        case RECORD_REFUSED:
            break;
        }
        if (!in_order) {
            client->statistics.datagrams_refused++;
            client_stream_lose(client, -EPROTO, now);
            return false;
        }
        client->statistics.datagrams_received++;
    }
}

void client_stream_receive(struct wild_client *client, uint64_t now)
{
    struct stream *stream = &client->stream;
    if (stream->state == STREAM_DOWN || !client_stream_is_ours(client))
        return;
    if (stream->state == STREAM_CONNECTING && !client_stream_connected(client, now))
        return;
    for (unsigned reads = 0; reads < READS_MAX; reads++) {
        ssize_t n = recv(client->fd, stream->read_room, READ_ROOM_BYTES, MSG_DONTWAIT);
        if (n > 0) {
            if (!take_bytes(client, stream->read_room, stream->read_room + n, now) || n < READ_ROOM_BYTES)
                return;
        } else if (n == 0) {
            client_stream_lose(client, -ECONNRESET, now);
            return;
        } else if (errno != EINTR) {
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                client_stream_lose(client, -errno, now);
            return;
        }
    }
}
