/* channel.c - handshake, records and messages of one replication session; the rules stand in channel.h. */
#include "channel.h"

#include <errno.h>
#include <string.h>

#include "check.h"

enum {
    /* What a reserve may ask for at most (link.h): any segment has that much. */
    LINK_LEAST_MAX = 524,
};
static_assert((int)HANDSHAKE_INIT_BYTES <= (int)LINK_LEAST_MAX &&
                  (int)HANDSHAKE_RESPONSE_BYTES <= (int)HANDSHAKE_INIT_BYTES &&
                  (int)HANDSHAKE_CONFIRM_BYTES <= (int)HANDSHAKE_INIT_BYTES &&
                  (int)HANDSHAKE_READY_BYTES <= (int)HANDSHAKE_INIT_BYTES,
              "a message of the handshake leaves whole, and `shake` holds any");
static_assert((int)RECORD_ROOM_BYTES < (int)LINK_LEAST_MAX, "a record of any message fits");

/* ---- ends ---- */

static void forget(struct channel *channel, enum channel_end end)
{
    channel->state = CHANNEL_ENDED;
    channel->end = (uint8_t)end;
    channel->head_bytes = channel->payload_bytes = channel->sent = 0;
    channel->payload = channel->long_head = NULL;
    channel->shake_bytes = 0;
    channel->have = channel->need = 0;
    channel->holding = false;
    keys_wipe(channel->config.session, sizeof *channel->config.session);
    handshake_end(&channel->client);
}

static bool is_alive(const struct channel *channel)
{
    return channel->state != CHANNEL_IDLE && channel->state != CHANNEL_ENDED;
}

static void end_now(struct channel *channel, enum channel_end end)
{
    forget(channel, end);
    channel->link.functions->abort(channel->link.stream);
}

static void end_in_order(struct channel *channel)
{
    forget(channel, CHANNEL_CLOSED);
    channel->link.functions->close(channel->link.stream);
}

/* ---- output ---- */

static uint8_t *reserve(const struct channel *channel, size_t least, size_t *room)
{
    return channel->link.functions->reserve(channel->link.stream, least, room);
}

static void commit(struct channel *channel, size_t length)
{
    channel->link.functions->commit(channel->link.stream, length);
    channel->fresh_bytes += length;
}

static bool send_shake(struct channel *channel)
{
    size_t room;
    uint8_t *out = reserve(channel, channel->shake_bytes, &room);
    if (out == NULL)
        return false;
    memcpy(out, channel->shake, channel->shake_bytes);
    commit(channel, channel->shake_bytes);
    channel->shake_bytes = 0;
    return true;
}

/*
 * What the next record is made of: `length` bytes. Those of the payload alone are sealed from where they stand; the head
 * and what follows it are brought together in the record's own place.
 */
static const uint8_t *record_content(const struct channel *channel, uint8_t *place, size_t length)
{
    size_t sent = channel->sent, head = channel->head_bytes;
    if (sent >= head)
        return channel->payload + (sent - head);
    const uint8_t *bytes = channel->long_head != NULL ? channel->long_head : channel->head;
    size_t of_head = head - sent < length ? head - sent : length;
    memcpy(place, bytes + sent, of_head);
    if (length > of_head)
        memcpy(place + of_head, channel->payload, length - of_head);
    return place;
}

/* Seals what there is room for, and commits just that: a record that was sealed must be sent. */
static bool send_record(struct channel *channel)
{
    size_t left = (size_t)channel->head_bytes + channel->payload_bytes - channel->sent, room;
    size_t least = left + RECORD_ROOM_BYTES;
    uint8_t *out = reserve(channel, least < LINK_LEAST_MAX ? least : LINK_LEAST_MAX, &room);
    if (out == NULL)
        return false;
    size_t length = room - RECORD_ROOM_BYTES;
    if (length > RECORD_MESSAGE_BYTES_MAX)
        length = RECORD_MESSAGE_BYTES_MAX;
    if (length > left)
        length = left;
    const uint8_t *content = record_content(channel, out + RECORD_HEADER_BYTES, length);
    commit(channel, record_seal(&channel->writer, content, length, out));
    channel->sent += (uint32_t)length;
    if (length == left) {
        channel->head_bytes = channel->payload_bytes = channel->sent = 0;
        channel->payload = channel->long_head = NULL;
    }
    return true;
}

static void send_close(struct channel *channel)
{
    size_t room;
    uint8_t *out = reserve(channel, RECORD_OVERHEAD_BYTES, &room);
    if (out == NULL)
        return;
    commit(channel, record_close(&channel->writer, out));
    end_in_order(channel);
}

