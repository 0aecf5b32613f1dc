/*
 * fuzz_http.c - HTTP from nowhere. The parser says the same however its bytes are split; a connection always
 * comes to rest, says nothing to what only browsers say, and ends when the peer does.
 */
#include <string.h>

#include "fake_stream.h"
#include "fuzz.h"
#include "service/http.h"
#include "service/http_parser.h"

struct told {
    enum http_verdict verdict;
    size_t taken;
    uint16_t status;
    bool keep_alive, allowed;
    uint8_t method;
    char path[HTTP_TARGET_BYTES_MAX + 1];
};

/* `pieces`: lengths, used round and round; none: all at once. */
static struct told parse(const uint8_t *bytes, size_t length, const uint8_t *pieces, unsigned count)
{
    struct http_parser parser;
    struct told told = {.verdict = HTTP_MORE};
    http_parser_reset(&parser);
    for (unsigned i = 0; told.verdict == HTTP_MORE && told.taken < length; i++) {
        size_t piece = count > 0 ? 1u + pieces[i % count] : length, taken = 0;
        if (piece > length - told.taken)
            piece = length - told.taken;
        uint8_t *block = malloc(piece);
        memcpy(block, bytes + told.taken, piece);
        told.verdict = http_parse(&parser, block, piece, &taken);
        MUST(taken <= piece && (told.verdict != HTTP_MORE || taken == piece));
        told.taken += taken;
        free(block);
    }
    told.status = told.verdict == HTTP_REFUSED ? parser.status : 0;
    if (told.verdict == HTTP_REQUEST) {
        MUST(strlen(parser.path) <= HTTP_TARGET_BYTES_MAX && strlen(parser.host) <= HTTP_HOST_BYTES_MAX);
        told.keep_alive = parser.keep_alive;
        told.method = parser.method;
        told.allowed = !parser.has_host || http_host_allowed(parser.host, NULL, 0);
        strcpy(told.path, parser.path);
    }
    return told;
}

static uint64_t counter(void *state, enum counter which)
{
    (void)state;
    return which;
}

static uint64_t gauge(void *state, enum stats_gauge which)
{
    (void)state;
    return which;
}

static struct stats_node node(void *state)
{
    (void)state;
    return (struct stats_node){.state = STATE_READ_ONLY, .why = "disk \"full\""};
}

static void rest(struct http *http, struct fake_stream *stream, struct instant now)
{
    for (unsigned turns = 0;; turns++) {
        MUST(turns < 1000000);
        bool written = http_turn(http, now);
        fake_take(stream, 1000);
        if (!fake_turn(stream, now.mono_ns) && !written && stream->out_taken == stream->out_length)
            return;
    }
}

static void converse(const uint8_t *bytes, size_t length, const uint8_t *pieces, unsigned count,
                     unsigned temper)
{
    static const struct stats_source source = {
        .version = "1", .counter = counter, .gauge = gauge, .node = node};
    struct counters *counters = aligned_alloc(64, sizeof(*counters));
    memset(counters, 0, sizeof(*counters));
    struct instant now = {.mono_ns = 1};
    struct http_config config = {.source = &source, .counters = counters, .connections_max = 1};
    struct http *http = http_create(&config, now);
    struct fake_stream *stream = fake_new(1, 1);
    stream->segment = temper & 1 ? STREAM_RESERVE_MAX : 1448;
    stream->piece = temper & 2 ? 7 : SIZE_MAX;
    stream->send_limit = temper & 4 ? 2000 : 1 << 16;
    MUST(http_adopt(http, &stream->stream));
    size_t at = 0;
    for (unsigned i = 0; at < length; i++) {
        size_t piece = count > 0 ? 1u + pieces[i % count] : length;
        if (piece > length - at)
            piece = length - at;
        if (!stream->closed)
            fake_send(stream, bytes + at, piece);
        at += piece;
        if (temper & 8)
            rest(http, stream, now);
    }
    fake_end(stream);
    rest(http, stream, now);
    MUST(stream->closed && stream->end == STREAM_END_CLOSED && http_connections(http) == 0);
    uint64_t answers = counter_get(counters, COUNTER_http_requests) +
                       counter_get(counters, COUNTER_http_refused_request) +
                       counter_get(counters, COUNTER_http_refused_body);
    MUST((answers == 0) == (stream->out_length == 0));
    fake_free(stream);
    http_destroy(http);
    free(counters);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, data + size};
    unsigned temper = fuzz_u8(&input), count = fuzz_u8(&input) % 16;
    const uint8_t *pieces = input.at;
    if (fuzz_left(&input) < count)
        return 0;
    input.at += count;
    size_t length = fuzz_left(&input);
    if (length == 0 || length > 20000)
        return 0;
    struct told whole = parse(input.at, length, NULL, 0), split = parse(input.at, length, pieces, count);
    MUST(whole.verdict == split.verdict && whole.taken == split.taken && whole.status == split.status);
    MUST(whole.keep_alive == split.keep_alive && whole.method == split.method &&
         whole.allowed == split.allowed);
    MUST(strcmp(whole.path, split.path) == 0);
    int sniffed = http_sniff(input.at, length);
    MUST(sniffed != 0 || length < HTTP_SNIFF_BYTES);
    converse(input.at, length, pieces, count, temper);
    return 0;
}
