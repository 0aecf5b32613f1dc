/* http.c - connections: read a request, write a page. */
#include "service/http.h"

#include <stdlib.h>

#include "service/http_page.h"
#include "service/http_parser.h"
#include "service/source.h"

static_assert((int)HTTP_PIECE_BYTES_MIN <= (int)STREAM_RESERVE_MAX, "what a stream grants is enough");

enum http_state { HTTP_FREE = 0, HTTP_READING, HTTP_WRITING, HTTP_LINGERING, HTTP_GONE };
enum { NOBODY = -1 };

struct http_connection {
    struct http *http;
    struct stream *stream;
    int32_t next;  /* FREE: the free list; WRITING: the queue of those with room to write */
    uint8_t state; /* enum http_state */
    bool queued;
    bool ended;     /* the peer sends no more */
    bool started;   /* READING: the request's deadline is set */
    bool displaced; /* reset to make room; `closed` is to come */
    struct source source;
    uint64_t since_ns; /* READING, or the last time that it was */
    struct http_parser parser;
    struct http_page page;
};

struct http {
    struct http_config config;
    struct instant now;
    struct http_connection *connections;
    int32_t free;
    int32_t first, last; /* queue of those to write for, in turn */
    unsigned used;
    bool draining;
    uint8_t displaced; /* where the look for the next one begins */
};

static void count(const struct http *http, enum counter which)
{
    counter_add(http->config.counters, which, 1);
}

static struct http_connection *connection_of(const struct stream *stream)
{
    return stream->user;
}

static void deadline(struct http_connection *c, uint64_t from_now_ns)
{
    stream_set_deadline(c->stream, c->http->now.mono_ns + from_now_ns);
}

/* ---- the queue ---- */

static void enqueue(struct http_connection *c)
{
    struct http *http = c->http;
    int32_t place = (int32_t)(c - http->connections);
    if (c->queued)
        return;
    c->queued = true;
    c->next = NOBODY;
    if (http->first == NOBODY)
        http->first = place;
    else
        http->connections[http->last].next = place;
    http->last = place;
}

static struct http_connection *dequeue(struct http *http)
{
    struct http_connection *c = &http->connections[http->first];
    http->first = c->next;
    c->queued = false;
    return c;
}

/* The place may be taken again. */
static void release(struct http_connection *c)
{
    struct http *http = c->http;
    c->state = HTTP_FREE;
    c->next = http->free;
    http->free = (int32_t)(c - http->connections);
    http->used--;
}

/* ---- states ---- */

static void read_next(struct http_connection *c)
{
    http_parser_reset(&c->parser);
    c->state = HTTP_READING;
    c->started = false;
    c->since_ns = c->http->now.mono_ns;
    deadline(c, HTTP_IDLE_NS);
}

static void linger(struct http_connection *c)
{
    c->state = HTTP_LINGERING;
    stream_close(c->stream);
    stream_resume(c->stream); /* what was left is thrown away too, or the peer's end would wait behind it */
    deadline(c, HTTP_LINGER_NS);
}

static void respond(struct http_connection *c, enum http_content content, uint16_t status, bool last)
{
    last |= c->http->draining;
    c->page = (struct http_page){.content = (uint8_t)content,
                                 .status = status,
                                 .head_only = c->parser.method == HTTP_HEAD,
                                 .last = last,
                                 .kept = !last && c->parser.minor == 0};
    c->state = HTTP_WRITING;
    deadline(c, HTTP_WRITE_NS);
    enqueue(c);
}

/* Without an answer, and nothing to learn from how the connection ends. */
static void turn_away(struct http_connection *c)
{
    count(c->http, COUNTER_http_browser_refused);
    linger(c);
}

