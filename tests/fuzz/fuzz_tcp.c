/*
 * fuzz_tcp.c - TCP against peers who know its numbers. The input is a program: a byte of configuration, then
 * steps. Segments are built from plausible numbers (what the connection expects, give or take) with any flags
 * and options, genuine, hostile or raw; between them ICMP errors, jumps of time, users who write, hold,
 * close and abort, active opens, and a pool that runs dry.
 *
 *   first byte   of a step
 *   0x00-0x8F    segment: peer, flags, sequence number, acknowledgement, window (2), length, options, ...
 *   0x90-0x9F    ICMP: peer, type, code, sequence number, MTU (2)
 *   0xA0-0xAF    time: 2^n ns
 *   0xB0-0xBF    user: peer, what, how much
 *   0xC0-0xCF    active open: peer
 *   0xD0-0xDF    frames: how many remain to be had
 *   0xE0-0xFF    what has gathered arrives as one burst
 *
 * Checked: the invariants after each step; what leaves is well-formed and carries the user's bytes; where
 * there is no connection at most one segment answers one; streams are told closed once; all frames are back
 * in the end. Segments arrive in heap blocks of their exact size.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz_buffer.h"
#include "seeded.h"
#include "tcp_invariants.h"
#include "tcp_script_internal.h"
#include "test_eal.h"

enum {
    POOL_FRAMES = 255,
    PEERS = 6,
    STEPS_MAX = 300,
    TURNS_MAX = 200,
    BURST_MAX = 16,
    USER_BYTE = 0x55,
    PORT = 7878,
    OUTPUT_MAX = 4000, /* in one step: more is a storm */
};

struct peer {
    struct return_path path;
    struct stream *stream;
    bool holding, ended;
};

struct fuzz {
    struct rte_mempool *pool;
    struct counters counters;
    struct tcp *tcp;
    struct tcp_config config;
    uint64_t random;
    struct random_source source;
    struct instant now;
    struct peer peers[PEERS];
    struct tcp_arrival burst[BURST_MAX];
    unsigned burst_count, sent, opened, closed;
    bool in_event;
    struct rte_mbuf *taken[POOL_FRAMES];
    unsigned taken_count;
};

static struct fuzz fuzz;

/* ---- what leaves ---- */

static void output_send(void *state, struct rte_mbuf *frame, const struct return_path *path)
{
    struct fuzz *f = state;
    struct script_sent sent;
    (void)path;
    MUST(frame->nb_segs == 1 && frame->data_len == frame->pkt_len && frame->data_len <= 1480);
    const char *wrong =
        script_segment_read(&sent, rte_pktmbuf_mtod(frame, const uint8_t *), rte_pktmbuf_data_len(frame));
    if (wrong != NULL)
        fprintf(stderr, "%s\n", wrong);
    MUST(wrong == NULL);
    for (uint32_t i = 0; i < sent.length && sent.length > 1; i++) /* one byte may be a probe's */
        MUST(sent.payload[i] == USER_BYTE);
    MUST(!(sent.flags & TCP_RST) || sent.length == 0);
    MUST(++f->sent < OUTPUT_MAX);
    rte_pktmbuf_free(frame);
}

static uint16_t output_mtu(void *state, const struct return_path *path)
{
    (void)state;
    (void)path;
    return 1500;
}

/* ---- users ---- */

static struct peer *told(struct stream *stream)
{
    struct peer *peer = stream->user;
    MUST(peer->stream == stream && !fuzz.in_event);
    return peer;
}

static void on_connected(struct stream *stream)
{
    told(stream);
}

static size_t on_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct peer *peer = told(stream);
    MUST(length > 0 && !peer->ended);
    size_t taken = peer->holding ? length / 2 : length;
    memset(bytes, 0xEE, taken);
    return taken;
}

static void on_ended(struct stream *stream)
{
    struct peer *peer = told(stream);
    MUST(!peer->ended);
    peer->ended = true;
}

static void on_writable(struct stream *stream)
{
    told(stream);
}

static void on_expired(struct stream *stream)
{
    struct peer *peer = told(stream);
    fuzz.in_event = true; /* nothing is told from inside a function */
    stream_close(peer->stream);
    fuzz.in_event = false;
}

static void on_closed(struct stream *stream, enum stream_end end)
{
    struct peer *peer = told(stream);
    MUST(end <= STREAM_END_ABORTED);
    peer->stream = NULL;
    fuzz.closed++;
}

static const struct stream_events events = {.connected = on_connected,
                                            .received = on_received,
                                            .ended = on_ended,
                                            .writable = on_writable,
                                            .expired = on_expired,
                                            .closed = on_closed};

