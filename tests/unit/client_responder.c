#include "client_responder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "handshake.h"
#include "seeded.h"

enum { ITEMS_MAX = 2048, REPLIES_MAX = 256 };

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

/* Everything behind `lock`: writer and reader are the thread and the test. */
struct responder {
    pthread_t thread;
    pthread_mutex_t lock;
    int fd;
    bool stop;
    char endpoint[80];
    struct role_keys keys;
    struct handshake_identity identity;
    struct random_source random;
    struct cookie_secrets cookies;
    struct responder_orders orders;

    struct session_keys pending;
    bool has_pending;
    struct session session;
    uint32_t next_session;
    uint64_t lsn, datagrams;
    unsigned handshake_datagrams, sessions, closes;

    struct item items[ITEMS_MAX];
    unsigned item_count;
    struct outcome outcomes[RETRY_WINDOW_IDS];
    uint64_t entropy;
    unsigned gets;
    uint8_t damaged[VALUE_BYTES_MAX];

    struct responder_entry log[RESPONDER_LOG_MAX];
    unsigned log_count;

    struct {
        size_t length;
        uint8_t bytes[DATAGRAM_BYTES_MAX];
    } replies[REPLIES_MAX];
    unsigned reply_count, held_count;
    struct sockaddr_storage peer;
    socklen_t peer_bytes;
};

/* ---- the store ---- */

static struct item *item_find(struct responder *r, const struct operation *operation)
{
    for (unsigned i = 0; i < r->item_count; i++)
        if (r->items[i].key_length == operation->key_length &&
            memcmp(r->items[i].key, operation->key, operation->key_length) == 0)
            return &r->items[i];
    return NULL;
}

static void item_store(struct responder *r, struct item *item, const struct operation *operation,
                       const void *value, uint16_t length)
{
    if (item == NULL) {
        if (r->item_count == ITEMS_MAX)
            abort();
        item = &r->items[r->item_count++];
        item->key_length = operation->key_length;
        memcpy(item->key, operation->key, operation->key_length);
    }
    if (length > 0)
        memcpy(item->value, value, length);
    item->value_length = length;
    item->version = ++r->lsn;
}

static enum status conditions(const struct operation *operation, const struct item *item)
{
    if ((operation->flags & FLAG_IF_ABSENT) && item != NULL)
        return STATUS_EXISTS;
    if ((operation->flags & (FLAG_IF_PRESENT | FLAG_IF_VERSION)) && item == NULL)
        return STATUS_NOT_FOUND;
    if ((operation->flags & FLAG_IF_VERSION) && item->version != operation->version)
        return STATUS_VERSION_MISMATCH;
    return STATUS_OK;
}

static void execute_write(struct responder *r, const struct operation *operation, struct outcome *out)
{
    struct item *item = item_find(r, operation);
    out->status = conditions(operation, item);
    if (out->status != STATUS_OK) {
        out->version = item != NULL ? item->version : 0;
        return;
    }
    int64_t delta, integer;
    char digits[DECIMAL_BYTES_MAX + 1];
    switch (operation->opcode) {
    case OPCODE_SET:
        item_store(r, item, operation, operation->value, operation->value_length);
        break;
    case OPCODE_INCR:
        incr_operand_decode(operation->value, operation->value_length, &delta, &integer);
        if (item != NULL) {
            memcpy(digits, item->value, item->value_length < sizeof(digits) ? item->value_length : 20);
            digits[item->value_length < sizeof(digits) ? item->value_length : 20] = '\0';
            integer = strtoll(digits, NULL, 10);
        }
        out->integer = integer + delta;
        item_store(r, item, operation, digits,
                   (uint16_t)snprintf(digits, sizeof(digits), "%lld", (long long)out->integer));
        break;
    case OPCODE_TOUCH:
        if (item == NULL)
            out->status = STATUS_NOT_FOUND;
        else
            item->version = ++r->lsn;
        break;
    case OPCODE_DELETE:
        if (item == NULL)
            out->status = STATUS_NOT_FOUND;
        else
            *item = r->items[--r->item_count], ++r->lsn;
        break;
    case OPCODE_FLUSH:
        r->item_count = 0;
        ++r->lsn;
        break;
    default:
        out->status = STATUS_BAD_REQUEST;
    }
    out->version = r->lsn;
}

static bool is_write(unsigned opcode)
{
    return opcode >= OPCODE_SET && opcode <= OPCODE_FLUSH;
}

/* False: no answer (parked). */
static bool answer_write(struct responder *r, const struct operation *operation, struct reply *reply,
                         uint8_t value[INCR_RESULT_BYTES], bool *executed)
{
    struct outcome *outcome = &r->outcomes[operation->request_id % RETRY_WINDOW_IDS];
    *executed = false;
    if (outcome->request_id > operation->request_id) {
        reply->status = STATUS_TIMEOUT; /* below the window */
        return true;
    }
    if (outcome->request_id != operation->request_id) {
        if (r->orders.busy > 0) {
            r->orders.busy--;
            reply->status = STATUS_BUSY;
            return true;
        }
        *outcome = (struct outcome){.request_id = operation->request_id};
        outcome->parked = r->orders.park_first_write;
        r->orders.park_first_write = false;
        execute_write(r, operation, outcome);
        *executed = true;
    }
    reply->status = outcome->status;
    reply->version = outcome->version;
    if (operation->opcode == OPCODE_INCR && outcome->status == STATUS_OK) {
        incr_result_encode(value, outcome->integer);
        reply->value = value;
        reply->value_length = INCR_RESULT_BYTES;
    }
    return !r->orders.park_writes && !outcome->parked;
}

