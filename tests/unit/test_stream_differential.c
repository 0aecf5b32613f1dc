/*
 * test_stream_differential.c - the same clients' bytes, split in the same ways, through our own TCP (two
 * stacks in virtual time) and through the kernel's sockets on loopback, into the same native service and
 * pages: what comes back is the same, byte for byte, and so is how it ends. What it is to be was made with
 * a stream in memory.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/kernel_worker.h"
#include "native_tcp_peer.h"
#include "tcp_pair.h"

enum { SCRIPT_BYTES_MAX = 64 * 1024, CAME_BYTES_MAX = 256 * 1024, QUIET_TURNS = 40, TURNS_MAX = 100000 };
#define STEP_NS UINT64_C(100000)

/* What a client says, and what it is to hear. */
struct script {
    const char *name;
    struct tcp_node_options node;
    size_t length, expected_length;
    /* Having said so much, the client waits until it has heard so much. */
    struct {
        size_t said, heard;
    } wait[2];
    unsigned waits;
    uint8_t bytes[SCRIPT_BYTES_MAX];
    uint8_t expected[CAME_BYTES_MAX];
};

/* What it heard. */
struct outcome {
    size_t length;
    bool reset;
    uint8_t bytes[CAME_BYTES_MAX];
};

static struct script script;
static struct outcome by_tcp, by_kernel;
static struct pair pair;

/* ---- the two transports: say what there is room for, hear what came, let a moment pass ---- */

struct carrier {
    struct tcp_node *node;
    /* own TCP */
    struct stream *stream; /* the client's end; NULL: gone */
    /* the kernel's */
    struct kernel_port port;
    struct kernel_worker *worker;
    int fd;
    bool over; /* the node's end has come, in order or not */
    struct outcome *outcome;
};

static void hear(struct outcome *outcome, const uint8_t *bytes, size_t length)
{
    CU_ASSERT_FATAL(outcome->length + length <= CAME_BYTES_MAX);
    memcpy(outcome->bytes + outcome->length, bytes, length);
    outcome->length += length;
}

static void node_turn(struct tcp_node *node, uint64_t now_ns)
{
    node->shared.now.mono_ns = now_ns;
    handshake_helper_step(node->shared.helper);
    native_tcp_turn(node->service, node->shared.now);
    tcp_discard_log(node);
}

static size_t on_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    hear(((struct carrier *)stream->user)->outcome, bytes, length);
    return length;
}

static void on_nothing(struct stream *stream)
{
    (void)stream;
}

static void on_ended(struct stream *stream)
{
    ((struct carrier *)stream->user)->over = true;
}

static void on_closed(struct stream *stream, enum stream_end end)
{
    struct carrier *carrier = stream->user;
    carrier->outcome->reset |= end == STREAM_END_RESET;
    carrier->over = true;
    carrier->stream = NULL;
}

static const struct stream_events client_events = {.connected = on_nothing,
                                                   .received = on_received,
                                                   .ended = on_ended,
                                                   .writable = on_nothing,
                                                   .expired = on_nothing,
                                                   .closed = on_closed};

static void tcp_moment(struct carrier *carrier)
{
    node_turn(carrier->node, pair.now_ns);
    pair_run(&pair, STEP_NS);
    tcp_discard_log(carrier->node);
}

static void tcp_open(struct carrier *carrier)
{
    static uint64_t entropy;
    struct rte_mempool *pool = pair.pool;
    struct return_path path = pair_path(1);
    memset(&pair, 0, sizeof pair);
    entropy = seeded_start(11);
    pair = (struct pair){.pool = pool,
                         .now_ns = UINT64_C(1000000000),
                         .random = seeded_start(12),
                         .delay_ns = 20000,
                         .mtu = 1500};
    struct random_source random = seeded_source(&entropy);
    struct tcp_config configs[2] = {pair_config(&pair, 0, &random), pair_config(&pair, 1, &random)};
    configs[0].send_bytes_max = NATIVE_TCP_SEND_BYTES;
    pair_start(&pair, configs);
    CU_ASSERT_EQUAL_FATAL(
        tcp_listen(pair.side[0].tcp, PAIR_PORT, native_tcp_acceptor(carrier->node->service)), 0);
    carrier->stream = tcp_connect(pair.side[1].tcp, &path, &client_events, carrier, pair_now(&pair));
    CU_ASSERT_PTR_NOT_NULL_FATAL(carrier->stream);
    for (unsigned i = 0; i < 10; i++)
        tcp_moment(carrier);
}

