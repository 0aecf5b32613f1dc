#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/seeded.h"
#include "cluster.h"
#include "linear.h"

enum {
    CLIENT_PORTS = 41000,
    TRIES = 8, /* of a request, and of a handshake's messages */
    FINAL_TRIES = 200,
};
#define RETRY_NS UINT64_C(100000000)

/* ---- sessions ---- */

static void say(struct cluster *c, const struct client *client, unsigned node, const uint8_t *bytes,
                size_t length)
{
    hub_client_send(&c->hub, node, (uint16_t)(CLIENT_PORTS + (client - c->client)), bytes, length);
}

static void session_begin(struct cluster *c, struct session *session)
{
    struct random_source random = seeded_source(&c->hub.entropy);

    memset(session, 0, sizeof *session);
    session->next_request_id = 1;
    must(c,
         handshake_start(&session->handshake, &c->keys, ROLE_CLIENT, TRANSPORT_UDP, SUITE_MAC, &random) == 0,
         "no handshake can be begun");
    session->phase = SESSION_INIT;
}

static void send_request(struct cluster *c, struct client *client, unsigned node)
{
    struct session *session = &client->session[node];
    struct message_header header = {
        .version = session->keys.version, .count = 1, .history = client->asked_history};
    struct message_writer writer;
    uint8_t out[DATAGRAM_BYTES_MAX];
    size_t length;

    must(c,
         message_begin(&writer, out + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX) == 0 &&
             message_add_operation(&writer, &client->operation) == 0,
         "a request cannot be written");
    length = datagram_seal(&session->keys.send, 0, session->keys.version, session->keys.session,
                           session->counter++, out, message_finish(&writer, &header));
    say(c, client, node, out, length);
}

/* Says what it has to say in this phase, once more. */
static void speak(struct cluster *c, struct client *client)
{
    struct call *call = &c->call[client->at];
    struct session *session = &client->session[call->node];

    switch (session->phase) {
    case SESSION_INIT:
        say(c, client, call->node, session->handshake.init, HANDSHAKE_INIT_BYTES);
        break;
    case SESSION_CONFIRM:
        say(c, client, call->node, session->confirm, sizeof session->confirm);
        break;
    case SESSION_READY:
        if (client->operation.request_id == 0)
            client->operation.request_id = session->next_request_id++;
        else
            call->once = false;
        call->once &= c->hub.faults.repeat_percent == 0;
        send_request(c, client, call->node);
        break;
    default:
        break;
    }
    client->tries++;
    client->due_ns = c->hub.now.mono_ns + RETRY_NS;
}

/* ---- calls ---- */

static void note(struct client *client, unsigned key, uint64_t value, uint64_t version, uint64_t history)
{
    if (version < client->known_version[key] && version != 0)
        return;
    client->known[key] = value;
    client->known_version[key] = version;
    client->known_history[key] = history;
}

/* Who answers that it does not lead may say who does: "198.18.0.N:port". */
static void look_elsewhere(struct cluster *c, struct client *client, const struct reply *reply)
{
    unsigned from = c->call[client->at].node;

    if (reply != NULL && reply->status == STATUS_NOT_PRIMARY && reply->value_length > 10 &&
        memcmp(reply->value, "198.18.0.", 9) == 0 && below(c, 4) != 0) {
        client->leader = (unsigned)(reply->value[9] - '1') % c->nodes;
        return;
    }
    client->leader = (from + 1 + (unsigned)below(c, c->nodes)) % c->nodes;
}

static void end_call(struct cluster *c, struct client *client, enum call_end end)
{
    struct call *call = &c->call[client->at];

    call->end = (uint8_t)end;
    call->returned = c->hub.steps;
    client->busy = false;
    client->due_ns = c->hub.now.mono_ns + (below(c, 8) == 0 ? below(c, 40000000) : 0);
    if (end == CALL_ANSWERED && call->status == STATUS_OK && call->kind != CALL_INCR &&
        call->kind != CALL_COUNT)
        note(client, call->key, call->value, call->version, call->history);
    if (call->status == STATUS_LOST) /* it has been told, and goes on from what there is */
        note(client, call->key, 0, 0, 0);
    journal_ended(c, call);
}