static void send_all(struct channel *channel)
{
    if (channel->shake_bytes > 0 && !send_shake(channel))
        return;
    while (channel_sending(channel))
        if (!send_record(channel))
            return;
    if (channel->state == CHANNEL_CLOSING)
        send_close(channel);
}

size_t channel_turn(struct channel *channel)
{
    send_all(channel); /* nothing, where nothing has begun or all has ended */
    size_t bytes = channel->fresh_bytes;
    channel->fresh_bytes = 0;
    return bytes;
}

uint32_t channel_payload_sent(const struct channel *channel)
{
    return channel->sent > channel->head_bytes ? channel->sent - channel->head_bytes : 0;
}

void channel_send(struct channel *channel, const struct replication_message *message, const uint8_t *payload,
                  const struct replication_history *histories, uint8_t *long_head)
{
    CHECK(channel->state == CHANNEL_OPEN && !channel_sending(channel));
    CHECK(message->type != REPLICATION_WELCOME || long_head != NULL);
    uint8_t *head = long_head != NULL ? long_head : channel->head;
    channel->head_bytes = (uint32_t)replication_encode(head, message, histories);
    channel->long_head = long_head;
    channel->payload = payload;
    channel->payload_bytes = message->payload_bytes;
    channel->sent = 0;
    send_all(channel);
}

/* ---- handshake ---- */

static void shake(struct channel *channel, const uint8_t *bytes, size_t length, uint32_t expected)
{
    memmove(channel->shake, bytes, length);
    channel->shake_bytes = (uint32_t)length;
    channel->reader.expected = expected;
    send_all(channel);
}

static const struct role_keys *keys_in_use(const struct channel *channel)
{
    return channel->config.keys[channel->key_index];
}

static void open_channel(struct channel *channel)
{
    struct session_keys *session = channel->config.session;
    record_reader_key(&channel->reader, &session->receive);
    channel->writer = record_writer_start(&session->send, channel->reader.limits);
    handshake_end(&channel->client);
    channel->state = CHANNEL_OPEN;
    channel->shaken = true;
    channel->config.events->opened(channel->config.owner);
}

/* Which of the secrets made it: 0 with key_index set, or what handshake_init_check() says of the last. */
static int find_keys(struct channel *channel, const struct record_item *item, enum role *role)
{
    int outcome = -EBADMSG;
    uint32_t client_index;
    for (unsigned i = 0; i < 2 && channel->config.keys[i] != NULL; i++) {
        outcome = handshake_init_check(channel->config.keys[i], TRANSPORT_TCP, item->bytes, item->length,
                                       role, &client_index);
        channel->key_index = (uint8_t)i;
        if (outcome != -EBADMSG && outcome != -EACCES)
            break;
    }
    return outcome;
}

static void take_init(struct channel *channel, const struct record_item *item)
{
    const struct channel_config *config = &channel->config;
    enum role role;
    int outcome = find_keys(channel, item, &role);
    if (outcome == -EBADMSG || outcome == -EACCES || (outcome == 0 && role != ROLE_REPLICA)) {
        end_now(channel, CHANNEL_BAD_KEY);
        return;
    }
    if (outcome != 0) { /* made with our key, but nothing in common */
        end_now(channel, CHANNEL_NOT_IN_ORDER);
        return;
    }
    bool may = config->events->may_compute(config->owner);
    if (channel->state != CHANNEL_SHAKING)
        return;
    if (!may) {
        end_now(channel, CHANNEL_REFUSED);
        return;
    }
    uint8_t response[HANDSHAKE_RESPONSE_BYTES];
    uint32_t session;
    random_fill(config->random, &session, sizeof session);
    if (handshake_respond(keys_in_use(channel), config->identity, config->random, session, item->bytes,
                          response, config->session) != 0) {
        end_now(channel, CHANNEL_NOT_IN_ORDER);
        return;
    }
    shake(channel, response, sizeof response, RECORD_KIND_BIT(DATAGRAM_CONFIRM));
}

static void take_confirm(struct channel *channel, const struct record_item *item)
{
    uint8_t ready[HANDSHAKE_READY_BYTES];
    if (handshake_confirm_check(channel->config.session, item->bytes, item->length) != 0) {
        end_now(channel, CHANNEL_NOT_IN_ORDER);
        return;
    }
    handshake_ready(channel->config.session, ready);
    shake(channel, ready, sizeof ready, 0);
    open_channel(channel);
}