static void answer_request(struct http_connection *c)
{
    const struct http *http = c->http;
    const struct http_parser *request = &c->parser;
    if (request->has_host &&
        !http_host_allowed(request->host, http->config.hosts, http->config.hosts_count)) {
        turn_away(c);
        return;
    }
    count(http, COUNTER_http_requests);
    bool last = !request->keep_alive;
    if (request->method == HTTP_OTHER) {
        count(http, COUNTER_http_refused_method);
        respond(c, HTTP_ERROR, 405, last);
        return;
    }
    enum http_content content = http_page_find(request->path);
    if (content == HTTP_ERROR) {
        count(http, COUNTER_http_not_found);
        respond(c, HTTP_ERROR, 404, last);
        return;
    }
    /* A long page for HTTP/1.0 ends with the connection: it has no chunks to say where it ends. */
    bool chunked = request->minor >= 1;
    respond(c, content, 200, last || (!chunked && content != HTTP_HEALTH));
    c->page.chunked = chunked;
}

static void refuse_request(struct http_connection *c)
{
    count(c->http, c->parser.status == 413 ? COUNTER_http_refused_body : COUNTER_http_refused_request);
    respond(c, HTTP_ERROR, c->parser.status, true);
}

/* ---- events ---- */

static size_t received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct http_connection *c = connection_of(stream);
    if (c->state == HTTP_LINGERING)
        return length;
    if (c->state == HTTP_WRITING)
        return 0; /* the next request waits for this one's answer */
    size_t taken = 0;
    enum http_verdict verdict = http_parse(&c->parser, bytes, length, &taken);
    if (!c->started && !http_parser_idle(&c->parser)) {
        c->started = true;
        deadline(c, HTTP_REQUEST_NS);
    }
    switch (verdict) {
    case HTTP_MORE:
        return length;
    case HTTP_REQUEST:
        answer_request(c);
        break;
    case HTTP_REFUSED:
        refuse_request(c);
        break;
    case HTTP_BROWSER:
        turn_away(c);
        break;
    }
    return c->state == HTTP_LINGERING ? length : taken;
}

static void ended(struct stream *stream)
{
    struct http_connection *c = connection_of(stream);
    c->ended = true;
    if (c->state == HTTP_READING)
        linger(c);
}

static void writable(struct stream *stream)
{
    struct http_connection *c = connection_of(stream);
    if (c->state == HTTP_WRITING)
        enqueue(c);
}

static void expired(struct stream *stream)
{
    struct http_connection *c = connection_of(stream);
    if (c->state == HTTP_READING && http_parser_idle(&c->parser)) {
        linger(c); /* kept alive for long enough */
        return;
    }
    if (c->state != HTTP_LINGERING)
        count(c->http, COUNTER_http_timed_out);
    stream_abort(stream);
}

static void closed(struct stream *stream, enum stream_end end)
{
    (void)end;
    struct http_connection *c = connection_of(stream);
    if (c->queued)
        c->state = HTTP_GONE; /* its turn in the queue releases it */
    else
        release(c);
}

static const struct stream_events events = {
    .received = received, .ended = ended, .writable = writable, .expired = expired, .closed = closed};

/* ---- writing ---- */

static void page_done(struct http_connection *c)
{
    if (c->page.last) {
        linger(c);
        return;
    }
    read_next(c);
    if (c->ended)
        linger(c);
    else
        stream_resume(c->stream); /* what was pipelined */
}

static void write_piece(struct http_connection *c)
{
    struct http *http = c->http;
    if (c->state == HTTP_GONE) {
        release(c);
        return;
    }
    size_t room;
    uint8_t *out = stream_reserve(c->stream, HTTP_PIECE_BYTES_MIN, &room);
    if (out == NULL)
        return; /* writable() brings it back */
    stream_commit(c->stream, http_page_write(&c->page, http->config.source, http->now.wall_ms, out, room));
    if (c->page.done)
        page_done(c);
    else
        enqueue(c);
}

bool http_turn(struct http *http, struct instant now)
{
    http->now = now;
    if (http->first == NOBODY)
        return false;
    for (unsigned i = 0; i < HTTP_PIECES_PER_TURN && http->first != NOBODY; i++)
        write_piece(dequeue(http));
    return true;
}

/* ---- draining ---- */

void http_drain(struct http *http)
{
    http->draining = true;
}