static void take_reply(struct cluster *c, struct client *client, const struct reply *reply)
{
    struct call *call = &c->call[client->at];

    call->status = reply->status;
    call->version = reply->version;
    call->history = client->session[call->node].history;
    switch (reply->status) {
    case STATUS_OK:
        if (call->kind == CALL_GET) {
            must(c, reply->value_length >= sizeof call->value, "a value is too short");
            memcpy(&call->value, reply->value, sizeof call->value);
        } else if (call->kind == CALL_INCR) {
            must(c, reply->value_length == sizeof call->value, "an INCR's result has %u bytes",
                 reply->value_length);
            memcpy(&call->value, reply->value, sizeof call->value);
        } else if (call->kind == CALL_COUNT) {
            char text[32] = {0};

            must(c, reply->value_length < sizeof text, "a counter has %u bytes", reply->value_length);
            memcpy(text, reply->value, reply->value_length);
            call->value = strtoull(text, NULL, 10);
        }
        end_call(c, client, CALL_ANSWERED);
        break;
    case STATUS_NOT_FOUND:
    case STATUS_EXISTS:
    case STATUS_VERSION_MISMATCH:
        end_call(c, client, CALL_ANSWERED);
        break;
    case STATUS_TIMEOUT:
        end_call(c, client, CALL_UNKNOWN);
        break;
    case STATUS_NOT_PRIMARY:
    case STATUS_READ_ONLY:
        look_elsewhere(c, client, reply);
        /* fall through */
    case STATUS_BUSY:
    case STATUS_STALE:
    case STATUS_LOST:
        /* An earlier copy may be executed all the same. */
        end_call(c, client, call->once || call->kind == CALL_GET ? CALL_REFUSED : CALL_UNKNOWN);
        client->due_ns = c->hub.now.mono_ns + below(c, 20000000);
        break;
    default:
        fail(c, "a call of kind %u is answered %s by node %u", call->kind, status_name(reply->status),
             call->node);
    }
}

static void give_up(struct cluster *c, struct client *client)
{
    struct call *call = &c->call[client->at];
    bool said = client->operation.request_id != 0;

    client->session[call->node].phase = SESSION_NONE;
    if (call->kind != CALL_GET)
        look_elsewhere(c, client, NULL);
    end_call(c, client, said ? CALL_UNKNOWN : CALL_REFUSED);
}

static void name_key(struct client *client, const char *what, unsigned number)
{
    snprintf(client->key, sizeof client->key, "%s%u", what, number);
    client->operation.key = (const uint8_t *)client->key;
    client->operation.key_length = (uint8_t)strlen(client->key);
}

static void choose_value(struct cluster *c, struct client *client, struct call *call)
{
    call->value = c->next_value++;
    memset(client->value, (int)call->value, sizeof client->value);
    memcpy(client->value, &call->value, sizeof call->value);
    client->operation.value = client->value;
    client->operation.value_length =
        (uint16_t)(sizeof call->value + below(c, VALUE_MAX - sizeof call->value));
    client->operation.ttl_ms = below(c, 4) == 0 ? 3600000 : 0;
    journal_note(c, call->key, call->value);
}

static struct call *new_call(struct cluster *c, struct client *client, enum call_kind kind, unsigned node)
{
    if (c->calls == c->calls_room) {
        c->calls_room = c->calls_room == 0 ? 1024 : 2 * c->calls_room;
        c->call = realloc(c->call, c->calls_room * sizeof c->call[0]);
        must(c, c->call != NULL, "no memory");
    }
    client->at = c->calls++;
    client->busy = true;
    client->tries = 0;
    client->due_ns = 0;
    client->operation = (struct operation){0};
    client->asked_history = 0;
    c->call[client->at] = (struct call){.invoked = c->hub.steps,
                                        .returned = LINEAR_NEVER,
                                        .kind = (uint8_t)kind,
                                        .client = (uint8_t)(client - c->client),
                                        .node = (uint8_t)node,
                                        .once = true};
    return &c->call[client->at];
}

static void begin_count(struct cluster *c, struct client *client)
{
    static const uint8_t one[16] = {1}; /* delta 1, initial 0 */
    struct call *call = new_call(c, client, CALL_INCR, client->leader);

    call->key = (uint16_t)below(c, COUNTERS);
    client->operation.opcode = OPCODE_INCR;
    client->operation.value = one;
    client->operation.value_length = sizeof one;
    name_key(client, "counter", call->key);
    c->counts.incrs++;
}

static void begin_read(struct cluster *c, struct client *client, unsigned node, unsigned key)
{
    struct call *call = new_call(c, client, CALL_GET, node);

    call->key = (uint16_t)key;
    client->operation.opcode = OPCODE_GET;
    name_key(client, "key", key);
    if (below(c, 2) == 0) {
        client->operation.flags = FLAG_MIN_LSN;
        client->operation.version = call->asked = client->known_version[key];
        client->asked_history = client->known_history[key];
    }
    c->counts.reads++;
}

static void begin_write(struct cluster *c, struct client *client, unsigned key)
{
    unsigned dice = (unsigned)below(c, 12);
    enum call_kind kind = dice == 0                             ? CALL_DELETE
                          : dice == 1                           ? CALL_ADD
                          : dice < 4 && client->known[key] != 0 ? CALL_CHANGE
                                                                : CALL_SET;
    struct call *call = new_call(c, client, kind, client->leader);

    call->key = (uint16_t)key;
    name_key(client, "key", key);
    client->operation.opcode = kind == CALL_DELETE ? OPCODE_DELETE : OPCODE_SET;
    if (kind != CALL_DELETE)
        choose_value(c, client, call);
    if (kind == CALL_ADD)
        client->operation.flags = FLAG_IF_ABSENT;
    if (kind == CALL_CHANGE) {
        client->operation.flags = FLAG_IF_VERSION;
        call->expected = client->known[key];
        client->operation.version = call->asked = client->known_version[key];
    }
    c->counts.writes++;
}

