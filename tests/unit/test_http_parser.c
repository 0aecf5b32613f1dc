/* test_http_parser.c - requests from any pieces: what is read, what is refused, what only a browser says. */
#include "service/http_parser.h"

#include <stdio.h>
#include <stdlib.h>

#include "suite.h"

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
        CU_TEST_INFO_NULL,
    };
    return suite_run("http_parser", tests);
}
