/*
 * kernel_fixture.h - workers over kernel sockets on loopback, a service that does as it is told and notes
 * what happens, and plain sockets as its peers. Time is the test's; only the kernel's own doing is
 * waited for, by turns.
 */
#ifndef WILD_KERNEL_FIXTURE_H
#define WILD_KERNEL_FIXTURE_H

#include <CUnit/CUnit.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/kernel_worker.h"
#include "seeded.h"
#include "tcp/tcp_timers.h"
#include "test_eal.h"

enum { FIXTURE_STREAMS = 1024, FIXTURE_BLOCKS = 256, FIXTURE_WORKERS_MAX = 4, FIXTURE_TURNS_MAX = 20000 };
#define FIXTURE_MS      UINT64_C(1000000)
#define FIXTURE_TICK_NS (UINT64_C(1) << TIMER_TICK_SHIFT) /* deadlines pass with the next one */

struct fixture;

/* What happened to one stream, and what its service shall do. */
struct record {
    struct fixture *fixture;
    struct stream *stream; /* NULL once it is closed */
    unsigned worker;
    uint8_t *bytes; /* received, FIXTURE_BYTES_MAX of them at most */
    size_t length;
    unsigned connected, received, ended, writable, expired, closed;
    enum stream_end end;
    /* orders */
    size_t take_max;                                      /* of one `received`; SIZE_MAX: all */
    bool echo;                                            /* send back what is taken */
    bool close_at_end;                                    /* close in `ended` */
    void (*at)(struct record *record, const char *event); /* called in every event, first */
};
enum { FIXTURE_BYTES_MAX = 8 << 20 };

struct fixture {
    struct kernel_port port;
    unsigned workers;
    struct kernel_worker *worker[FIXTURE_WORKERS_MAX];
    struct counters counters[FIXTURE_WORKERS_MAX];
    struct acceptor_of {
        struct fixture *fixture;
        unsigned worker;
    } acceptor[FIXTURE_WORKERS_MAX];
    struct instant now;
    uint64_t entropy;
    struct random_source random;
    struct record record[FIXTURE_STREAMS];
    unsigned records;
    bool refuse;          /* accepted gives false */
    struct record orders; /* what new streams' records begin with */
    unsigned inside;      /* an event or a function of a stream is under way */
};

/* ---- the service ---- */

static inline struct record *record_of(struct stream *stream)
{
    return stream->user;
}

static inline void record_enter(struct record *record, const char *event)
{
    CU_ASSERT_EQUAL(record->closed, 0); /* nothing comes after closed */
    CU_ASSERT_EQUAL(record->fixture->inside, 0);
    record->fixture->inside++;
    if (record->at != NULL)
        record->at(record, event);
}

static inline void record_leave(struct record *record)
{
    record->fixture->inside--;
}

/* As much as there is room for. */
static inline size_t record_send(struct record *record, const uint8_t *bytes, size_t length)
{
    size_t sent = 0;
    record->fixture->inside++;
    while (sent < length) {
        size_t left = length - sent, room = 0;
        uint8_t *place =
            stream_reserve(record->stream, left < STREAM_RESERVE_MAX ? left : STREAM_RESERVE_MAX, &room);
        if (place == NULL)
            break;
        room = room < left ? room : left;
        memcpy(place, bytes + sent, room);
        stream_commit(record->stream, room);
        sent += room;
    }
    record->fixture->inside--;
    return sent;
}

static inline void on_connected(struct stream *stream)
{
    struct record *record = record_of(stream);
    record_enter(record, "connected");
    record->connected++;
    record_leave(record);
}

static inline size_t on_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct record *record = record_of(stream);
    record_enter(record, "received");
    size_t taken = length < record->take_max ? length : record->take_max;
    CU_ASSERT_FATAL(record->length + taken <= FIXTURE_BYTES_MAX && length > 0);
    memcpy(record->bytes + record->length, bytes, taken);
    record->length += taken;
    record->received++;
    if (record->echo)
        CU_ASSERT_EQUAL(record_send(record, bytes, taken), taken);
    memset(bytes, 0xEE, length); /* it is the service's to change */
    record_leave(record);
    return taken;
}

static inline void on_ended(struct stream *stream)
{
    struct record *record = record_of(stream);
    record_enter(record, "ended");
    record->ended++;
    if (record->close_at_end)
        stream_close(stream);
    record_leave(record);
}