static size_t tcp_say(struct carrier *carrier, const uint8_t *bytes, size_t length)
{
    return carrier->stream != NULL ? stream_write(carrier->stream, bytes, length) : length;
}

static void tcp_end(struct carrier *carrier)
{
    if (carrier->stream != NULL)
        stream_close(carrier->stream);
}

static void tcp_close_all(struct carrier *carrier)
{
    (void)carrier;
    pair_stop(&pair);
}

static void kernel_moment(struct carrier *carrier)
{
    uint8_t bytes[16384];
    ssize_t got;
    node_turn(carrier->node, carrier->node->shared.now.mono_ns + STEP_NS);
    unsigned done = kernel_turn(carrier->worker, carrier->node->shared.now);
    tcp_discard_log(carrier->node);
    while (!carrier->over && (got = recv(carrier->fd, bytes, sizeof bytes, 0)) != -1) {
        hear(carrier->outcome, bytes, (size_t)got);
        carrier->over = got == 0;
    }
    if (!carrier->over && errno != EAGAIN)
        carrier->over = carrier->outcome->reset = true;
    if (done == 0)
        kernel_wait(carrier->worker, 1); /* the kernel may take its time */
}

static void kernel_open(struct carrier *carrier)
{
    static uint64_t entropy;
    char error[256] = "";
    struct kernel_port_config port = {
        .address = address_from_ip4(htonl(INADDR_LOOPBACK)), .workers = 1, .streams = true};
    entropy = seeded_start(13);
    struct random_source random = seeded_source(&entropy);
    CU_ASSERT_EQUAL_FATAL(kernel_port_open(&carrier->port, &port, error, sizeof error), 0);
    struct kernel_worker_config config = {.sockets = carrier->port.sockets[0],
                                          .acceptor = native_tcp_acceptor(carrier->node->service),
                                          .streams_max = 64,
                                          .blocks_max = 64,
                                          .send_bytes_max = NATIVE_TCP_SEND_BYTES,
                                          .random = &random,
                                          .counters = &carrier->node->counters,
                                          .numa_node = -1};
    carrier->worker = kernel_worker_create(&config, carrier->node->shared.now);
    CU_ASSERT_PTR_NOT_NULL_FATAL(carrier->worker);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(carrier->port.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    carrier->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(connect(carrier->fd, (const struct sockaddr *)&to, sizeof to), 0);
    fcntl(carrier->fd, F_SETFL, O_NONBLOCK);
}

static size_t kernel_say(struct carrier *carrier, const uint8_t *bytes, size_t length)
{
    ssize_t sent = send(carrier->fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return length; /* nobody listens any more */
    return sent > 0 ? (size_t)sent : 0;
}

static void kernel_end(struct carrier *carrier)
{
    shutdown(carrier->fd, SHUT_WR);
}

static void kernel_close_all(struct carrier *carrier)
{
    close(carrier->fd);
    kernel_worker_destroy(carrier->worker);
    kernel_port_close(&carrier->port);
}

static const struct carrier_functions {
    void (*open)(struct carrier *carrier);
    size_t (*say)(struct carrier *carrier, const uint8_t *bytes, size_t length);
    void (*moment)(struct carrier *carrier);
    void (*end)(struct carrier *carrier);
    void (*close_all)(struct carrier *carrier);
} own = {tcp_open, tcp_say, tcp_moment, tcp_end, tcp_close_all},
  kernels = {kernel_open, kernel_say, kernel_moment, kernel_end, kernel_close_all};

/* How far the client may speak now. */
static size_t next_stop(size_t said, size_t heard)
{
    for (unsigned i = 0; i < script.waits; i++)
        if (said <= script.wait[i].said && heard < script.wait[i].heard)
            return script.wait[i].said;
    return script.length;
}

/* Plays the script, its bytes in pieces of up to `piece_max`; then the client ends, and hears the rest. */
static void play(const struct carrier_functions *functions, struct outcome *outcome, size_t piece_max,
                 uint64_t seed)
{
    static struct carrier carrier;
    uint64_t random = seeded_start(seed);
    outcome->length = 0;
    outcome->reset = false;
    carrier = (struct carrier){.node = tcp_node_start(&script.node), .outcome = outcome};
    functions->open(&carrier);
    for (size_t at = 0; at < script.length && !carrier.over;) {
        size_t piece = 1 + seeded_below(&random, piece_max);
        size_t stop = next_stop(at, outcome->length);
        piece = piece < stop - at ? piece : stop - at;
        if (piece > 0)
            at += functions->say(&carrier, script.bytes + at, piece);
        for (uint64_t moments = 1 + seeded_below(&random, 3); moments > 0; moments--)
            functions->moment(&carrier);
    }
    functions->end(&carrier);
    for (unsigned i = 0; i < TURNS_MAX && !carrier.over; i++)
        functions->moment(&carrier);
    CU_ASSERT_TRUE(carrier.over);
    for (unsigned i = 0; i < QUIET_TURNS; i++) /* the node's side ends, too */
        functions->moment(&carrier);
    functions->close_all(&carrier);
    tcp_node_stop(carrier.node);
}

/* ---- scripts ---- */

static void begin(const char *name, struct tcp_node_options node)
{
    script.name = name;
    script.node = node;
    script.length = script.expected_length = 0;
    script.waits = 0;
}

static void say(const void *bytes, size_t length)
{
    CU_ASSERT_FATAL(script.length + length <= SCRIPT_BYTES_MAX);
    memcpy(script.bytes + script.length, bytes, length);
    script.length += length;
}

static void expect(const struct fake_stream *fake)
{
    CU_ASSERT_FATAL(fake->out_length <= CAME_BYTES_MAX);
    if (fake->out_length > 0)
        memcpy(script.expected, fake->out, fake->out_length);
    script.expected_length = fake->out_length;
}

/*
 * Where a page is cut into chunks depends on the room that there is: line ends and the chunks' lengths,
 * lines of hexadecimal digits alone, are taken out. Returns what is left.
 */
static size_t without_chunks(uint8_t *bytes, size_t length)
{
    size_t kept = 0;
    for (size_t at = 0; at < length;) {
        const uint8_t *end = memmem(bytes + at, length - at, "\r\n", 2);
        size_t line = end != NULL ? (size_t)(end - bytes) - at : length - at;
        if (strspn((const char *)bytes + at, "0123456789abcdef") < line) {
            memmove(bytes + kept, bytes + at, line);
            kept += line;
        }
        at += line + 2;
    }
    return kept;
}

/* Text, to a stream in memory. */
static void make_text(const char *name, const char *text, size_t length)
{
    begin(name, (struct tcp_node_options){.http = true});
    say(text, length);
    struct tcp_node *node = tcp_node_start(&script.node);
    struct tcp_client *c = tcp_client_open(node, 1);
    fake_send(c->stream, text, length);
    tcp_node_turn(node);
    tcp_client_rest(c);
    expect(c->stream);
    script.expected_length = without_chunks(script.expected, script.expected_length);
    tcp_client_free(c);
    tcp_node_stop(node);
}

static void tell(struct tcp_client *c, const void *bytes, size_t length)
{
    say(bytes, length);
    tcp_client_send(c, bytes, length);
    tcp_client_rest(c);
}

static void wait_for_what_came(const struct tcp_client *c)
{
    script.wait[script.waits].said = script.length;
    script.wait[script.waits++].heard = c->stream->out_length;
}

/*
 * A sealed session with messages of one and many operations, which are not waited for. Everything that the
 * client says is said again later: all is made from seeds.
 */
static void make_native(unsigned messages, uint64_t seed)
{
    static char value[VALUE_BYTES_MAX + 1];
    uint64_t random = seeded_start(seed);
    uint8_t record[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    begin("native", (struct tcp_node_options){0});
    struct tcp_node *node = tcp_node_start(&script.node);
    struct tcp_client *c = tcp_client_open(node, 1);
    tcp_client_start(c);
    tell(c, c->handshake.init, HANDSHAKE_INIT_BYTES);
    wait_for_what_came(c); /* no CONFIRM without a RESPONSE */
    tell(c, c->confirm, sizeof c->confirm);
    wait_for_what_came(c); /* nor anything before READY */
    CU_ASSERT_TRUE_FATAL(c->ready);
    for (unsigned i = 0; i < messages; i++) {
        struct operation operations[4];
        unsigned count = 1 + (unsigned)seeded_below(&random, 4);
        memset(value, 'a' + (int)(i % 26), VALUE_BYTES_MAX);
        value[seeded_below(&random, 8) == 0 ? VALUE_BYTES_MAX : seeded_below(&random, 60)] = 0;
        for (unsigned k = 0; k < count; k++)
            operations[k] = seeded_below(&random, 3) == 0 && k == 0
                                ? native_set("key", value)
                                : native_get(seeded_below(&random, 4) == 0 ? "absent" : "key");
        tell(c, record, tcp_client_seal(c, operations, count, record));
    }
    tell(c, record, record_close(&c->writer, record));
    expect(c->stream);
    tcp_client_free(c);
    tcp_node_stop(node);
}

/* ---- comparisons ---- */

static void compare(size_t piece_max, uint64_t seed)
{
    play(&own, &by_tcp, piece_max, seed);
    play(&kernels, &by_kernel, piece_max, seed);
    if (script.node.http) {
        by_tcp.length = without_chunks(by_tcp.bytes, by_tcp.length);
        by_kernel.length = without_chunks(by_kernel.bytes, by_kernel.length);
    }
    bool same = by_tcp.length == by_kernel.length && by_tcp.reset == by_kernel.reset &&
                memcmp(by_tcp.bytes, by_kernel.bytes, by_tcp.length) == 0;
    bool right = by_tcp.length == script.expected_length &&
                 memcmp(by_tcp.bytes, script.expected, script.expected_length) == 0;
    if (!same || !right)
        fprintf(stderr, "%s in pieces of %zu (WILD_SEED=%llu): TCP %zu%s, kernel %zu%s, expected %zu\n",
                script.name, piece_max, (unsigned long long)seed, by_tcp.length, by_tcp.reset ? " reset" : "",
                by_kernel.length, by_kernel.reset ? " reset" : "", script.expected_length);
    CU_ASSERT_TRUE(same);
    CU_ASSERT_TRUE(right);
}

static void native_sessions_are_the_same_over_both(void)
{
    uint64_t seed = seeded_from_environment(21);
    for (unsigned i = 0; i < 6; i++) {
        make_native(4 + 6 * i, seed + i);
        CU_ASSERT_TRUE(script.expected_length > 200);
        compare(1 + (size_t)40 * i * i * i, seed + i);
    }
}

static void pages_are_the_same_over_both(void)
{
#define HOST "Host: 127.0.0.1\r\n"
    static const char *const texts[] = {
        "GET /health HTTP/1.1\r\n" HOST "\r\n",
        "GET /health HTTP/1.1\r\n" HOST "\r\nHEAD /stats HTTP/1.1\r\n" HOST "\r\nGET /stats HTTP/1.1\r\n" HOST
        "\r\n",
        "GET /metrics HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nGET /health HTTP/1.1\r\n" HOST "\r\n",
        "GET /nowhere HTTP/1.1\r\n" HOST "\r\nDELETE /stats HTTP/1.1\r\n" HOST "\r\n",
        "GET /health HTTP/1.0\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n",
        "GET  /health HTTP/1.1\r\n" HOST "\r\n",
        "GET /health HTTP/1.1\r\nHost: example.org\r\n\r\n",
    };
    uint64_t seed = seeded_from_environment(22);
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        make_text(texts[i], texts[i], strlen(texts[i]));
        compare(1, seed + i); /* byte by byte */
        compare(50, seed + i);
        compare(10000, seed + i);
    }
}

static void what_is_no_protocol_of_ours_is_reset_over_both(void)
{
    static const struct {
        const char *bytes;
        size_t length;
    } texts[] = {
        {"\xF7\x13\x00\x00", 4}, {"SSH-2.0-x\r\n", 11}, {"\x16\x03\x01\x02\x00\x01", 6}, {"\xF7\x99", 2}};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        make_text("garbage", texts[i].bytes, texts[i].length);
        CU_ASSERT_EQUAL(script.expected_length, 0);
        compare(16, 23 + i);
        CU_ASSERT_TRUE(by_tcp.reset);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"native_sessions_are_the_same_over_both", native_sessions_are_the_same_over_both},
        {"pages_are_the_same_over_both", pages_are_the_same_over_both},
        {"what_is_no_protocol_of_ours_is_reset_over_both", what_is_no_protocol_of_ours_is_reset_over_both},
        CU_TEST_INFO_NULL,
    };
    test_eal_start();
    pair.pool = rte_pktmbuf_pool_create("pair", PAIR_MBUFS, 0, TCP_FRAME_PRIVATE_BYTES,
                                        RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (pair.pool == NULL)
        return 1;
    return suite_run("stream_differential", tests);
}