static struct peer *peer_of(const struct flow *flow)
{
    for (unsigned i = 0; i < PEERS; i++) {
        struct peer *peer = &fuzz.peers[i];
        if (memcmp(&peer->path.flow.peer, &flow->peer, sizeof flow->peer) == 0 &&
            peer->path.flow.peer_port == flow->peer_port)
            return peer;
    }
    return NULL;
}

static bool accepted(void *state, struct stream *stream)
{
    struct peer *peer = peer_of(&stream->flow);
    (void)state;
    MUST(peer != NULL);
    if (peer->stream != NULL) /* it has an active open to another of our ports */
        return false;
    peer->stream = stream;
    peer->holding = peer->ended = false;
    stream->events = &events;
    stream->user = peer;
    fuzz.opened++;
    return true;
}

static void user(struct fuzz_input *input)
{
    struct peer *peer = &fuzz.peers[fuzz_u8(input) % PEERS];
    unsigned what = fuzz_u8(input) % 8, much = fuzz_u8(input);
    static uint8_t bytes[16384];
    memset(bytes, USER_BYTE, sizeof bytes);
    if (peer->stream == NULL)
        return;
    fuzz.in_event = true;
    if (what < 3)
        stream_write(peer->stream, bytes, what == 0 ? much : much * 64u);
    else if (what == 3)
        stream_close(peer->stream);
    else if (what == 4)
        stream_abort(peer->stream);
    else if (what == 5)
        peer->holding = true;
    else if (what == 6)
        stream_set_deadline(peer->stream, much == 0 ? 0 : fuzz.now.mono_ns + much * TCP_MS);
    fuzz.in_event = false;
    if (what == 7) {
        peer->holding = false;
        stream_resume(peer->stream);
    }
}

/* ---- segments ---- */

static const struct tcp_connection *connection_of(const struct peer *peer)
{
    for (unsigned i = 0; i < fuzz.config.connections_max; i++) {
        const struct tcp_connection *c = &fuzz.tcp->connections[i];
        if (c->state != TCP_CLOSED && memcmp(&c->stream.flow, &peer->path.flow, sizeof c->stream.flow) == 0)
            return c;
    }
    return NULL;
}

/* One of eight bases, and an offset in steps of 1, 100, 1460 or 30000. */
static uint32_t number(struct fuzz_input *input, const uint32_t bases[8])
{
    static const int32_t scales[4] = {1, 100, 1460, 30000};
    unsigned choice = fuzz_u8(input);
    int32_t steps = choice & 0x80 ? (int32_t)(fuzz_u8(input) % 16) - 8 : 0;
    return bases[choice & 7] + (uint32_t)(steps * scales[choice >> 3 & 3]);
}

static uint32_t sequence(struct fuzz_input *input, const struct tcp_connection *c)
{
    uint32_t bases[8] = {1000, 1001, 0, UINT32_MAX, 0x80000000, 2000, 5000, 1};
    if (c != NULL)
        memcpy(bases,
               (uint32_t[]){c->rcv_nxt, c->rcv_nxt, c->irs, c->rcv_adv, c->rcv_nxt - 1, c->rcv_nxt + 100,
                            c->last_ack_sent, c->rcv_nxt + 2000},
               sizeof bases);
    return number(input, bases);
}

static uint32_t acknowledgement(struct fuzz_input *input, const struct tcp_connection *c)
{
    uint32_t bases[8] = {0, 1, UINT32_MAX, 0x80000000, 77, 78, 79, 80};
    if (c != NULL)
        memcpy(bases,
               (uint32_t[]){c->snd_nxt, c->snd_una, c->iss, c->snd_end, c->snd_una + 1, c->snd_nxt + 1,
                            c->snd_una + c->mss, c->snd_una - c->snd_wnd_max},
               sizeof bases);
    return number(input, bases);
}

static unsigned put32(uint8_t *at, uint32_t value)
{
    rte_be32_t big = rte_cpu_to_be_32(value);
    memcpy(at, &big, 4);
    return 4;
}