static inline void on_writable(struct stream *stream)
{
    struct record *record = record_of(stream);
    record_enter(record, "writable");
    record->writable++;
    record_leave(record);
}

static inline void on_expired(struct stream *stream)
{
    struct record *record = record_of(stream);
    record_enter(record, "expired");
    record->expired++;
    record_leave(record);
}

static inline void on_closed(struct stream *stream, enum stream_end end)
{
    struct record *record = record_of(stream);
    record_enter(record, "closed");
    record->end = end;
    record->closed++;
    record->stream = NULL;
    record_leave(record);
}

static inline const struct stream_events *fixture_events(void)
{
    static const struct stream_events events = {.connected = on_connected,
                                                .received = on_received,
                                                .ended = on_ended,
                                                .writable = on_writable,
                                                .expired = on_expired,
                                                .closed = on_closed};
    return &events;
}

static inline struct record *fixture_record(struct fixture *fixture, unsigned worker, struct stream *stream)
{
    CU_ASSERT_FATAL(fixture->records < FIXTURE_STREAMS);
    struct record *record = &fixture->record[fixture->records++];
    *record = fixture->orders;
    record->fixture = fixture;
    record->worker = worker;
    record->stream = stream;
    /* Untouched pages cost nothing, also where malloc() fills what it gives (MALLOC_PERTURB_). */
    record->bytes = mmap(NULL, FIXTURE_BYTES_MAX, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CU_ASSERT_FATAL(record->bytes != MAP_FAILED);
    return record;
}

static inline bool fixture_accepted(void *state, struct stream *stream)
{
    struct acceptor_of *of = state;
    if (of->fixture->refuse)
        return false;
    stream->events = fixture_events();
    stream->user = fixture_record(of->fixture, of->worker, stream);
    struct record *record = stream->user;
    record_enter(record, "accepted");
    record_leave(record);
    return true;
}

/* ---- the node's side ---- */

struct fixture_options {
    unsigned workers, streams_max, per_source_max, blocks_max;
    uint32_t send_bytes_max;
    bool any_address, datagrams_only;
};

static inline void fixture_start(struct fixture *fixture, const struct fixture_options *options)
{
    char error[256] = "";
    struct kernel_port_config port = {.address =
                                          address_from_ip4(options->any_address ? 0 : htonl(INADDR_LOOPBACK)),
                                      .workers = options->workers != 0 ? options->workers : 1,
                                      .streams = !options->datagrams_only};
    memset(fixture, 0, sizeof(*fixture));
    fixture->now = (struct instant){.mono_ns = UINT64_C(1000000000), .wall_ms = UINT64_C(1700000000000)};
    fixture->entropy = seeded_start(1);
    fixture->random = seeded_source(&fixture->entropy);
    fixture->orders.take_max = SIZE_MAX;
    fixture->workers = port.workers;
    if (kernel_port_open(&fixture->port, &port, error, sizeof(error)) != 0) {
        fprintf(stderr, "kernel_port_open: %s\n", error);
        CU_FAIL_FATAL("no sockets on loopback");
    }
    for (unsigned i = 0; i < fixture->workers; i++) {
        fixture->acceptor[i] = (struct acceptor_of){fixture, i};
        struct kernel_worker_config config = {
            .sockets = fixture->port.sockets[i],
            .acceptor = {.state = &fixture->acceptor[i], .accepted = fixture_accepted},
            .streams_max = options->streams_max != 0 ? options->streams_max : FIXTURE_STREAMS,
            .per_source_max = options->per_source_max,
            .blocks_max = options->blocks_max != 0 ? options->blocks_max : FIXTURE_BLOCKS,
            .send_bytes_max = options->send_bytes_max != 0 ? options->send_bytes_max : 128 * 1024,
            .random = &fixture->random,
            .counters = &fixture->counters[i],
            .numa_node = -1,
        };
        fixture->worker[i] = kernel_worker_create(&config, fixture->now);
        CU_ASSERT_PTR_NOT_NULL_FATAL(fixture->worker[i]);
    }
}

static inline void fixture_stop(struct fixture *fixture)
{
    for (unsigned i = 0; i < fixture->workers; i++)
        kernel_worker_destroy(fixture->worker[i]);
    kernel_port_close(&fixture->port);
    for (unsigned i = 0; i < fixture->records; i++) {
        CU_ASSERT_EQUAL(fixture->record[i].closed, 1);
        munmap(fixture->record[i].bytes, FIXTURE_BYTES_MAX);
    }
    CU_ASSERT_EQUAL(fixture->inside, 0);
}

/* One turn of every worker, with a short wait before it; virtual time stands still. */
static inline unsigned fixture_turn(struct fixture *fixture)
{
    unsigned done = 0;
    for (unsigned i = 0; i < fixture->workers; i++) {
        kernel_wait(fixture->worker[i], fixture->workers == 1);
        done += kernel_turn(fixture->worker[i], fixture->now);
    }
    return done;
}

/* A few turns in which nothing more happens: what should not come has not come. */
static inline void fixture_settle(struct fixture *fixture)
{
    for (unsigned quiet = 0, turns = 0; quiet < 3 && turns < FIXTURE_TURNS_MAX; turns++)
        quiet = fixture_turn(fixture) == 0 ? quiet + 1 : 0;
}

/* Turns until the condition holds; a test that waits in vain fails. */
#define FIXTURE_UNTIL(fixture, condition)                                                                    \
    do {                                                                                                     \
        unsigned turns_left = FIXTURE_TURNS_MAX;                                                             \
        while (!(condition) && turns_left-- > 0)                                                             \
            fixture_turn(fixture);                                                                           \
        CU_ASSERT_FATAL(condition);                                                                          \
    } while (0)

/* The stream ends, once, and in this way. */
static inline void expect_closed(const struct record *record, enum stream_end end)
{
    FIXTURE_UNTIL(record->fixture, record->closed > 0);
    fixture_settle(record->fixture);
    CU_ASSERT_EQUAL(record->closed, 1);
    CU_ASSERT_EQUAL(record->end, end);
}

static inline uint64_t fixture_counter(const struct fixture *fixture, enum counter which)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < fixture->workers; i++)
        sum += counter_get(&fixture->counters[i], which);
    return sum;
}