static unsigned any_key(struct cluster *c, const struct client *client)
{
    if (below(c, 3) != 0)
        return (unsigned)below(c, SHARED_KEYS);
    return SHARED_KEYS + (unsigned)(client - c->client) * OWN_KEYS + (unsigned)below(c, OWN_KEYS);
}

static void begin_call(struct cluster *c, struct client *client)
{
    unsigned key = any_key(c, client);

    client->left--;
    switch (below(c, 8)) {
    case 0:
        begin_count(c, client);
        break;
    case 1:
    case 2:
        begin_read(c, client, (unsigned)below(c, c->nodes), key);
        break;
    case 3:
        begin_read(c, client, client->leader, key);
        break;
    default:
        begin_write(c, client, key);
        break;
    }
}

/* ---- turns ---- */

static void client_turn(struct cluster *c, struct client *client)
{
    if (c->hub.now.mono_ns < client->due_ns)
        return;
    if (!client->busy) {
        if (client->left == 0)
            return;
        begin_call(c, client);
    }
    struct session *session = &client->session[c->call[client->at].node];
    if (client->tries > 0 && session->broken)
        client->tries = TRIES;
    if (client->tries == TRIES) {
        give_up(c, client);
        return;
    }
    if (session->phase == SESSION_NONE || session->broken)
        session_begin(c, session);
    speak(c, client);
}

void clients_turn(struct cluster *c)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        client_turn(c, &c->client[i]);
}

bool clients_idle(const struct cluster *c)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (c->client[i].busy || c->client[i].left > 0)
            return false;
    return true;
}

void clients_note_death(struct cluster *c, unsigned node)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        c->client[i].session[node].broken = true;
}

/* ---- what comes ---- */

static void take_data(struct cluster *c, struct client *client, struct session *session, const uint8_t *bytes,
                      size_t length)
{
    uint8_t copy[DATAGRAM_BYTES_MAX], *message;
    struct message_reader reader;
    struct message_header header;
    struct reply reply;
    size_t message_length;

    memcpy(copy, bytes, length);
    if (datagram_open(&session->keys.receive, &session->replay, session->keys.version, copy, length, &message,
                      &message_length) != 0 ||
        message_open(&reader, &header, message, message_length, false) != 0 ||
        message_next_reply(&reader, &reply) != 1)
        return;
    if (!client->busy || client->operation.request_id != reply.request_id)
        return;
    session->history = header.history;
    take_reply(c, client, &reply);
}

static void take_datagram(void *state, unsigned node, uint16_t port, const uint8_t *bytes, size_t length)
{
    struct cluster *c = state;
    struct client *client = &c->client[(port - CLIENT_PORTS) % CLIENTS];
    struct session *session = &client->session[node];
    struct handshake_identity server;

    switch (session->phase) {
    case SESSION_INIT:
        if (handshake_take_cookie(&session->handshake, &c->keys, bytes, length) == 0)
            break;
        if (handshake_finish(&session->handshake, &c->keys, bytes, length, session->confirm, &session->keys,
                             &server) != 0)
            return;
        session->phase = SESSION_CONFIRM;
        break;
    case SESSION_CONFIRM:
        if (handshake_ready_check(&session->keys, bytes, length) != 0)
            return;
        handshake_end(&session->handshake);
        session->phase = SESSION_READY;
        break;
    case SESSION_READY:
        if (client->busy && c->call[client->at].node == node)
            take_data(c, client, session, bytes, length);
        return;
    default:
        return;
    }
    if (client->busy && c->call[client->at].node == node) {
        client->tries = 0;
        client->due_ns = 0;
    }
}

void clients_start(struct cluster *c, const char *secret)
{
    char error[256];

    must(c, keys_from_secret(&c->keys, secret, strlen(secret), "wild", error, sizeof error) == 0, "%s",
         error);
    c->hub.listener = take_datagram;
    c->hub.listener_state = c;
}

/* ---- at the end ---- */

static void finish_call(struct cluster *c, struct client *client)
{
    while (client->busy)
        pass_ms(c, 1);
}

unsigned clients_read(struct cluster *c, unsigned node, unsigned key)
{
    struct client *client = &c->client[0];

    for (unsigned tries = 0; tries < FINAL_TRIES; tries++) {
        begin_read(c, client, node, key);
        finish_call(c, client);
        if (c->call[client->at].end == CALL_ANSWERED)
            return client->at;
    }
    fail(c, "node %u does not answer though all is well", node);
}

uint64_t clients_count(struct cluster *c, unsigned node, unsigned counter)
{
    struct client *client = &c->client[0];

    for (unsigned tries = 0; tries < FINAL_TRIES; tries++) {
        struct call *call = new_call(c, client, CALL_COUNT, node);

        call->key = (uint16_t)counter;
        client->operation.opcode = OPCODE_GET;
        name_key(client, "counter", counter);
        finish_call(c, client);
        if (c->call[client->at].end == CALL_ANSWERED)
            return c->call[client->at].value;
    }
    fail(c, "node %u does not answer though all is well", node);
}
