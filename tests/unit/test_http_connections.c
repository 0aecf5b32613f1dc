/* test_http_connections.c - connections that ask for pages: in order, slowly, in silence, or as browsers do. */
#include "service/http.h"

#include "fake_stream.h"
#include "http_fixture.h"

struct world {
    struct source source;
    struct counters counters;
    struct instant now;
    struct http *http;
    struct fake_stream *stream;
};

static const char *const hosts[] = {"cache.example"};

static void start(struct world *w, unsigned connections)
{
    memset(w, 0, sizeof *w);
    source_init(&w->source, STATE_SERVING);
    w->now = (struct instant){.mono_ns = 1000000000, .wall_ms = WALL_MS};
    struct http_config config = {.source = &w->source.face,
                                 .counters = &w->counters,
                                 .hosts = hosts,
                                 .hosts_count = 1,
                                 .connections_max = connections};
    w->http = http_create(&config, w->now);
    w->stream = fake_new(0x0A000002, 40000);
    CU_ASSERT_TRUE_FATAL(http_adopt(w->http, &w->stream->stream));
}

static void turn(struct world *w)
{
    for (unsigned i = 0; i < 2000; i++) {
        bool written = http_turn(w->http, w->now);
        if (!fake_turn(w->stream, w->now.mono_ns) && !written)
            return;
    }
    CU_FAIL("it does not come to rest");
}

static void stop(struct world *w)
{
    if (!w->stream->closed) {
        w->stream->peer_reset = true;
        turn(w);
    }
    turn(w);
    CU_ASSERT_EQUAL(http_connections(w->http), 0);
    http_destroy(w->http);
    fake_free(w->stream);
}

static void say(struct world *w, const char *text)
{
    fake_send(w->stream, text, strlen(text));
    turn(w);
}

