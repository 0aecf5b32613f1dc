/*
 * bench_native_tcp - what a GET (8-byte key, 32-byte value) costs the native service over a stream, without
 * TCP: the record opened, the message executed, the reply sealed into the segment. The stream is a place in
 * memory. What TCP adds is bench_tcp's.
 *
 * Per call of received() there is one record, or a segment full of them. Median of windows; no bar of its
 * own: the design's is for a whole request.
 */
#include <rte_cycles.h>

#include "bench_window.h"
#include "native_tcp_peer.h"

enum { WINDOWS = 200, CALLS = 64, RECORDS_MAX = 18 };

static uint8_t *reserve(struct stream *stream, size_t least, size_t *room)
{
    (void)least;
    *room = 1448;
    return ((struct fake_stream *)stream)->place;
}

static void commit(struct stream *stream, size_t length)
{
    (void)stream, (void)length;
}

static size_t unsent(const struct stream *stream)
{
    (void)stream;
    return 0;
}

static size_t spare(const struct stream *stream)
{
    (void)stream;
    return SIZE_MAX;
}

/* Nothing is timed, held back or ended here. */
static const struct stream_functions functions = {
    .reserve = reserve, .commit = commit, .unsent = unsent, .spare = spare};

static void measure(bool sealed, unsigned records)
{
    static uint8_t bytes[CALLS][2048];
    static double cycles[WINDOWS];
    size_t length[CALLS];
    struct tcp_node *node = tcp_node_start(&(struct tcp_node_options){.bench = true});
    struct tcp_client *c = tcp_client_open(node, 1);
    if (sealed)
        native_check(tcp_client_connect(c), "a session");
    else
        c->writer = record_writer_start(NULL, NULL);
    native_check(tcp_client_do(c, native_set("12345678", "a value of thirty-two bytes, yes")).status ==
                     STATUS_OK,
                 "SET");
    struct stream *stream = &c->stream->stream;
    const struct stream_functions *before = stream->functions;
    c->stream->place = realloc(c->stream->place, 2048);
    stream->functions = &functions;
    for (unsigned w = 0; w < WINDOWS; w++) {
        for (unsigned i = 0; i < CALLS; i++) {
            length[i] = 0;
            for (unsigned r = 0; r < records; r++) {
                struct operation get = native_get("12345678");
                length[i] += tcp_client_seal(c, &get, 1, bytes[i] + length[i]);
            }
        }
        uint64_t begin = rte_rdtsc_precise();
        for (unsigned i = 0; i < CALLS; i++)
            native_check(stream->events->received(stream, bytes[i], length[i]) == length[i], "received");
        cycles[w] = (double)(rte_rdtsc_precise() - begin) / (CALLS * records);
    }
    stream->functions = before;
    /* The bars are of the whole path, TCP below included (900 and 1,700 cycles). */
    char name[64];
    snprintf(name, sizeof name, "native_tcp_get_%s_%u_a_segment", sealed ? "sealed" : "unsealed", records);
    bench_print(name, bench_quantile(cycles, WINDOWS, 0.5), sealed ? 1700 : 900);
    native_check(tcp_counted(node, COUNTER_native_operations) == 1 + (uint64_t)WINDOWS * CALLS * records,
                 "all answered");
    tcp_client_free(c);
    tcp_node_stop(node);
}

int main(void)
{
    for (unsigned sealed = 0; sealed < 2; sealed++) {
        measure(sealed, 1);
        measure(sealed, RECORDS_MAX);
    }
    return 0;
}