/* ---- the peers' side: ordinary sockets, not blocking ---- */

static inline struct sockaddr_in fixture_address(const struct fixture *fixture, uint32_t ip4)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(fixture->port.port), .sin_addr.s_addr = htonl(ip4)};
}

static inline int peer_socket(int type)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(fd >= 0);
    return fd;
}

static inline int peer_connect(const struct fixture *fixture)
{
    struct sockaddr_in to = fixture_address(fixture, INADDR_LOOPBACK);
    int fd = peer_socket(SOCK_STREAM), one = 1;
    CU_ASSERT_EQUAL_FATAL(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    CU_ASSERT_EQUAL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* A connection, and its record; accepted by then. */
static inline int peer_open(struct fixture *fixture, struct record **record)
{
    unsigned before = fixture->records;
    int fd = peer_connect(fixture);
    FIXTURE_UNTIL(fixture, fixture->records > before);
    *record = &fixture->record[before];
    return fd;
}

static inline void peer_reset(int fd)
{
    const struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
}

/* Reads until `length` bytes are there, the stream ends or fails; the node's turns go on meanwhile. Returns
 * what came; *outcome 0: length reached; 1: ended; else -errno. */
static inline size_t peer_read(struct fixture *fixture, int fd, uint8_t *bytes, size_t length, int *outcome)
{
    size_t got = 0;
    *outcome = 0;
    for (unsigned turns = 0; got < length && turns < FIXTURE_TURNS_MAX; turns++) {
        ssize_t n = recv(fd, bytes + got, length - got, 0);
        if (n == 0) {
            *outcome = 1;
            return got;
        }
        if (n < 0 && errno != EAGAIN) {
            *outcome = -errno;
            return got;
        }
        got += n > 0 ? (size_t)n : 0;
        if (n < 0)
            fixture_turn(fixture);
    }
    if (got < length)
        *outcome = -ETIMEDOUT;
    return got;
}

/* The peer's side ends in order: nothing but the end comes. */
static inline void peer_expect_end(struct fixture *fixture, int fd, int outcome)
{
    uint8_t byte;
    int came;
    CU_ASSERT_EQUAL(peer_read(fixture, fd, &byte, 1, &came), 0);
    CU_ASSERT_EQUAL(came, outcome);
}

/* Bytes that are the same wherever they are looked at. */
static inline void pattern_fill(uint8_t *bytes, size_t from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)((from + i) * 2654435761u >> 13);
}

static inline bool pattern_holds(const uint8_t *bytes, size_t from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != (uint8_t)((from + i) * 2654435761u >> 13))
            return false;
    return true;
}

#endif