void http_close_all(struct http *http)
{
    http_drain(http);
    for (unsigned i = 0; i < http->config.connections_max; i++) {
        struct http_connection *c = &http->connections[i];
        if (c->state == HTTP_READING)
            linger(c);
        else if (c->state == HTTP_WRITING)
            c->page.last = true; /* though it may have promised to go on */
    }
}

unsigned http_busy(const struct http *http)
{
    unsigned busy = 0;
    for (unsigned i = 0; i < http->config.connections_max; i++) {
        const struct http_connection *c = &http->connections[i];
        busy += c->state == HTTP_WRITING || (c->state == HTTP_READING && c->started);
    }
    return busy;
}

/* ---- life ---- */

struct http *http_create(const struct http_config *config, struct instant now)
{
    struct http *http = calloc(1, sizeof(*http));
    if (http == NULL)
        return NULL;
    http->connections = calloc(config->connections_max, sizeof(*http->connections));
    if (http->connections == NULL) {
        free(http);
        return NULL;
    }
    http->config = *config;
    http->now = now;
    http->first = http->last = NOBODY;
    for (unsigned i = 0; i < config->connections_max; i++)
        http->connections[i].next = i + 1 < config->connections_max ? (int32_t)i + 1 : NOBODY;
    http->free = config->connections_max > 0 ? 0 : NOBODY;
    return http;
}

void http_destroy(struct http *http)
{
    if (http == NULL)
        return;
    free(http->connections);
    free(http);
}

static bool holds(const struct http_connection *c)
{
    return c->state != HTTP_FREE && c->state != HTTP_GONE && !c->displaced;
}

/* The source that holds most; false: nobody holds anything. */
static bool heaviest(struct http *http, struct source *source)
{
    uint32_t networks[SOURCE_NETWORKS] = {0}, hosts[SOURCE_HOSTS] = {0};
    const struct http_connection *end = http->connections + http->config.connections_max;
    uint8_t from = http->displaced++;
    for (const struct http_connection *c = http->connections; c < end; c++)
        networks[c->source.network] += holds(c);
    source->network = source_heaviest(networks, from);
    for (const struct http_connection *c = http->connections; c < end; c++)
        hosts[c->source.host] += holds(c) && c->source.network == source->network;
    source->host = source_heaviest(hosts, from);
    return hosts[source->host] > 0;
}

/*
 * See "Places" in http.h. False: what is left is not for this one. The place of whoever makes room is free
 * when its `closed` comes, after this event; until then newcomers take those that are kept free.
 */
static bool make_room(struct http *http, struct source newcomer)
{
    unsigned places = http->config.connections_max;
    struct http_connection *oldest = NULL;
    struct source source;
    if (http->used <= places - places / HTTP_PLACES_KEPT_FREE || !heaviest(http, &source))
        return http->free != NOBODY;
    for (unsigned i = 0; i < places; i++) {
        struct http_connection *c = &http->connections[i];
        if (holds(c) && source_equal(c->source, source) && (oldest == NULL || c->since_ns < oldest->since_ns))
            oldest = c;
    }
    if (source_equal(source, newcomer) && http->now.mono_ns - oldest->since_ns < HTTP_GRACE_NS)
        return false;
    count(http, COUNTER_http_displaced);
    oldest->displaced = true;
    stream_abort(oldest->stream);
    return http->free != NOBODY;
}

bool http_adopt(struct http *http, struct stream *stream)
{
    struct source source = source_of(&stream->flow.peer, http->config.source_seed);
    if (!make_room(http, source)) {
        count(http, COUNTER_http_connections_full);
        return false;
    }
    struct http_connection *c = &http->connections[http->free];
    http->free = c->next;
    http->used++;
    *c = (struct http_connection){.http = http, .stream = stream, .source = source};
    stream->user = c;
    stream->events = &events;
    read_next(c);
    count(http, COUNTER_http_connections);
    return true;
}

unsigned http_connections(const struct http *http)
{
    return http->used;
}