/* At `at`, room for 40 bytes; a multiple of four. */
static unsigned options(struct fuzz_input *input, const struct tcp_connection *c, uint8_t *at)
{
    unsigned kinds = fuzz_u8(input), used = 0;
    if (kinds & 0x01) {
        uint16_t mss = fuzz_u16(input);
        memcpy(at, (uint8_t[]){2, 4, (uint8_t)(mss >> 8), (uint8_t)mss}, 4);
        used += 4;
    }
    if (kinds & 0x02) {
        memcpy(at + used, (uint8_t[]){4, 2, 1, 1}, 4);
        used += 4;
    }
    if (kinds & 0x04) {
        memcpy(at + used, (uint8_t[]){1, 3, 3, fuzz_u8(input)}, 4);
        used += 4;
    }
    if (kinds & 0x08) {
        memcpy(at + used, (uint8_t[]){1, 1, 8, 10}, 4);
        used += 4;
        used += put32(at + used, (c != NULL ? c->ts_recent : 500) + fuzz_u8(input) - 2u);
        used += put32(at + used, c != NULL ? tcp_timestamp(fuzz.tcp, c) - fuzz_u8(input) : fuzz_u8(input));
    }
    if (kinds & 0x10 && used <= 20) {
        unsigned blocks = 1 + (kinds >> 6 & 1);
        memcpy(at + used, (uint8_t[]){1, 1, 5, (uint8_t)(2 + 8 * blocks)}, 4);
        used += 4;
        for (unsigned i = 0; i < blocks; i++) {
            uint32_t start = acknowledgement(input, c);
            used += put32(at + used, start);
            used += put32(at + used, start + fuzz_u8(input) * 100u);
        }
    }
    while (kinds & 0x20 && used < 40 && fuzz_left(input) > 0) /* whatever it says */
        at[used++] = fuzz_u8(input);
    while (used % 4 != 0)
        at[used++] = 0;
    return used;
}

static void arrive(void)
{
    unsigned count = fuzz.burst_count;
    fuzz.burst_count = 0;
    if (count > 0)
        tcp_input(fuzz.tcp, fuzz.burst, count, fuzz.now);
}

static void segment(struct fuzz_input *input, unsigned op)
{
    struct peer *peer = &fuzz.peers[fuzz_u8(input) % PEERS];
    const struct tcp_connection *c = connection_of(peer);
    uint8_t bytes[60 + 1460];
    uint8_t flags = fuzz_u8(input);
    memset(bytes, 0, 20);
    memcpy(bytes, &peer->path.flow.peer_port, 2);
    memcpy(bytes + 2, &peer->path.flow.local_port, 2);
    put32(bytes + 4, sequence(input, c));
    put32(bytes + 8, flags & TCP_ACK || (op & 1) ? acknowledgement(input, c) : 0);
    bytes[13] = flags;
    bytes[14] = fuzz_u8(input);
    bytes[15] = fuzz_u8(input);
    unsigned payload = fuzz_u8(input);
    payload = payload < 128 ? payload : (payload - 127) * 11; /* up to 1408 */
    unsigned header = 20 + options(input, c, bytes + 20);
    bytes[12] = (uint8_t)(op >= 0x88 ? fuzz_u8(input) : header / 4 << 4);
    memset(bytes + header, 0x33, payload);
    unsigned length = header + payload;
    if (op >= 0x80 && op < 0x88)
        length = fuzz_u8(input) < length ? length - 1 : length;
    struct rte_mbuf *frame = /* its buffer ends where the segment does */
        fuzz_buffer(fuzz.pool, bytes, length, 0, 0);
    if (frame == NULL)
        return;
    fuzz.burst[fuzz.burst_count++] = (struct tcp_arrival){.frame = frame,
                                                          .header = rte_pktmbuf_mtod(frame, uint8_t *),
                                                          .length = (uint16_t)length,
                                                          .path = peer->path};
    bool alone = fuzz.burst_count == 1;
    if (op & 2 && fuzz.burst_count < BURST_MAX)
        return;
    unsigned before = fuzz.sent;
    arrive();
    if (c == NULL && alone)
        MUST(fuzz.sent <= before + 1); /* nobody's segment: one answer at most */
}

static void icmp(struct fuzz_input *input)
{
    const struct peer *peer = &fuzz.peers[fuzz_u8(input) % PEERS];
    struct tcp_icmp_error error = {.flow = peer->path.flow};
    error.type = fuzz_u8(input);
    error.code = fuzz_u8(input);
    error.seq = acknowledgement(input, connection_of(peer));
    error.mtu = fuzz_u16(input);
    tcp_icmp(fuzz.tcp, &error, fuzz.now);
}

/* ---- the rest ---- */

static void pass(uint64_t ns)
{
    uint64_t to_ns = fuzz.now.mono_ns + ns;
    for (unsigned turns = 0; turns < TURNS_MAX && fuzz.now.mono_ns < to_ns; turns++) {
        uint64_t next = tcp_next_ns(fuzz.tcp);
        if (next <= fuzz.now.mono_ns)
            next = fuzz.now.mono_ns + (UINT64_C(1) << TIMER_TICK_SHIFT);
        fuzz.now.mono_ns = next < to_ns ? next : to_ns;
        fuzz.now.wall_ms = fuzz.now.mono_ns / 1000000;
        tcp_turn(fuzz.tcp, fuzz.now);
    }
}