/* What came since the last call, as text. */
static const char *answer(struct world *w)
{
    static char text[PAGE_BYTES_MAX];
    size_t from = w->stream->out_taken, length = fake_take(w->stream, SIZE_MAX);
    if (length > 0)
        memcpy(text, w->stream->out + from, length);
    text[length] = 0;
    return text;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n"

static uint64_t counted(const struct world *w, enum counter which)
{
    return counter_get(&w->counters, which);
}

static void a_connection_is_kept_alive_and_answers_in_order(void)
{
    struct world w;
    size_t length;
    start(&w, 1);
    say(&w, GET("/health"));
    CU_ASSERT(begins(answer(&w), "HTTP/1.1 200 OK\r\n"));
    say(&w, GET("/nothing"));
    CU_ASSERT(begins(answer(&w), "HTTP/1.1 404 Not Found\r\n"));
    say(&w, "DELETE /stats HTTP/1.1\r\nHost: cache.example:7878\r\n\r\n");
    const char *text = answer(&w);
    CU_ASSERT(begins(text, "HTTP/1.1 405 Method Not Allowed\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\r\nAllow: GET, HEAD\r\n"));
    say(&w, GET("/metrics"));
    text = answer(&w);
    CU_ASSERT_PTR_NOT_NULL(body_of((char *)(uintptr_t)text, strlen(text), &length));
    CU_ASSERT_FALSE(w.stream->close_asked);
    /* pipelined: the answers come in order, each whole */
    say(&w, GET("/stats") GET("/health") "HEAD /metrics HTTP/1.1\r\nHost: 1.1.1.1\r\n\r\n" GET("/nothing"));
    text = answer(&w);
    const char *stats = strstr(text, "\"counters\""), *health = strstr(text, "\"healthy\":true");
    const char *last = strstr(text, "404 Not Found");
    CU_ASSERT(stats != NULL && health > stats && last > health);
    CU_ASSERT_PTR_NULL(strstr(text, "# HELP"));
    CU_ASSERT_EQUAL(counted(&w, COUNTER_http_requests), 8);
    CU_ASSERT_EQUAL(counted(&w, COUNTER_http_not_found), 2);
    CU_ASSERT_EQUAL(counted(&w, COUNTER_http_refused_method), 1);
    stop(&w);
}

static void a_script_split_at_every_byte_gives_the_same_bytes(void)
{
    static const char script[] = GET("/stats") GET("/x") "HEAD /health HTTP/1.1\r\nHost: 1.2.3.4\r\n\r\n" GET(
        "/health") "GET /metrics HTTP/1.0\r\nHost: 1.2.3.4\r\n\r\n";
    static char expected[PAGE_BYTES_MAX];
    struct world w;
    start(&w, 1);
    say(&w, script);
    strcpy(expected, answer(&w));
    CU_ASSERT_TRUE(w.stream->close_asked);
    stop(&w);
    for (size_t split = 1; split < sizeof script - 1; split++) {
        start(&w, 1);
        fake_send(w.stream, script, split);
        if (split % 3 == 0)
            turn(&w);
        say(&w, script + split);
        CU_ASSERT_STRING_EQUAL(answer(&w), expected);
        stop(&w);
    }
    start(&w, 1);
    w.stream->piece = 1;
    say(&w, script);
    CU_ASSERT_STRING_EQUAL(answer(&w), expected);
    stop(&w);
}

static void a_draining_node_says_so_with_its_last_answers(void)
{
    struct world w;
    start(&w, 1);
    say(&w, GET("/health"));
    CU_ASSERT_PTR_NULL(strstr(answer(&w), "Connection: close"));
    CU_ASSERT_EQUAL(http_busy(w.http), 0);
    source_init(&w.source, STATE_DRAINING);
    http_drain(w.http);
    say(&w, "GET /health HTTP/1.1\r\n");
    CU_ASSERT_EQUAL(http_busy(w.http), 1);
    say(&w, "Host: 10.0.0.1\r\n\r\n" GET("/stats"));
    const char *text = answer(&w);
    CU_ASSERT(begins(text, "HTTP/1.1 503 Service Unavailable\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\r\nConnection: close\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"state\":\"draining\""));
    CU_ASSERT_PTR_NULL(strstr(text, "\"counters\"")); /* nothing comes after the last one */
    CU_ASSERT_TRUE(w.stream->close_asked);
    CU_ASSERT_EQUAL(http_busy(w.http), 0);
    stop(&w);
}

static void closing_all_leaves_pages_whole_and_requests_unanswered(void)
{
    struct world w;
    size_t length;
    start(&w, 1);
    w.stream->no_buffers = true;
    say(&w, GET("/stats"));
    CU_ASSERT_EQUAL(http_busy(w.http), 1);
    http_close_all(w.http);
    CU_ASSERT_FALSE(w.stream->close_asked);
    w.stream->no_buffers = false;
    turn(&w);
    const char *text = answer(&w);
    CU_ASSERT_PTR_NOT_NULL(body_of((char *)(uintptr_t)text, strlen(text), &length));
    CU_ASSERT_TRUE(w.stream->close_asked);
    stop(&w);
    for (unsigned i = 0; i < 2; i++) {
        start(&w, 1);
        if (i == 1)
            say(&w, "GET /health HTTP/1.1\r\n");
        http_close_all(w.http);
        CU_ASSERT_TRUE(w.stream->close_asked);
        say(&w, "Host: 10.0.0.1\r\n\r\n");
        CU_ASSERT_STRING_EQUAL(answer(&w), "");
        stop(&w);
    }
}

static void what_a_browser_may_say_gets_no_content(void)
{
    static const char *const said[] = {
        "POST /stats HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n",
        "POST ",
        "GET /stats HTTP/1.1\r\nHost: 10.0.0.1\r\nOrigin: http://evil.example\r\n\r\n",
        "GET /stats HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET http://evil.example/stats HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n",
        "GET /stats HTTP/1.0\r\nHost: evil.example\r\n\r\n",
        "GET /stats HTTP/1.1\r\nHost:\r\n\r\n",
    };
    for (unsigned i = 0; i < sizeof said / sizeof said[0]; i++) {
        struct world w;
        start(&w, 1);
        say(&w, said[i]);
        CU_ASSERT_EQUAL(w.stream->out_length, 0);
        CU_ASSERT_TRUE(w.stream->close_asked);
        CU_ASSERT_EQUAL(counted(&w, COUNTER_http_browser_refused), 1);
        say(&w, GET("/stats")); /* nothing more is read */
        CU_ASSERT_EQUAL(w.stream->out_length, 0);
        CU_ASSERT_EQUAL(w.stream->in_length, 0);
        fake_end(w.stream);
        turn(&w);
        CU_ASSERT_TRUE(w.stream->closed);
        stop(&w);
    }
}

static void refused_requests_are_answered_once_and_the_connection_ends(void)
{
    static const struct {
        const char *said, *answer;
        enum counter counter;
    } rows[] = {
        {"GET /stats HTTP/1.1\r\n\r\n" GET("/stats"), "HTTP/1.1 400 Bad Request\r\n",
         COUNTER_http_refused_request},
        {"GET /stats HTTP/3.1\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported\r\n",
         COUNTER_http_refused_request},
        {"GET /stats HTTP/1.1\r\nHost: 1.1.1.1\r\nContent-Length: 9\r\n\r\nGET /heal",
         "HTTP/1.1 413 Content Too Large\r\n", COUNTER_http_refused_body},
        {"GET /stats HTTP/1.1\r\nHost: 1.1.1.1\r\nConnection: close\r\n\r\n" GET("/health"),
         "HTTP/1.1 200 OK\r\n", COUNTER_http_requests},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        start(&w, 1);
        say(&w, rows[i].said);
        const char *text = answer(&w);
        CU_ASSERT(begins(text, rows[i].answer));
        CU_ASSERT_PTR_NOT_NULL(strstr(text, "\r\nConnection: close\r\n"));
        CU_ASSERT_PTR_NULL(strstr(text + 1, "HTTP/1.1 "));
        CU_ASSERT_TRUE(w.stream->close_asked);
        CU_ASSERT_FALSE(w.stream->abort_asked);
        CU_ASSERT_EQUAL(counted(&w, rows[i].counter), 1);
        fake_end(w.stream);
        turn(&w);
        CU_ASSERT_TRUE(w.stream->closed && w.stream->end == STREAM_END_CLOSED);
        stop(&w);
    }
}

static void an_older_client_is_told_that_the_connection_stays(void)
{
    static const struct {
        const char *said;
        bool told, closed;
    } rows[] = {
        {"GET /health HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, false},
        {"GET /none HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, false},
        {"GET /stats HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", false,
         true}, /* its end is the connection's */
        {"GET /health HTTP/1.0\r\n\r\n", false, true},
        {GET("/health"), false, false},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        start(&w, 1);
        say(&w, rows[i].said);
        CU_ASSERT_EQUAL(strstr(answer(&w), "\r\nConnection: keep-alive\r\n") != NULL, rows[i].told);
        CU_ASSERT_EQUAL(w.stream->close_asked, rows[i].closed);
        fake_end(w.stream);
        turn(&w);
        stop(&w);
    }
}

static void a_slow_reader_costs_only_its_own_connection(void)
{
    struct world w;
    start(&w, 2);
    struct fake_stream *slow = w.stream, *quick = fake_new(0x0A000003, 40001);
    CU_ASSERT_TRUE(http_adopt(w.http, &quick->stream));
    slow->send_limit = 2000;
    say(&w, GET("/metrics"));
    CU_ASSERT(slow->out_length >= 2000 && slow->out_length < 2000 + 1448);
    w.stream = quick;
    say(&w, GET("/health"));
    CU_ASSERT(begins(answer(&w), "HTTP/1.1 200 OK\r\n"));
    /* it reads a little: a little more comes */
    w.stream = slow;
    size_t before = slow->out_length;
    fake_take(slow, 1000);
    turn(&w);
    CU_ASSERT(slow->out_length > before && slow->out_length < before + 3000);
    w.now.mono_ns += HTTP_WRITE_NS;
    turn(&w);
    CU_ASSERT_TRUE(slow->abort_asked);
    CU_ASSERT_EQUAL(counted(&w, COUNTER_http_timed_out), 1);
    w.stream = quick;
    say(&w, GET("/health"));
    CU_ASSERT(begins(answer(&w), "HTTP/1.1 200 OK\r\n"));
    quick->peer_reset = true;
    turn(&w);
    w.stream = slow;
    stop(&w);
    fake_free(quick);
}

static void without_buffers_a_page_waits_and_then_goes_on(void)
{
    struct world w;
    size_t length;
    start(&w, 1);
    w.stream->no_buffers = true;
    say(&w, GET("/metrics"));
    CU_ASSERT_EQUAL(w.stream->out_length, 0);
    w.stream->no_buffers = false;
    turn(&w);
    const char *text = answer(&w);
    CU_ASSERT_PTR_NOT_NULL(body_of((char *)(uintptr_t)text, strlen(text), &length));
    stop(&w);
}

static void a_request_that_never_completes_is_reset_in_time(void)
{
    struct world w;
    start(&w, 1);
    say(&w, "G");
    for (unsigned i = 0; i < 9; i++) { /* a byte a second: slowloris */
        w.now.mono_ns += 1000000000;
        say(&w, "E");
        CU_ASSERT_FALSE(w.stream->closed);
    }
    w.now.mono_ns += 1000000000;
    turn(&w);
    CU_ASSERT_TRUE(w.stream->closed);
    CU_ASSERT_EQUAL(w.stream->end, STREAM_END_ABORTED);
    CU_ASSERT_EQUAL(counted(&w, COUNTER_http_timed_out), 1);
    stop(&w);
}

static void an_idle_connection_is_closed_and_one_that_lingers_is_reset(void)
{
    struct world w;
    start(&w, 1);
    say(&w, GET("/health"));
    answer(&w);
    w.now.mono_ns += HTTP_IDLE_NS - 1;
    say(&w, "\r\n"); /* a blank line is no request */
    CU_ASSERT_FALSE(w.stream->close_asked);
    w.now.mono_ns += 1;
    turn(&w);
    CU_ASSERT_TRUE(w.stream->close_asked);
    CU_ASSERT_FALSE(w.stream->closed);
    w.now.mono_ns += HTTP_LINGER_NS;
    turn(&w);
    CU_ASSERT_TRUE(w.stream->closed);
    CU_ASSERT_EQUAL(w.stream->end, STREAM_END_ABORTED);
    CU_ASSERT_EQUAL(counted(&w, COUNTER_http_timed_out), 0);
    stop(&w);
}

static void a_peer_that_ends_still_gets_its_answers(void)
{
    struct world w;
    start(&w, 1);
    fake_send(w.stream, GET("/stats") GET("/health"), 2 * strlen(GET("/stats")) + 1);
    fake_end(w.stream);
    turn(&w);
    const char *text = answer(&w);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"counters\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"healthy\":true"));
    turn(&w);
    CU_ASSERT_TRUE(w.stream->closed && w.stream->end == STREAM_END_CLOSED);
    stop(&w);
}

static void every_place_taken_is_said_and_a_place_is_free_again(void)
{
    struct world w;
    start(&w, 1);
    struct fake_stream *second = fake_new(0x0A000003, 40001);
    CU_ASSERT_FALSE(http_adopt(w.http, &second->stream));
    CU_ASSERT_EQUAL(counted(&w, COUNTER_http_connections_full), 1);
    say(&w, GET("/metrics"));
    fake_send(w.stream, GET("/metrics"), strlen(GET("/metrics")));
    w.stream->peer_reset = true; /* while it is queued to write */
    turn(&w);
    CU_ASSERT_EQUAL(http_connections(w.http), 0);
    fake_free(w.stream);
    w.stream = second;
    CU_ASSERT_TRUE(http_adopt(w.http, &second->stream));
    say(&w, GET("/health"));
    CU_ASSERT(begins(answer(&w), "HTTP/1.1 200 OK\r\n"));
    stop(&w);
}

static void those_who_hold_places_in_silence_make_room(void)
{
    struct world w;
    struct fake_stream *silent[16];
    start(&w, 16);
    silent[0] = w.stream;
    for (unsigned i = 1; i < 15; i++) {
        silent[i] = fake_new(0x0A000003, (uint16_t)(40001 + i));
        w.now.mono_ns += 1000000;
        http_turn(w.http, w.now);
        CU_ASSERT_TRUE(http_adopt(w.http, &silent[i]->stream));
    }
    /* 15 of 16 are taken, and what is left is not for those who have them, but for others, as many as may come */
    silent[15] = fake_new(0x0A000003, 40100);
    CU_ASSERT_FALSE(http_adopt(w.http, &silent[15]->stream));
    for (unsigned i = 0; i < 15; i++)
        CU_ASSERT_FALSE(silent[i]->abort_asked);
    struct fake_stream *newcomer = fake_new(0x0A000004, 40200), *second = fake_new(0x0A000005, 40300);
    CU_ASSERT_TRUE(http_adopt(w.http, &newcomer->stream));
    CU_ASSERT_TRUE(silent[1]->abort_asked); /* silent[0] is older, and somebody else's, who has no other */
    CU_ASSERT_FALSE(silent[2]->abort_asked);
    CU_ASSERT_EQUAL(counted(&w, COUNTER_http_displaced), 1);
    fake_turn(silent[1], w.now.mono_ns);
    CU_ASSERT_EQUAL(http_connections(w.http), 15);
    CU_ASSERT_TRUE(http_adopt(w.http, &second->stream));
    CU_ASSERT_TRUE(silent[2]->abort_asked);
    fake_turn(silent[2], w.now.mono_ns);
    CU_ASSERT_FALSE(silent[0]->abort_asked || silent[3]->abort_asked);
    /* its own, once they have had their time */
    w.now.mono_ns += HTTP_GRACE_NS;
    http_turn(w.http, w.now);
    CU_ASSERT_TRUE(http_adopt(w.http, &silent[15]->stream));
    CU_ASSERT_TRUE(silent[3]->abort_asked);
    stream_abort(&second->stream);
    fake_turn(second, w.now.mono_ns);
    fake_free(second);
    for (unsigned i = 0; i < 16; i++) {
        if (!silent[i]->abort_asked)
            stream_abort(&silent[i]->stream);
        fake_turn(silent[i], w.now.mono_ns);
        fake_free(silent[i]);
    }
    w.stream = newcomer;
    say(&w, GET("/health"));
    CU_ASSERT(begins(answer(&w), "HTTP/1.1 200 OK\r\n"));
    stop(&w);
}

/* Slow readers hold places while they are written to, as fast as they like: another's request is answered at once. */
static void whoever_does_not_read_makes_room_too(void)
{
    struct world w;
    struct fake_stream *slow[64];
    unsigned count = 0;
    start(&w, 16);
    slow[count++] = w.stream;
    for (unsigned i = 1; i < 40; i++) {
        struct fake_stream *f = fake_new(0x0A000003 + i % 5, (uint16_t)(40001 + i));
        f->send_limit = 1;
        if (http_adopt(w.http, &f->stream)) {
            fake_send(f, GET("/metrics"), strlen(GET("/metrics")));
            slow[count++] = f;
        } else {
            fake_free(f);
        }
        for (unsigned s = 0; s < count; s++)
            while (fake_turn(slow[s], w.now.mono_ns))
                ;
        http_turn(w.http, w.now);
    }
    CU_ASSERT(counted(&w, COUNTER_http_displaced) > 10);
    w.stream = fake_new(0x0A000203, 40200);
    CU_ASSERT_TRUE(http_adopt(w.http, &w.stream->stream));
    say(&w, GET("/health"));
    CU_ASSERT(begins(answer(&w), "HTTP/1.1 200 OK\r\n"));
    for (unsigned s = 0; s < count; s++) {
        slow[s]->peer_reset = true;
        fake_turn(slow[s], w.now.mono_ns);
    }
    turn(&w);
    while (count > 0)
        fake_free(slow[--count]);
    stop(&w);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a draining node says so with its last answers", a_draining_node_says_so_with_its_last_answers},
        {"closing all leaves pages whole and requests unanswered",
         closing_all_leaves_pages_whole_and_requests_unanswered},
        {"a connection is kept alive and answers in order", a_connection_is_kept_alive_and_answers_in_order},
        {"a script split at every byte gives the same bytes",
         a_script_split_at_every_byte_gives_the_same_bytes},
        {"what a browser may say gets no content", what_a_browser_may_say_gets_no_content},
        {"refused requests are answered once and the connection ends",
         refused_requests_are_answered_once_and_the_connection_ends},
        {"an older client is told that the connection stays",
         an_older_client_is_told_that_the_connection_stays},
        {"a slow reader costs only its own connection", a_slow_reader_costs_only_its_own_connection},
        {"without buffers a page waits and then goes on", without_buffers_a_page_waits_and_then_goes_on},
        {"a request that never completes is reset in time", a_request_that_never_completes_is_reset_in_time},
        {"an idle connection is closed and one that lingers is reset",
         an_idle_connection_is_closed_and_one_that_lingers_is_reset},
        {"a peer that ends still gets its answers", a_peer_that_ends_still_gets_its_answers},
        {"every place taken is said and a place is free again",
         every_place_taken_is_said_and_a_place_is_free_again},
        {"those who hold places in silence make room", those_who_hold_places_in_silence_make_room},
        {"whoever does not read makes room too", whoever_does_not_read_makes_room_too},
        CU_TEST_INFO_NULL,
    };
    return suite_run("http_connections", tests);
}
