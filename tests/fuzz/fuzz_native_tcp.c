/*
 * fuzz_native_tcp.c - the native service over streams, with clients that hold the secret and do as they like.
 * The input is a program: open, handshake, sealed requests, bytes from nowhere, pieces, reading or not,
 * bursts of several clients, time, ends, a log that lags. What must hold: it comes to rest; what an honest
 * client of the same node asks is answered throughout; no write is acknowledged above the durable point;
 * nothing is left.
 */
#include "fuzz.h"
#include "native_tcp_peer.h"

enum { CLIENTS = 4, STEPS_MAX = 120 };

struct world {
    struct tcp_node *node;
    struct tcp_client *client[CLIENTS];
    struct tcp_client *honest;
    bool log;
    bool burst;           /* what comes is one */
    uint64_t honest_asks; /* in bursts */
};

/* In a burst bytes last until its end, and nothing but bytes, ends and resets happens. */
static void burst_begins(struct world *w)
{
    w->burst = true;
    for (unsigned s = 0; s < w->node->count; s++)
        w->node->streams[s]->stream.lasting = w->node->streams[s]->piece == SIZE_MAX;
}

static void burst_ends(struct world *w)
{
    struct stream_acceptor acceptor = native_tcp_acceptor(w->node->service);
    w->burst = false;
    acceptor.delivered(acceptor.state);
    for (unsigned s = 0; s < w->node->count; s++)
        fake_delivered(w->node->streams[s]);
    tcp_discard_log(w->node);
}

/* Before what is no part of one; and before it would be longer than one is. */
static void burst_rests(struct world *w, unsigned pieces)
{
    bool full = false;
    for (unsigned s = 0; s < w->node->count; s++)
        full |= w->node->streams[s]->lasting_count + 4 > pieces;
    if (w->burst && full)
        burst_ends(w);
}

/* Somebody whose requests are in the middle of everybody's. */
static void honest_asks(struct world *w)
{
    struct operation health = {.opcode = OPCODE_HEALTH};
    if (w->honest->stream->close_asked || w->honest->stream->closed || w->honest_asks >= 50)
        return;
    w->honest_asks++;
    tcp_client_say(w->honest, &health, 1);
}

static void open_client(struct world *w, unsigned which, struct fuzz_input *input)
{
    if (w->client[which] != NULL)
        tcp_client_free(w->client[which]);
    w->client[which] = w->node->count < 100 ? tcp_client_open(w->node, which) : NULL;
    if (w->client[which] == NULL)
        return;
    unsigned temper = fuzz_u8(input);
    struct fake_stream *f = w->client[which]->stream;
    f->segment = temper & 1 ? STREAM_RESERVE_MAX : 1448;
    f->send_limit = temper & 2 ? 900 : 1 << 20;
    f->piece = temper & 4 ? 5 : SIZE_MAX;
}