static void open_one(struct fuzz_input *input)
{
    struct peer *peer = &fuzz.peers[fuzz_u8(input) % PEERS];
    if (peer->stream != NULL)
        return;
    peer->path.flow.local_port = 0;
    peer->holding = peer->ended = false;
    peer->stream = tcp_connect(fuzz.tcp, &peer->path, &events, peer, fuzz.now);
    peer->path.flow.local_port =
        peer->stream != NULL ? peer->stream->flow.local_port : rte_cpu_to_be_16(PORT);
    fuzz.opened += peer->stream != NULL;
}

static void feed(void)
{
    while (fuzz.taken_count > 0)
        rte_pktmbuf_free(fuzz.taken[--fuzz.taken_count]);
}

static void starve(unsigned remain)
{
    feed();
    while (rte_mempool_avail_count(fuzz.pool) > remain)
        fuzz.taken[fuzz.taken_count++] = rte_pktmbuf_alloc(fuzz.pool);
}

static void step(struct fuzz_input *input)
{
    unsigned op = fuzz_u8(input);
    fuzz.sent = 0;
    if (op < 0x90)
        segment(input, op);
    else if (op < 0xA0)
        icmp(input);
    else if (op < 0xB0)
        pass(UINT64_C(1) << fuzz_u8(input) % 46);
    else if (op < 0xC0)
        user(input);
    else if (op < 0xD0)
        open_one(input);
    else if (op < 0xE0)
        starve(fuzz_u8(input));
    else
        arrive();
    tcp_turn(fuzz.tcp, fuzz.now);
    const char *broken = tcp_invariants_broken(fuzz.tcp);
    if (broken != NULL)
        fprintf(stderr, "invariant: %s\n", broken);
    MUST(broken == NULL);
}

static void start(uint8_t with)
{
    struct rte_mempool *pool = fuzz.pool;
    memset(&fuzz, 0, sizeof fuzz);
    fuzz.pool = pool;
    fuzz.random = seeded_start(1);
    fuzz.source = seeded_source(&fuzz.random);
    fuzz.now = (struct instant){.mono_ns = UINT64_C(9000000000000), .wall_ms = 9000000};
    fuzz.config = (struct tcp_config){.pool = pool,
                                      .output = {.state = &fuzz, .send = output_send, .mtu = output_mtu},
                                      .counters = &fuzz.counters,
                                      .random = &fuzz.source,
                                      .connections_max = 4,
                                      .time_wait_max = with & 0x01 ? 1 : 4,
                                      .half_open_max = with & 0x02 ? 1 : 4,
                                      .per_source_max = with & 0x04 ? 2 : 0,
                                      .send_frames_max = with & 0x08 ? 4 : 100,
                                      .receive_frames_max = with & 0x08 ? 4 : 100,
                                      .send_bytes_max = with & 0x10 ? 2000 : 100000,
                                      .receive_bytes_max = with & 0x20 ? 2920 : 262144,
                                      .keepalive = with & 0x40,
                                      .numa_node = SOCKET_ID_ANY};
    for (unsigned i = 0; i < PEERS; i++) {
        struct return_path *path = &fuzz.peers[i].path;
        *path = (struct return_path){.vlan_tci = VLAN_NONE, .peer_mac = {2, 0, 0, 0, 0, 1}};
        path->flow.peer = address_from_ip4(rte_cpu_to_be_32(0xC6120001 + i % 2));
        path->flow.local = address_from_ip4(rte_cpu_to_be_32(0xC6130001));
        path->flow.peer_port = rte_cpu_to_be_16((uint16_t)(2000 + i));
        path->flow.local_port = rte_cpu_to_be_16(PORT);
    }
    fuzz.tcp = tcp_create(&fuzz.config, fuzz.now);
    MUST(fuzz.tcp != NULL);
    MUST(tcp_listen(fuzz.tcp, PORT, (struct stream_acceptor){.accepted = accepted}) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .end = data + size};
    if (fuzz.pool == NULL) {
        test_eal_start();
        fuzz.pool = rte_pktmbuf_pool_create("fuzz", POOL_FRAMES, 0, TCP_FRAME_PRIVATE_BYTES,
                                            RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
        MUST(fuzz.pool != NULL);
    }
    start(fuzz_u8(&input));
    for (unsigned steps = 0; steps < STEPS_MAX && fuzz_left(&input) > 0; steps++)
        step(&input);
    arrive();
    tcp_destroy(fuzz.tcp);
    feed();
    MUST(fuzz.opened == fuzz.closed);
    MUST(rte_mempool_avail_count(fuzz.pool) == POOL_FRAMES);
    return 0;
}
