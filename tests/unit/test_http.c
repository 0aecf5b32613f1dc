/* test_http.c - requests from any pieces, pages in any pieces, and connections that ask for them. */
#include "service/http.h"

#include <stdio.h>

#include <rte_byteorder.h>

#include "fake_stream.h"
#include "service/http_page.h"
#include "service/http_parser.h"
#include "suite.h"

/* ---- the parser ---- */

struct parsed {
    enum http_verdict verdict;
    uint16_t status;
    size_t taken;
    bool keep_alive, has_host;
    uint8_t method, minor;
    char path[HTTP_TARGET_BYTES_MAX + 1], host[HTTP_HOST_BYTES_MAX + 1];
};

/* In two pieces, split at `split`; each lies in a block of its exact size. */
static struct parsed parse_split(const char *text, size_t length, size_t split)
{
    struct http_parser parser;
    struct parsed p = {.verdict = HTTP_MORE};
    size_t at[3] = {0, split, length};
    http_parser_reset(&parser);
    for (unsigned i = 0; i < 2 && p.verdict == HTTP_MORE; i++) {
        size_t piece = at[i + 1] - at[i], taken = 0;
        uint8_t *block = malloc(piece > 0 ? piece : 1);
        memcpy(block, text + at[i], piece);
        p.verdict = http_parse(&parser, block, piece, &taken);
        p.taken = at[i] + taken;
        free(block);
    }
    p.status = parser.status;
    if (p.verdict == HTTP_REQUEST) {
        p.keep_alive = parser.keep_alive;
        p.has_host = parser.has_host;
        p.method = parser.method;
        p.minor = parser.minor;
        strcpy(p.path, parser.path);
        strcpy(p.host, parser.host);
    }
    return p;
}

static struct parsed parse(const char *text)
{
    size_t length = strlen(text);
    struct parsed whole = parse_split(text, length, length);
    for (size_t split = 0; split < length; split++) {
        struct parsed p = parse_split(text, length, split);
        CU_ASSERT(p.verdict == whole.verdict && p.status == whole.status && p.taken == whole.taken);
        CU_ASSERT(strcmp(p.path, whole.path) == 0 && strcmp(p.host, whole.host) == 0);
        CU_ASSERT(p.keep_alive == whole.keep_alive && p.method == whole.method);
    }
    return whole;
}