static void take_cookie(struct channel *channel, const struct record_item *item)
{
    if (handshake_take_cookie(&channel->client, keys_in_use(channel), item->bytes, item->length) != 0)
        end_now(channel, CHANNEL_BAD_KEY);
    else /* one will do */
        shake(channel, channel->client.init, HANDSHAKE_INIT_BYTES, RECORD_KIND_BIT(DATAGRAM_RESPONSE));
}

static void take_response(struct channel *channel, const struct record_item *item)
{
    uint8_t confirm[HANDSHAKE_CONFIRM_BYTES];
    struct handshake_identity server; /* WELCOME says it again, sealed */
    if (handshake_finish(&channel->client, keys_in_use(channel), item->bytes, item->length, confirm,
                         channel->config.session, &server) != 0)
        end_now(channel, CHANNEL_BAD_KEY);
    else
        shake(channel, confirm, sizeof confirm, RECORD_KIND_BIT(DATAGRAM_READY));
}

static void take_ready(struct channel *channel, const struct record_item *item)
{
    if (handshake_ready_check(channel->config.session, item->bytes, item->length) != 0)
        end_now(channel, CHANNEL_NOT_IN_ORDER);
    else
        open_channel(channel);
}

/* Only kinds that reader.expected has come here. */
static void take_handshake(struct channel *channel, const struct record_item *item)
{
    switch (item->kind) {
    case DATAGRAM_INIT:
        take_init(channel, item);
        break;
    case DATAGRAM_CONFIRM:
        take_confirm(channel, item);
        break;
    case DATAGRAM_COOKIE:
        take_cookie(channel, item);
        break;
    case DATAGRAM_RESPONSE:
        take_response(channel, item);
        break;
    default:
        take_ready(channel, item);
        break;
    }
}

/* Nothing that our key made has come yet. */
static bool peer_is_unknown(const struct channel *channel)
{
    return (channel->reader.expected &
            (RECORD_KIND_BIT(DATAGRAM_INIT) | RECORD_KIND_BIT(DATAGRAM_RESPONSE))) != 0;
}

void channel_start(struct channel *channel, const struct channel_config *config, const struct link *link)
{
    CHECK(!is_alive(channel) && config->receive_bytes >= REPLICATION_UPSTREAM_BYTES_MAX);
    CHECK(config->events->ready == NULL || config->held != NULL);
    bool other = channel->state == CHANNEL_ENDED && !channel->shaken && config->keys[1] != NULL;
    uint8_t key_index = config->keys[1] == NULL ? 0 : (uint8_t)(channel->key_index ^ other);
    channel->config = *config;
    channel->link = *link;
    channel->state = CHANNEL_SHAKING;
    channel->end = CHANNEL_LIVES;
    channel->key_index = key_index;
    channel->shaken = false;
    channel->fresh_bytes = 0;
    uint32_t expected = config->server
                            ? RECORD_KIND_BIT(DATAGRAM_INIT)
                            : RECORD_KIND_BIT(DATAGRAM_COOKIE) | RECORD_KIND_BIT(DATAGRAM_RESPONSE);
    channel->reader =
        record_reader_start(expected, config->limits != NULL ? config->limits : &record_limits_default);
    record_reader_lend(&channel->reader, channel->record, sizeof channel->record);
    if (config->server)
        return;
    if (handshake_start(&channel->client, keys_in_use(channel), ROLE_REPLICA, TRANSPORT_TCP, SUITE_ALL,
                        config->random) != 0)
        end_now(channel, CHANNEL_BAD_KEY); /* the secret is a client's */
    else
        shake(channel, channel->client.init, HANDSHAKE_INIT_BYTES, expected);
}

/* ---- input ---- */

/* Gives the message to the owner, unless it is not ready. */
static bool deliver(struct channel *channel, const uint8_t *bytes, size_t length)
{
    const struct channel_events *events = channel->config.events;
    struct replication_message message;
    if (events->ready != NULL && !events->ready(channel->config.owner))
        return false;
    if (replication_decode(&message, bytes, length) != 0)
        end_now(channel, CHANNEL_NOT_IN_ORDER);
    else
        events->message(channel->config.owner, &message);
    return true;
}

/* The message that was gathered. */
static bool deliver_gathered(struct channel *channel)
{
    uint32_t whole = channel->need;
    channel->have = channel->need = 0;
    if (deliver(channel, channel->config.receive, whole))
        return true;
    channel->have = channel->need = whole;
    return false;
}