static void answer_read(struct responder *r, const struct operation *operation, struct reply *reply,
                        uint8_t health_bytes[HEALTH_REPLY_BYTES])
{
    if (operation->opcode == OPCODE_HEALTH) {
        struct health health = {.lsn = r->lsn, .items = r->item_count, .capacity = ITEMS_MAX, .epoch = 7};
        health_encode(health_bytes, &health);
        reply->value = health_bytes;
        reply->value_length = HEALTH_REPLY_BYTES;
        return;
    }
    if (r->orders.busy > 0) {
        r->orders.busy--;
        reply->status = STATUS_BUSY;
        return;
    }
    struct item *item = item_find(r, operation);
    if (item == NULL) {
        reply->status = STATUS_NOT_FOUND;
    } else if ((operation->flags & FLAG_MIN_LSN) && operation->version > r->lsn) {
        reply->status = STATUS_STALE;
    } else {
        reply->value = item->value;
        reply->value_length = item->value_length;
        reply->version = item->version;
        if (r->orders.wrong_values > 0 && item->value_length > 0 && ++r->gets > 100) {
            r->orders.wrong_values--;
            memcpy(r->damaged, item->value, item->value_length);
            r->damaged[item->value_length / 2] ^= 1;
            reply->value = r->damaged;
        }
    }
}

/* ---- datagrams ---- */

static void send_bytes(struct responder *r, const void *bytes, size_t length)
{
    sendto(r->fd, bytes, length, 0, (struct sockaddr *)&r->peer, r->peer_bytes);
}

static void log_operation(struct responder *r, const struct operation *operation, unsigned kind,
                          bool executed)
{
    if (r->log_count < RESPONDER_LOG_MAX)
        r->log[r->log_count++] = (struct responder_entry){operation->request_id, r->datagrams,
                                                          operation->opcode, (uint8_t)kind, executed};
}

/* A value that does not fit leaves room for the bare replies of the operations after it, and is MORE. */
static void add_reply(struct message_writer *writer, struct reply *reply, unsigned left)
{
    size_t room = (size_t)(writer->end - writer->at);
    if (reply_bytes(reply->value_length) + left * reply_bytes(INCR_RESULT_BYTES) > room) {
        reply->status = STATUS_MORE;
        reply->value_length = 0;
    }
    message_add_reply(writer, reply);
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
    struct message_reader reader;
    struct message_header header;
    struct message_writer writer;
    struct operation operation;
    if (r->reply_count == REPLIES_MAX || message_open(&reader, &header, bytes, length, false) != 0)
        return;
    uint8_t out[MESSAGE_BYTES_MAX];
    message_begin(&writer, out, sizeof(out));
    while (message_next_operation(&reader, &operation) == 1) {
        uint8_t value[HEALTH_REPLY_BYTES];
        struct reply reply = {.opcode = operation.opcode, .request_id = operation.request_id};
        bool executed = true, answered = true;
        reply.status = operation_check(&operation);
        if (reply.status == STATUS_OK && is_write(operation.opcode))
            answered = answer_write(r, &operation, &reply, value, &executed);
        else if (reply.status == STATUS_OK)
            answer_read(r, &operation, &reply, value);
        log_operation(r, &operation, kind, executed);
        if (answered)
            add_reply(&writer, &reply, reader.left);
    }
    if (writer.count == 0)
        return;
    header.epoch = 7;
    header.history = 42;
    size_t reply_length = message_finish(&writer, &header);
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

static void *run(void *argument)
{
    struct responder *r = argument;
    for (bool stop = false; !stop;) {
        struct pollfd descriptor = {.fd = r->fd, .events = POLLIN};
        poll(&descriptor, 1, 5);
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

static bool bind_loopback(struct responder *r, const char *address)
{
    bool v6 = strchr(address, ':') != NULL;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *any = v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in4;
    socklen_t bytes = v6 ? sizeof(in6) : sizeof(in4);
    r->fd = socket(any->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int room = 1 << 20;
    if (r->fd < 0 || setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) != 0 ||
        bind(r->fd, any, bytes) != 0 || getsockname(r->fd, any, &bytes) != 0)
        return false;
    snprintf(r->endpoint, sizeof(r->endpoint), v6 ? "[%s]:%u" : "%s:%u", address,
             ntohs(v6 ? in6.sin6_port : in4.sin_port));
    return true;
}

struct responder *responder_start(const char *secret, const char *address)
{
    char error[128];
    struct responder *r = aligned_alloc(64, (sizeof(*r) + 63) / 64 * 64);
    memset(r, 0, sizeof(*r));
    keys_start();
    r->random = random_system();
    r->entropy = seeded_start(1);
    r->identity.node_id = 3;
    r->next_session = 100;
    cookie_secrets_refresh(&r->cookies, &r->random, 1);
    if (keys_from_secret(&r->keys, secret, strlen(secret), "wild", error, sizeof(error)) != 0 ||
        !bind_loopback(r, address)) {
        if (r->fd > 0)
            close(r->fd);
        free(r);
        return NULL;
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_create(&r->thread, NULL, run, r);
    return r;
}

void responder_stop(struct responder *r)
{
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    pthread_mutex_destroy(&r->lock);
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
    pthread_mutex_unlock(&r->lock);
}

void responder_restart(struct responder *r)
{
    pthread_mutex_lock(&r->lock);
    r->session.live = r->has_pending = false;
    r->item_count = 0;
    memset(r->outcomes, 0, sizeof(r->outcomes));
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
