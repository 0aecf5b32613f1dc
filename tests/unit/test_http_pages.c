/* test_http_pages.c - pages in pieces of any size: what /stats, /metrics and /health say. */
#include "service/http_page.h"

#include <stdio.h>

#include "http_fixture.h"

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
    CU_ASSERT_PTR_NOT_NULL(strstr(body, "# TYPE wild_lag_seconds gauge\nwild_lag_seconds 184467440737095"));
    CU_ASSERT_PTR_NULL(strstr(body, "wild_lag_ms"));
    unsigned lines = 0;
    for (size_t i = 0; i < length; i++)
        lines += body[i] == '\n';
    CU_ASSERT_EQUAL(lines, 3 * (COUNTER_COUNT + STATS_GAUGE_COUNT + 1));
}

static struct stats_more more_row(void *state, unsigned which)
{
    (void)state;
    return which == 0 ? (struct stats_more){"more_first", "one", 7}
                      : (struct stats_more){"more_second", "two", 8};
}

static void counters_of_the_node_itself_follow_the_others(void)
{
    static char bytes[PAGE_BYTES_MAX];
    struct source source;
    size_t length;
    source_init(&source, STATE_SERVING);
    source.face.more_count = 2;
    source.face.more = more_row;
    size_t written = write_page((struct http_page){.content = HTTP_STATS}, &source, 1448, bytes);
    char *body = body_of(bytes, written, &length);
    CU_ASSERT_STRING_EQUAL(body + length - strlen(",\n\"more_first\":7,\n\"more_second\":8\n}}\n"),
                           ",\n\"more_first\":7,\n\"more_second\":8\n}}\n");
    written = write_page((struct http_page){.content = HTTP_METRICS, .chunked = true}, &source, 600, bytes);
    body = body_of(bytes, written, &length);
    body[length] = 0;
    CU_ASSERT_PTR_NOT_NULL(strstr(body,
                                  "# HELP wild_more_first_total one\n# TYPE wild_more_first_total counter\n"
                                  "wild_more_first_total 7\n"));
    static const char end_of_it[] = "\nwild_more_second_total 8\n";
    CU_ASSERT_STRING_EQUAL(body + length - strlen(end_of_it), end_of_it);
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
        {"a page is the same in pieces of any size", a_page_is_the_same_in_pieces_of_any_size},
        {"stats are one JSON object with every number", stats_are_one_json_object_with_every_number},
        {"metrics have help, type and value for every number",
         metrics_have_help_type_and_value_for_every_number},
        {"counters of the node itself follow the others", counters_of_the_node_itself_follow_the_others},
        {"health says 200 or 503 and why", health_says_200_or_503_and_why},
        {"dates are those of the calendar", dates_are_those_of_the_calendar},
        CU_TEST_INFO_NULL,
    };
    if (getenv("WILD_PAGE") != NULL)
        return print_page(getenv("WILD_PAGE"));
    return suite_run("http_pages", tests);
}