static void requests_in_order_are_read_whole_wherever_they_are_split(void)
{
    static const struct {
        const char *text, *path, *host;
        enum http_method method;
        bool keep_alive;
    } rows[] = {
        {"GET /stats HTTP/1.1\r\nHost: 10.0.0.1:7878\r\n\r\n", "/stats", "10.0.0.1:7878", HTTP_GET, true},
        {"\r\n\r\nGET / HTTP/1.1\r\nhOsT:\t[::1]  \t\r\nX: y\r\n\r\n", "/", "[::1]", HTTP_GET, true},
        {"HEAD /a?b=c HTTP/1.1\r\nConnection: close\r\nHost: h\r\n\r\n", "/a", "h", HTTP_HEAD, false},
        {"GET /a?b?c HTTP/1.1\r\nConnection: Upgrade , Close\r\nHost:h\r\n\r\n", "/a", "h", HTTP_GET, false},
        {"GET /a HTTP/1.0\r\n\r\n", "/a", "", HTTP_GET, false},
        {"GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/a", "", HTTP_GET, true},
        {"GET /a HTTP/1.9\r\nHost: h\r\n\r\n", "/a", "h", HTTP_GET, true},
        {"GET http://1.2.3.4/b?c HTTP/1.1\r\nHost: x\r\n\r\n", "/b", "1.2.3.4", HTTP_GET, true},
        {"GET HTTP://1.2.3.4:80?c HTTP/1.1\r\nHost: x\r\n\r\n", "/", "1.2.3.4:80", HTTP_GET, true},
        {"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "/a", "h", HTTP_OTHER, true},
        {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "*", "h", HTTP_OTHER, true},
        {"GET /a HTTP/1.1\r\nHost: h\r\nEmpty:\r\nObs: \xE4\r\nContent-Length: 00\r\n\r\n", "/a", "h",
         HTTP_GET, true},
        {"GET /a HTTP/1.1\r\nHost:\r\n\r\n", "/a", "", HTTP_GET, true},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct parsed p = parse(rows[i].text);
        CU_ASSERT_EQUAL(p.verdict, HTTP_REQUEST);
        CU_ASSERT_EQUAL(p.taken, strlen(rows[i].text));
        CU_ASSERT_STRING_EQUAL(p.path, rows[i].path);
        CU_ASSERT_STRING_EQUAL(p.host, rows[i].host);
        CU_ASSERT_EQUAL(p.method, rows[i].method);
        CU_ASSERT_EQUAL(p.keep_alive, rows[i].keep_alive);
    }
    CU_ASSERT_FALSE(parse("GET /a HTTP/1.0\r\n\r\n").has_host);
    CU_ASSERT_TRUE(parse("GET /a HTTP/1.0\r\nHost: \r\n\r\n").has_host);
    /* what follows a request is left */
    CU_ASSERT_EQUAL(parse("GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b").taken, 28);
}

static void requests_not_in_order_are_refused_wherever_they_are_split(void)
{
    static const struct {
        const char *text;
        uint16_t status;
    } rows[] = {
        {"GET /a HTTP/1.1\r\n\r\n", 400},                       /* no Host */
        {"GET /a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400}, /* two */
        {"GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
        {"GET http://h/ HTTP/1.1\r\n\r\n", 400},
        {"GET http://u@h/ HTTP/1.1\r\n", 400},
        {"GET http:/// HTTP/1.1\r\n", 400},
        {"GET ftp://h/ HTTP/1.1\r\n", 400},
        {"GET * HTTP/1.1\r\n", 400},
        {"GET a HTTP/1.1\r\n", 400},
        {"GET  /a HTTP/1.1\r\n", 400},
        {"GET /a  HTTP/1.1\r\n", 400},
        {"GET /a HTTP/1.1 \r\n", 400},
        {"GET /a HTTP/1.1\n", 400}, /* bare LF */
        {"GET /a HTTP/1.1\r\nHost: h\n", 400},
        {"GET /a HTTP/1.1\r\nHost: h\r\n\n", 400},
        {"\nGET", 400},
        {"\r\r", 400},
        {"GET /a HTTP/1.1\r\nHost : h\r\n", 400},           /* blank before the colon */
        {"GET /a HTTP/1.1\r\nHost: h\r\n folded\r\n", 400}, /* obs-fold */
        {"GET /a HTTP/1.1\r\n Host: h\r\n", 400},
        {"GET /a HTTP/1.1\r\n: h\r\n", 400},
        {"GET /a HTTP/1.1\r\nA\r\n", 400},
        {"GET /a HTTP/1.1\r\nHost: h\x01\r\n", 400},
        {"GET /a HTTP/1.1\r\nHost: h\x7F\r\n", 400},
        {"GET /\x80 HTTP/1.1\r\n", 400},
        {"GET /a HTTP/1.1\r\nA: \rb", 400}, /* bare CR */
        {"GET /a HTTP/11\r\n", 400},
        {"GET /a HTTP/1.11\r\n", 400},
        {"GET /a http/1.1\r\n", 400},
        {"GET /a\r\n", 400},
        {"GET /a XTTP/1.1\r\n", 400},
        {"GET /a HTTP/2.0\r\n", 505},
        {"GET /a HTTP/0.9\r\n", 505},
        {"G@T /a", 400},
        {"ABCDEFGHIJKLMNOPQ /a", 400},
        {" GET /a", 400},
        {"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", 413},
        {"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 413},
        {"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n", 400},
        {"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n", 400},
        {"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0,0\r\n", 400},
        {"GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 413},
        {"GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\nContent-Length: 0\r\n\r\n", 400},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct parsed p = parse(rows[i].text);
        CU_ASSERT_EQUAL(p.verdict, HTTP_REFUSED);
        CU_ASSERT_EQUAL(p.status, rows[i].status);
        if (p.verdict != HTTP_REFUSED || p.status != rows[i].status)
            printf("\n  row %u: verdict %d status %u ", i, p.verdict, p.status);
    }
}

static void what_only_browsers_say_is_told_from_what_is_malformed(void)
{
    CU_ASSERT_EQUAL(parse("POST ").verdict, HTTP_BROWSER);
    CU_ASSERT_EQUAL(parse("POST / HTTP/1.1\r\nHost: 1.2.3.4\r\n\r\n").taken, 5);
    CU_ASSERT_EQUAL(parse("GET /stats HTTP/1.1\r\nORIGIN:").verdict, HTTP_BROWSER);
    CU_ASSERT_EQUAL(parse("GET /stats HTTP/1.1\r\nHost: 1.2.3.4\r\nOrigin: null\r\n\r\n").verdict,
                    HTTP_BROWSER);
    CU_ASSERT_EQUAL(parse("GET /stats HTTP/1.1\r\nHost: 1.2.3.4\r\nOriginal: x\r\n\r\n").verdict,
                    HTTP_REQUEST);
}

/* A request line, `headers` headers and in each value `value` bytes: what is said when it is too much. */
static struct parsed parse_large(size_t target, unsigned headers, size_t value)
{
    static char text[200000];
    size_t length = (size_t)sprintf(text, "GET /");
    memset(text + length, 'a', target);
    length += target;
    length += (size_t)sprintf(text + length, " HTTP/1.1\r\n");
    for (unsigned i = 0; i < headers; i++) {
        length += (size_t)sprintf(text + length, i == 0 ? "Host: " : "X: ");
        memset(text + length, '1', value);
        length += value;
        length += (size_t)sprintf(text + length, "\r\n");
    }
    length += (size_t)sprintf(text + length, "\r\n");
    return parse_split(text, length, length / 2);
}

static void bounds_hold(void)
{
    CU_ASSERT_EQUAL(parse_large(HTTP_TARGET_BYTES_MAX - 1, 1, 5).verdict, HTTP_REQUEST);
    CU_ASSERT_EQUAL(parse_large(HTTP_TARGET_BYTES_MAX, 1, 5).status, 414);
    CU_ASSERT_EQUAL(parse_large(100000, 1, 5).status, 414);
    CU_ASSERT_EQUAL(parse_large(5, HTTP_HEADERS_MAX, 5).verdict, HTTP_REQUEST);
    CU_ASSERT_EQUAL(parse_large(5, HTTP_HEADERS_MAX + 1, 5).status, 431);
    CU_ASSERT_EQUAL(parse_large(5, 60, 128).verdict, HTTP_REQUEST);
    CU_ASSERT_EQUAL(parse_large(5, 60, 133).status, 431);
    CU_ASSERT_EQUAL(parse_large(5, 1, HTTP_HOST_BYTES_MAX).verdict, HTTP_REQUEST);
    CU_ASSERT_EQUAL(parse_large(5, 1, HTTP_HOST_BYTES_MAX + 1).status, 400);
    /* a list too long to be kept may say close: then it does */
    char text[400] = "GET / HTTP/1.1\r\nHost: h\r\nConnection: ";
    memset(text + strlen(text), 'x', 100);
    strcat(text, ", close\r\n\r\n");
    CU_ASSERT_FALSE(parse(text).keep_alive);
    CU_ASSERT_EQUAL(parse(text).verdict, HTTP_REQUEST);
}

static void a_host_is_an_ip_literal_or_one_of_the_names(void)
{
    static const char *const names[] = {"wild.example", "cache"};
    static const char *const good[] = {"1.2.3.4",          "1.2.3.4:7878", "[::1]",
                                       "[2001:db8::7]:80", "1.2.3.4:",     "wild.example",
                                       "WILD.example:1",   "cache",        "[::ffff:1.2.3.4]"};
    static const char *const bad[] = {
        "",           "evil.example", "localhost", "1.2.3",  "1.2.3.4.5",      "1.2.3.256", "1.2.3.4:x",
        "::1",        "[::1",         "[1.2.3.4]", "::1:80", "1.2.3.4:123456", ":80",       "wild.example.",
        "cache.evil", "wild.exampl",  "01.2.3.4",  "[]",     "1.2.3.4 "};
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++)
        CU_ASSERT_TRUE(http_host_allowed(good[i], names, 2));
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CU_ASSERT_FALSE(http_host_allowed(bad[i], names, 2));
    CU_ASSERT_FALSE(http_host_allowed("cache", NULL, 0));
}

static void the_first_bytes_tell_http(void)
{
    static const char *const methods[] = {"GET /",     "HEAD /",    "POST /",  "PUT /",  "DELETE /",
                                          "CONNECT h", "OPTIONS *", "TRACE /", "PATCH /"};
    for (unsigned i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        const uint8_t *bytes = (const uint8_t *)methods[i];
        size_t told = strlen(methods[i]) - 1 < HTTP_SNIFF_BYTES ? strlen(methods[i]) - 1 : HTTP_SNIFF_BYTES;
        CU_ASSERT_EQUAL(http_sniff(bytes, 1), 0);
        CU_ASSERT_EQUAL(http_sniff(bytes, told), 1);
        CU_ASSERT_EQUAL(http_sniff(bytes, strlen(methods[i])), 1);
    }
    CU_ASSERT_EQUAL(http_sniff((const uint8_t *)"GETS", 4), -1);
    CU_ASSERT_EQUAL(http_sniff((const uint8_t *)"get ", 1), -1);
    CU_ASSERT_EQUAL(http_sniff((const uint8_t *)"PING\r\n", 6), -1);
    CU_ASSERT_EQUAL(http_sniff((const uint8_t *)"*1\r\n", 1), -1);
    CU_ASSERT_EQUAL(http_sniff((const uint8_t *)"\xF7", 1), -1);
    CU_ASSERT_EQUAL(http_sniff((const uint8_t *)"PPPPPPPP", 8), -1);
}

/* ---- pages ---- */

struct source {
    struct stats_node node;
    struct stats_source face;
};

static uint64_t source_counter(void *state, enum counter which)
{
    (void)state;
    return UINT64_MAX - (uint64_t)which; /* as long as they come */
}

static uint64_t source_gauge(void *state, enum stats_gauge which)
{
    (void)state;
    return UINT64_MAX - 1000 - (uint64_t)which;
}

static struct stats_node source_node(void *state)
{
    return ((struct source *)state)->node;
}

static void source_init(struct source *source, uint8_t state)
{
    *source = (struct source){.node = {.mode = MODE_STANDALONE, .state = state},
                              .face = {.state = source,
                                       .version = "1.2.3",
                                       .counter = source_counter,
                                       .gauge = source_gauge,
                                       .node = source_node}};
}

enum { PAGE_BYTES_MAX = 1 << 17 };
#define WALL_MS UINT64_C(784111777000) /* RFC 9110 5.6.7's example: Sun, 06 Nov 1994 08:49:37 GMT */

/* The whole response, written into blocks of exactly `room`. */
static size_t write_page(struct http_page page, const struct source *source, size_t room, char *out)
{
    size_t length = 0;
    while (!page.done) {
        uint8_t *block = malloc(room);
        size_t written = http_page_write(&page, &source->face, WALL_MS, block, room);
        CU_ASSERT_FATAL(written > 0 && written <= room);
        memcpy(out + length, block, written);
        length += written;
        free(block);
    }
    out[length] = 0;
    return length;
}

/* The body behind a head, its chunks put together; NULL: not in order. `length`: of the body. */
static char *body_of(char *response, size_t bytes, size_t *length)
{
    char *body = strstr(response, "\r\n\r\n"), *end = response + bytes;
    if (body == NULL)
        return NULL;
    body += 4;
    *length = (size_t)(end - body);
    if (strstr(response, "Transfer-Encoding: chunked\r\n") == NULL)
        return body;
    char *at = body, *to = body;
    for (;;) {
        char *after;
        size_t chunk = strtoul(at, &after, 16);
        if (after == at || memcmp(after, "\r\n", 2) != 0 || after + 4 + chunk > end)
            return NULL;
        memmove(to, after + 2, chunk);
        at = after + 2 + chunk;
        to += chunk;
        if (memcmp(at, "\r\n", 2) != 0)
            return NULL;
        at += 2;
        if (chunk == 0)
            break;
    }
    *length = (size_t)(to - body);
    return at == end ? body : NULL;
}

static void a_page_is_the_same_in_pieces_of_any_size(void)
{
    static char first[PAGE_BYTES_MAX], other[PAGE_BYTES_MAX];
    struct source source;
    source_init(&source, STATE_SERVING);
    for (unsigned content = HTTP_STATS; content <= HTTP_METRICS; content++) {
        for (unsigned chunked = 0; chunked < 2; chunked++) {
            struct http_page page = {.content = (uint8_t)content, .chunked = chunked, .last = !chunked};
            size_t length, bytes = write_page((struct http_page){.content = (uint8_t)content}, &source,
                                              PAGE_BYTES_MAX - 1, first);
            char *expected = body_of(first, bytes, &length);
            for (size_t room = HTTP_PIECE_BYTES_MIN; room < 3000; room += room < 600 ? 1 : 271) {
                size_t got, other_bytes = write_page(page, &source, room, other);
                char *body = body_of(other, other_bytes, &got);
                CU_ASSERT_PTR_NOT_NULL_FATAL(body);
                CU_ASSERT_EQUAL_FATAL(got, length);
                CU_ASSERT_EQUAL(memcmp(body, expected, length), 0);
            }
        }
    }
}

static void stats_are_one_json_object_with_every_number(void)
{
    static char bytes[PAGE_BYTES_MAX];
    struct source source;
    size_t length;
    char wanted[200];
    source_init(&source, STATE_READ_ONLY);
    size_t written = write_page((struct http_page){.content = HTTP_STATS}, &source, 1448, bytes);
    CU_ASSERT_PTR_NOT_NULL(strstr(bytes, "HTTP/1.1 200 OK\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(bytes, "Content-Type: application/json\r\n"));
    char *body = body_of(bytes, written, &length);
    static const char start_of_it[] =
        "{\"version\":\"1.2.3\",\n\"mode\":\"standalone\",\n\"state\":\"read_only\",\n";
    CU_ASSERT_EQUAL(strncmp(body, start_of_it, strlen(start_of_it)), 0);
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        sprintf(wanted, "\n\"%s\":%llu", counter_name(i), (unsigned long long)(UINT64_MAX - i));
        CU_ASSERT_PTR_NOT_NULL(strstr(body, wanted));
    }
    CU_ASSERT_STRING_EQUAL(body + length - 4, "\n}}\n");
    long depth = 0, quotes = 0;
    for (size_t i = 0; i < length; i++) {
        depth += body[i] == '{' ? 1 : body[i] == '}' ? -1 : 0;
        quotes += body[i] == '"';
        CU_ASSERT(depth > 0 || i + 2 >= length);
    }
    CU_ASSERT(depth == 0 && quotes % 2 == 0);
}

static void metrics_have_help_type_and_value_for_every_number(void)
{
    static char bytes[PAGE_BYTES_MAX];
    struct source source;
    char wanted[600];
    size_t length;
    source_init(&source, STATE_SERVING);
    size_t written =
        write_page((struct http_page){.content = HTTP_METRICS, .chunked = true}, &source, 600, bytes);
    CU_ASSERT_PTR_NOT_NULL(strstr(bytes, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    char *body = body_of(bytes, written, &length);
    body[length] = 0;
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        sprintf(wanted, "# HELP wild_%s_total %s\n# TYPE wild_%s_total counter\nwild_%s_total %llu\n",
                counter_name(i), counter_help(i), counter_name(i), counter_name(i),
                (unsigned long long)(UINT64_MAX - i));
        CU_ASSERT_PTR_NOT_NULL(strstr(body, wanted));
        CU_ASSERT_PTR_NULL(strpbrk(counter_help(i), "\\\n\""));
        /* promtool check metrics takes these endings of words for units */
        CU_ASSERT(strstr(wanted, "_us_") == NULL && strstr(wanted, "_ms_") == NULL &&
                  strstr(wanted, "_ns_") == NULL && strstr(wanted, "_s_") == NULL);
    }
    CU_ASSERT_PTR_NOT_NULL(
        strstr(body, "wild_node_info{version=\"1.2.3\",mode=\"standalone\",state=\"serving\"} 1\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(body, "# TYPE wild_items gauge\nwild_items 18446744073709550615\n"));
    unsigned lines = 0;
    for (size_t i = 0; i < length; i++)
        lines += body[i] == '\n';
    CU_ASSERT_EQUAL(lines, 3 * (COUNTER_COUNT + STATS_GAUGE_COUNT + 1));
}

static void health_says_200_or_503_and_why(void)
{
    static const struct {
        uint8_t state;
        const char *why, *body;
    } rows[] = {
        {STATE_SERVING, NULL, "{\"healthy\":true,\"mode\":\"standalone\",\"state\":\"serving\"}\n"},
        {STATE_SERVING, "never mind", "{\"healthy\":true,\"mode\":\"standalone\",\"state\":\"serving\"}\n"},
        {STATE_RECOVERING, NULL,
         "{\"healthy\":false,\"mode\":\"standalone\",\"state\":\"recovering\","
         "\"why\":\"the log is being replayed\"}\n"},
        {STATE_READ_ONLY, "fsync: \"EIO\"\n",
         "{\"healthy\":false,\"mode\":\"standalone\",\"state\":\"read_only\",\"why\":\"fsync:  EIO  \"}\n"},
        {STATE_DRAINING, NULL,
         "{\"healthy\":false,\"mode\":\"standalone\",\"state\":\"draining\","
         "\"why\":\"the node is shutting down\"}\n"},
        {77, NULL, "{\"healthy\":false,\"mode\":\"standalone\",\"state\":\"unknown\"}\n"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct source source;
        char bytes[2000], length_line[64];
        size_t length;
        source_init(&source, rows[i].state);
        source.node.why = rows[i].why;
        size_t written =
            write_page((struct http_page){.content = HTTP_HEALTH}, &source, HTTP_PIECE_BYTES_MIN, bytes);
        const char *line =
            rows[i].state == STATE_SERVING ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 503 Service Unavailable\r\n";
        CU_ASSERT_EQUAL(strncmp(bytes, line, strlen(line)), 0);
        sprintf(length_line, "\r\nContent-Length: %zu\r\n\r\n", strlen(rows[i].body));
        CU_ASSERT_PTR_NOT_NULL(strstr(bytes, length_line));
        CU_ASSERT_STRING_EQUAL(body_of(bytes, written, &length), rows[i].body);
        /* HEAD: the same head and nothing behind it */
        char head[2000];
        size_t head_bytes = write_page((struct http_page){.content = HTTP_HEALTH, .head_only = true}, &source,
                                       HTTP_PIECE_BYTES_MIN, head);
        CU_ASSERT_EQUAL(head_bytes, written - strlen(rows[i].body));
        CU_ASSERT_EQUAL(memcmp(head, bytes, head_bytes), 0);
    }
    /* the longest reason does not overflow a piece */
    static char why[1000];
    struct source source;
    char bytes[2000];
    memset(why, 'w', sizeof why - 1);
    source_init(&source, STATE_READ_ONLY);
    source.node.why = why;
    size_t written = write_page((struct http_page){.content = HTTP_HEALTH, .last = true}, &source,
                                HTTP_PIECE_BYTES_MIN, bytes);
    CU_ASSERT_STRING_EQUAL(bytes + written - 4, "w\"}\n");
}

static void dates_are_those_of_the_calendar(void)
{
    static const struct {
        uint64_t seconds;
        const char *date;
    } rows[] = {
        {784111777, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"},
        {0, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"},
        {951782399, "Date: Mon, 28 Feb 2000 23:59:59 GMT\r\n"},
        {951782400, "Date: Tue, 29 Feb 2000 00:00:00 GMT\r\n"},
        {951868800, "Date: Wed, 01 Mar 2000 00:00:00 GMT\r\n"},
        {1709164800, "Date: Thu, 29 Feb 2024 00:00:00 GMT\r\n"},
        {1735689599, "Date: Tue, 31 Dec 2024 23:59:59 GMT\r\n"},
        {4107542400, "Date: Mon, 01 Mar 2100 00:00:00 GMT\r\n"},
    };
    struct source source;
    source_init(&source, STATE_SERVING);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char bytes[1000] = {0};
        struct http_page page = {.content = HTTP_ERROR, .status = 404};
        http_page_write(&page, &source.face, rows[i].seconds * 1000 + 999, (uint8_t *)bytes, sizeof bytes);
        CU_ASSERT_PTR_NOT_NULL(strstr(bytes, rows[i].date));
    }
}

/* ---- connections ---- */

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
    /* 15 of 16 are taken; within the grace nobody is ended */
    silent[15] = fake_new(0x0A000003, 40100);
    CU_ASSERT_TRUE(http_adopt(w.http, &silent[15]->stream));
    for (unsigned i = 0; i < 16; i++)
        CU_ASSERT_FALSE(silent[i]->abort_asked);
    struct fake_stream *newcomer = fake_new(0x0A000004, 40200);
    w.now.mono_ns += HTTP_GRACE_NS;
    http_turn(w.http, w.now);
    CU_ASSERT_FALSE(http_adopt(w.http, &newcomer->stream)); /* its place is free when the event is over */
    CU_ASSERT_TRUE(silent[0]->abort_asked);
    CU_ASSERT_EQUAL(counted(&w, COUNTER_http_displaced), 1);
    fake_turn(silent[0], w.now.mono_ns);
    CU_ASSERT_EQUAL(http_connections(w.http), 15);
    CU_ASSERT_TRUE(http_adopt(w.http, &newcomer->stream));
    CU_ASSERT_TRUE(silent[1]->abort_asked); /* and the next one finds a place at once */
    CU_ASSERT_FALSE(silent[2]->abort_asked);
    for (unsigned i = 1; i < 16; i++) {
        if (!silent[i]->abort_asked)
            stream_abort(&silent[i]->stream);
        fake_turn(silent[i], w.now.mono_ns);
        fake_free(silent[i]);
    }
    fake_free(silent[0]);
    w.stream = newcomer;
    say(&w, GET("/health"));
    CU_ASSERT(begins(answer(&w), "HTTP/1.1 200 OK\r\n"));
    stop(&w);
}

/* WILD_PAGE=/metrics prints that page's body, to look at and for promtool check metrics. */
static int print_page(const char *path)
{
    struct source source;
    struct http_page page = {.content = (uint8_t)http_page_find(path), .status = 404};
    source_init(&source, STATE_SERVING);
    while (!page.done) {
        uint8_t bytes[HTTP_PIECE_BYTES_MIN];
        bool head = !page.head_written;
        size_t length = http_page_write(&page, &source.face, WALL_MS, bytes, sizeof bytes);
        if (!head)
            fwrite(bytes, 1, length, stdout);
    }
    return 0;
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"requests in order are read whole wherever they are split",
         requests_in_order_are_read_whole_wherever_they_are_split},
        {"requests not in order are refused wherever they are split",
         requests_not_in_order_are_refused_wherever_they_are_split},
        {"what only browsers say is told from what is malformed",
         what_only_browsers_say_is_told_from_what_is_malformed},
        {"bounds hold", bounds_hold},
        {"a host is an IP literal or one of the names", a_host_is_an_ip_literal_or_one_of_the_names},
        {"the first bytes tell HTTP", the_first_bytes_tell_http},
        {"a page is the same in pieces of any size", a_page_is_the_same_in_pieces_of_any_size},
        {"stats are one JSON object with every number", stats_are_one_json_object_with_every_number},
        {"metrics have help, type and value for every number",
         metrics_have_help_type_and_value_for_every_number},
        {"health says 200 or 503 and why", health_says_200_or_503_and_why},
        {"dates are those of the calendar", dates_are_those_of_the_calendar},
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
        CU_TEST_INFO_NULL,
    };
    if (getenv("WILD_PAGE") != NULL)
        return print_page(getenv("WILD_PAGE"));
    return suite_run("http", tests);
}
