/*
 * http.h - the node's pages over streams: GET and HEAD of /stats, /metrics and /health. Counters only, never
 * keys or values, so nobody is asked who they are; but a browser that was lured here gets nothing
 * (http_parser.h).
 *
 *   READING --request--> WRITING --done--> READING (keep-alive; what was pipelined comes now)
 *                             \---last--> LINGERING --the peer ends, or 5 s--> gone
 *
 *   READING    bytes go through the parser. A request must be whole 10 s after its first byte; without
 *              one the connection is closed after 60 s
 *   WRITING    pieces leave in http_turn(), a few a turn for all connections together: pages cost workers
 *              some microseconds a turn at most, however many ask. Not done after 30 s: reset
 *   LINGERING  what still comes is thrown away, so that no reset overtakes the answer (RFC 9112 9.6)
 *
 * Places. Nobody can keep others out by holding them: an eighth of the places is kept free by ending, with
 * every newcomer beyond that, the oldest connection of the source that holds most (source.h), whatever its
 * state; a newcomer of its own is refused while that is younger than HTTP_GRACE_NS.
 *
 * Memory: connections_max places of sizeof(struct http_connection), about 1 KiB each, taken at creation.
 */
#ifndef WILD_HTTP_H
#define WILD_HTTP_H

#include "counters.h"
#include "instant.h"
#include "service/stats_source.h"
#include "stream.h"

#define HTTP_REQUEST_NS UINT64_C(10000000000)
#define HTTP_IDLE_NS    UINT64_C(60000000000)
#define HTTP_WRITE_NS   UINT64_C(30000000000)
#define HTTP_LINGER_NS  UINT64_C(5000000000)
#define HTTP_GRACE_NS   UINT64_C(250000000)

enum { HTTP_PIECES_PER_TURN = 2, HTTP_PLACES_KEPT_FREE = 8 /* one of so many */ };

struct http_config {
    const struct stats_source *source; /* borrowed, like every pointer here */
    struct counters *counters;
    const char *const *hosts; /* --http-host: names besides IP literals */
    unsigned hosts_count;
    unsigned connections_max;
    uint32_t source_seed; /* random (source.h) */
};

struct http;

struct http *http_create(const struct http_config *config, struct instant now); /* NULL: no memory */
/* No stream may be left: those below are destroyed first. */
void http_destroy(struct http *http);

/*
 * Takes over a stream whose first bytes begin a request: its events and user are http's from now on, and what
 * has come so far is given to its `received`. False (counted): every place is taken; the stream is as it was.
 */
bool http_adopt(struct http *http, struct stream *stream);

/*
 * Once a turn, before events come: the time, and the pages' next pieces. True: there was something to write.
 */
bool http_turn(struct http *http, struct instant now);

/*
 * From now on every answer is the last of its connection, and says so. What has begun, a request or a page,
 * http_busy() counts.
 */
void http_drain(struct http *http);
/* Requests that have not come whole are given up, connections closed; pages under way are written to their
 * end. */
void http_close_all(struct http *http);

unsigned http_connections(const struct http *http);
unsigned http_busy(
    const struct http *http); /* in the middle of a request or of its answer; walks all places */

#endif