/* The length of the message that begins with these bytes. False: it cannot be one, and the channel has ended. */
static bool learn_length(struct channel *channel, const uint8_t *header)
{
    channel->need = replication_length(header, channel->config.receive_bytes);
    if (channel->need == 0)
        end_now(channel, CHANNEL_NOT_IN_ORDER);
    return channel->need != 0;
}

/* Moves bytes into `receive` until there are `wanted`, or no more. */
static bool gather(struct channel *channel, const uint8_t **at, const uint8_t *end, uint32_t wanted)
{
    size_t take = (size_t)(end - *at), missing = wanted - channel->have;
    if (take > missing)
        take = missing;
    memcpy(channel->config.receive + channel->have, *at, take);
    channel->have += (uint32_t)take;
    *at += take;
    return channel->have == wanted;
}

/* What a record brought, up to where the owner is not ready: returns how much that is. A message that is whole in it is
 * given as it stands there. */
static size_t take_content(struct channel *channel, const uint8_t *content, size_t length)
{
    const uint8_t *at = content, *end = at + length;
    while (at < end && channel->state == CHANNEL_OPEN) {
        size_t left = (size_t)(end - at);
        if (channel->have == 0 && left >= REPLICATION_HEADER_BYTES) {
            if (!learn_length(channel, at))
                break;
            if (left >= channel->need) {
                uint32_t whole = channel->need;
                channel->need = 0;
                if (!deliver(channel, at, whole)) {
                    channel->holding = true;
                    break;
                }
                at += whole;
                continue;
            }
        }
        if (channel->need == 0) {
            if (gather(channel, &at, end, REPLICATION_HEADER_BYTES) &&
                !learn_length(channel, channel->config.receive))
                break;
            continue;
        }
        if (gather(channel, &at, end, channel->need) && !deliver_gathered(channel)) {
            channel->holding = true;
            break;
        }
    }
    return (size_t)(at - content);
}

/* A record's content comes: what of it is not taken is held. */
static void take_message(struct channel *channel, const uint8_t *content, size_t length)
{
    size_t taken = take_content(channel, content, length);
    if (!channel->holding)
        return;
    channel->held_at = 0;
    channel->held_end = (uint32_t)(length - taken);
    memcpy(channel->config.held, content + taken, length - taken);
}

bool channel_resume(struct channel *channel)
{
    if (!channel->holding)
        return true;
    channel->holding = false;
    if (channel->state != CHANNEL_OPEN)
        return true;
    if (channel->need != 0 && channel->have == channel->need && !deliver_gathered(channel))
        channel->holding = true;
    else if (channel->state == CHANNEL_OPEN)
        channel->held_at += (uint32_t)take_content(channel, channel->config.held + channel->held_at,
                                                   channel->held_end - channel->held_at);
    return !channel->holding;
}

size_t channel_received(struct channel *channel, uint8_t *bytes, size_t length)
{
    uint8_t *at = bytes;
    if (!channel_resume(channel))
        return 0;
    while (!channel->holding && (channel->state == CHANNEL_SHAKING || channel->state == CHANNEL_OPEN)) {
        struct record_item item;
        bool unknown = peer_is_unknown(channel); /* before the reader forgets what it expected */
        switch (record_next(&channel->reader, &at, bytes + length, &item)) {
        case RECORD_HANDSHAKE:
            take_handshake(channel, &item);
            break;
        case RECORD_MESSAGE:
            take_message(channel, item.bytes, item.length);
            break;
        case RECORD_REKEYED:
            break;
        case RECORD_CLOSED:
            end_in_order(channel);
            break;
        case RECORD_NEEDS_BYTES:
            return length;
        default:
            end_now(channel, unknown ? CHANNEL_BAD_KEY : CHANNEL_NOT_IN_ORDER);
            break;
        }
    }
    return channel->holding ? (size_t)(at - bytes) : length;
}

/* ---- the owner's ends ---- */

void channel_close(struct channel *channel)
{
    if (channel->state == CHANNEL_SHAKING) {
        end_in_order(channel);
    } else if (channel->state == CHANNEL_OPEN) {
        channel->state = CHANNEL_CLOSING;
        send_all(channel);
    }
}

void channel_abort(struct channel *channel)
{
    if (is_alive(channel))
        end_now(channel, CHANNEL_CLOSED);
}

void channel_gone(struct channel *channel)
{
    if (is_alive(channel))
        forget(channel, channel->state == CHANNEL_CLOSING ? CHANNEL_CLOSED : CHANNEL_CUT);
}