/* A request of some operations, perhaps damaged, perhaps in two pieces. */
static void ask(struct tcp_client *c, struct fuzz_input *input)
{
    static uint8_t record[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    static const uint8_t bytes[VALUE_BYTES_MAX];
    struct operation operations[15]; /* of 1,055 bytes at most: they fit a record */
    unsigned count = 1 + fuzz_u8(input) % 15;
    for (unsigned i = 0; i < count; i++) {
        operations[i] = (struct operation){.opcode = fuzz_u8(input) % 10,
                                           .flags = fuzz_u8(input) & FLAG_ALL,
                                           .key = bytes,
                                           .key_length = fuzz_u8(input) % 4,
                                           .value = bytes,
                                           .value_length = fuzz_u8(input) * 4u,
                                           .request_id = fuzz_u8(input)};
    }
    size_t length = tcp_client_seal(c, operations, count, record), split = fuzz_u16(input) % (length + 1);
    uint8_t damage = fuzz_u8(input);
    if (damage < 32)
        record[damage * 3u % length] ^= (uint8_t)(damage | 1);
    tcp_client_send(c, record, split);
    if (damage & 64 && !c->stream->stream.lasting)
        tcp_node_turn(c->node);
    if (damage != 255) /* or the rest never comes */
        tcp_client_send(c, record + split, length - split);
}

static void say_bytes(struct tcp_client *c, struct fuzz_input *input)
{
    size_t length = fuzz_u8(input);
    if (length > fuzz_left(input))
        length = fuzz_left(input);
    tcp_client_send(c, input->at, length);
    input->at += length;
}

static void step_client(struct tcp_client *c, unsigned what, struct fuzz_input *input)
{
    uint8_t record[RECORD_OVERHEAD_BYTES];
    switch (what) {
    case 0:
        if (c->handshake.init[0] == 0) /* else the same again */
            tcp_client_start(c);
        tcp_client_send(c, c->handshake.init, HANDSHAKE_INIT_BYTES);
        break;
    case 1:
        tcp_client_send(c, c->confirm, HANDSHAKE_CONFIRM_BYTES);
        break;
    case 2:
    case 3:
    case 4:
        if (c->writer.key != NULL)
            ask(c, input);
        break;
    case 5:
        say_bytes(c, input);
        break;
    case 6:
        if (c->writer.key != NULL)
            tcp_client_send(c, record, record_close(&c->writer, record));
        break;
    case 7:
        fake_end(c->stream);
        if (c->stream->stream.lasting && c->stream->in_length == 0 && !c->stream->ended_told &&
            !fake_is_over(c->stream)) {
            c->stream->ended_told = true;
            c->stream->stream.events->ended(&c->stream->stream);
        }
        break;
    case 8:
        c->stream->peer_reset = true;
        break;
    default:
        if (!c->refused)
            tcp_client_read(c, fuzz_u8(input) * 16u);
        break;
    }
}

static void check_replies(const struct world *w, const struct tcp_client *c, unsigned from)
{
    uint64_t durable = w->log ? atomic_load(&w->node->shared.durable.lsn) : UINT64_MAX;
    for (unsigned i = from; i < c->count; i++)
        MUST(c->replies[i].opcode == OPCODE_GET || c->replies[i].status != STATUS_OK ||
             c->replies[i].version <= durable);
}

static void move_log(struct world *w, struct fuzz_input *input)
{
    unsigned what = w->log ? fuzz_u8(input) : 0;
    uint64_t lsn = native_lsn(&w->node->shared) - what % 8;
    if (what & 8 && lsn > atomic_load(&w->node->shared.durable.lsn))
        durable_point_set(&w->node->shared.durable, lsn, (what & 0xF0) == 0xF0);
}

static void step(struct world *w, struct fuzz_input *input)
{
    unsigned what = fuzz_u8(input) % 16, which = fuzz_u8(input) % CLIENTS;
    switch (what) {
    case 12:
        open_client(w, which, input);
        break;
    case 11:
        if (w->burst)
            burst_ends(w);
        else
            burst_begins(w);
        break;
    case 13:
        burst_rests(w, 0);
        tcp_node_pass(w->node, (uint64_t)fuzz_u8(input) * 200000000);
        break;
    case 14:
        w->node->helper_stopped = !w->node->helper_stopped;
        break;
    case 15:
        burst_rests(w, 0);
        move_log(w, input);
        tcp_node_turn(w->node);
        break;
    default:
        burst_rests(w, 64);
        if (w->burst && what % 4 == 0)
            honest_asks(w);
        if (w->client[which] != NULL && w->client[which]->count < TCP_REPLIES_MAX - 600) {
            unsigned before = w->client[which]->count;
            step_client(w->client[which], what, input);
            check_replies(w, w->client[which], before);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, data + size};
    struct world w = {0};
    unsigned temper = fuzz_u8(&input);
    w.log = temper & 16;
    w.node = tcp_node_start(
        &(struct tcp_node_options){.connections = 8,
                                   .small_buffers = 2,
                                   .large_buffers = 1 + (temper & 3),
                                   .bench = temper & 4,
                                   .http = temper & 8,
                                   .rules = {.log = w.log, .writes_wait = w.log, .reads_wait = w.log}});
    native_durable(&w.node->shared, native_lsn(&w.node->shared));
    w.honest = tcp_client_new(w.node, 99);
    for (unsigned i = 0; i < STEPS_MAX && fuzz_left(&input) > 0; i++)
        step(&w, &input);
    if (w.burst)
        burst_ends(&w);
    w.node->helper_stopped = false;
    native_durable(&w.node->shared, native_lsn(&w.node->shared));
    tcp_node_turn(w.node);
    tcp_client_rest(w.honest);
    MUST(w.honest->count == w.honest_asks && !w.honest->refused);
    MUST(native_tcp_counts(w.node->service).parked == 0);
    if (!w.honest->stream->close_asked) { /* unless it was idle for ten minutes */
        struct reply reply = tcp_client_do(w.honest, (struct operation){.opcode = OPCODE_HEALTH});
        MUST(reply.status == STATUS_OK);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        if (w.client[i] != NULL)
            tcp_client_free(w.client[i]);
    tcp_client_free(w.honest);
    tcp_node_stop(w.node);
    return 0;
}
