/* http_page.c - heads, rows and chunks. */
#include "service/http_page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    ROW_BYTES_MAX = 480,
    BODY_BYTES_MAX = 240, /* of a page that has a Content-Length */
    WHY_BYTES_MAX = 120,
    CHUNK_HEAD_BYTES = 6, /* four hex digits and CRLF */
    CHUNK_TAIL_BYTES = 2,
    LAST_CHUNK_BYTES = 5,
    CHUNK_BYTES_MAX = 0xFFFF,
};
static_assert(ROW_BYTES_MAX + CHUNK_HEAD_BYTES + CHUNK_TAIL_BYTES + LAST_CHUNK_BYTES <= HTTP_PIECE_BYTES_MIN,
              "the longest row is a piece");

/* Text in a bounded place. Rows are made of our own names and numbers: they fit, a test writes them all. */
struct text {
    char *out;
    size_t room, length;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text->out + text->length, text->room - text->length, format, arguments);
    va_end(arguments);
    text->length += (size_t)length;
    if (text->length >= text->room)
        text->length = text->room - 1; /* cut off, never beyond */
}

enum http_content http_page_find(const char *path)
{
    if (strcmp(path, "/stats") == 0)
        return HTTP_STATS;
    if (strcmp(path, "/metrics") == 0)
        return HTTP_METRICS;
    if (strcmp(path, "/health") == 0)
        return HTTP_HEALTH;
    return HTTP_ERROR;
}

/* ---- names ---- */

static const struct {
    const char *name, *help;
} gauges[STATS_GAUGE_COUNT] = {
#define GAUGE_ROW(name, help) [STATS_##name] = {#name, help},
    STATS_GAUGE_LIST(GAUGE_ROW)
#undef GAUGE_ROW
};

static const char *mode_name(uint8_t mode)
{
    static const char *const names[] = {"standalone", "primary", "replica"};
    return mode < sizeof(names) / sizeof(names[0]) ? names[mode] : "unknown";
}

static const struct {
    const char *name, *why; /* of /health when the state is not SERVING */
} states[] = {
    [STATE_SERVING] = {"serving", NULL},
    [STATE_RECOVERING] = {"recovering", "the log is being replayed"},
    [STATE_CATCHING_UP] = {"catching_up", "this replica is behind its primary"},
    [STATE_READ_ONLY] = {"read_only", "no writes until an operator helps"},
    [STATE_FENCED] = {"fenced", "another node leads, or members have not promised themselves to this one"},
    [STATE_DRAINING] = {"draining", "the node is shutting down"},
};

static const char *state_name(uint8_t state)
{
    return state < sizeof(states) / sizeof(states[0]) ? states[state].name : "unknown";
}

static const char *reason(uint16_t status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}

/* ---- time ---- */

/* IMF-fixdate, RFC 9110 5.6.7. Days to civil date by eras of 400 years from 1 March (proleptic Gregorian). */
static void add_date(struct text *text, uint64_t wall_ms)
{
    static const char days[] = "ThuFriSatSunMonTueWed", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t seconds = wall_ms / 1000, day = seconds / 86400, in_day = seconds % 86400;
    uint64_t shifted = day + 719468; /* days since 0000-03-01 */
    unsigned era_day = (unsigned)(shifted % 146097);
    unsigned era_year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
    unsigned year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
    unsigned from_march = (5 * year_day + 2) / 153;
    unsigned month_day = year_day - (153 * from_march + 2) / 5 + 1;
    unsigned month = from_march < 10 ? from_march + 2 : from_march - 10; /* 0: January */
    uint64_t year = shifted / 146097 * 400 + era_year + (month < 2);
    add(text, "Date: %.3s, %02u %.3s %04" PRIu64 " %02u:%02u:%02u GMT\r\n", days + day % 7 * 3, month_day,
        months + month * 3, year, (unsigned)(in_day / 3600), (unsigned)(in_day / 60 % 60),
        (unsigned)(in_day % 60));
}

/* ---- heads ---- */

static void add_head(struct text *text, const struct http_page *page, uint16_t status, const char *type,
                     uint64_t wall_ms)
{
    add(text, "HTTP/1.1 %u %s\r\n", status, reason(status));
    add_date(text, wall_ms);
    add(text, "Content-Type: %s\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n", type);
    if (status == 405)
        add(text, "Allow: GET, HEAD\r\n");
    if (page->last)
        add(text, "Connection: close\r\n");
    else if (page->kept)
        add(text, "Connection: keep-alive\r\n");
}

static void add_length(struct text *text, size_t length)
{
    add(text, "Content-Length: %zu\r\n\r\n", length);
}

/* ---- short pages ---- */

/* Into a JSON string: what would end or break it becomes a blank. */
static void add_words(struct text *text, const char *words)
{
    size_t length = strlen(words);
    for (size_t i = 0; i < length && i < WHY_BYTES_MAX; i++) {
        char c = words[i];
        bool plain = c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
        add(text, "%c", plain ? c : ' ');
    }
}

static uint16_t health_body(struct text *body, const struct stats_source *source)
{
    struct stats_node node = source->node(source->state);
    bool healthy = node.state == STATE_SERVING;
    add(body, "{\"healthy\":%s,\"mode\":\"%s\",\"state\":\"%s\"", healthy ? "true" : "false",
        mode_name(node.mode), state_name(node.state));
    const char *why = node.why;
    if (why == NULL && node.state < sizeof(states) / sizeof(states[0]))
        why = states[node.state].why;
    if (!healthy && why != NULL) {
        add(body, ",\"why\":\"");
        add_words(body, why);
        add(body, "\"");
    }
    add(body, "}\n");
    return healthy ? 200 : 503;
}

static size_t write_short(struct http_page *page, const struct stats_source *source, uint64_t wall_ms,
                          uint8_t *out, size_t room)
{
    char bytes[BODY_BYTES_MAX];
    struct text body = {.out = bytes, .room = sizeof(bytes)}, text = {.out = (char *)out, .room = room};
    uint16_t status = page->status;
    const char *type = "text/plain; charset=utf-8";
    if (page->content == HTTP_HEALTH) {
        status = health_body(&body, source);
        type = "application/json";
    } else {
        add(&body, "%u %s\n", status, reason(status));
    }
    add_head(&text, page, status, type, wall_ms);
    add_length(&text, body.length);
    if (!page->head_only)
        add(&text, "%.*s", (int)body.length, body.out);
    page->done = true;
    return text.length;
}

/* ---- long pages: rows ---- */

/* Rows of /stats: one to begin, gauges, one between, counters, one to end. */
static bool stats_row(struct text *text, const struct stats_source *source, unsigned row)
{
    if (row == 0) {
        struct stats_node node = source->node(source->state);
        add(text, "{\"version\":\"%s\",\n\"mode\":\"%s\",\n\"state\":\"%s\"", source->version,
            mode_name(node.mode), state_name(node.state));
        return true;
    }
    row -= 1;
    if (row < STATS_GAUGE_COUNT) {
        add(text, ",\n\"%s\":%" PRIu64, gauges[row].name,
            source->gauge(source->state, (enum stats_gauge)row));
        return true;
    }
    row -= STATS_GAUGE_COUNT;
    if (row < COUNTER_COUNT) {
        add(text, "%s\"%s\":%" PRIu64, row == 0 ? ",\n\"counters\":{\n" : ",\n",
            counter_name((enum counter)row), source->counter(source->state, (enum counter)row));
        return true;
    }
    row -= COUNTER_COUNT;
    if (row < source->more_count) {
        struct stats_more more = source->more(source->state, row);
        add(text, ",\n\"%s\":%" PRIu64, more.name, more.value);
        return true;
    }
    if (row == source->more_count)
        add(text, "\n}}\n");
    return row == source->more_count;
}

static void add_metric(struct text *text, const char *name, const char *suffix, const char *kind,
                       const char *help, uint64_t value)
{
    add(text, "# HELP wild_%s%s %s\n# TYPE wild_%s%s %s\nwild_%s%s %" PRIu64 "\n", name, suffix, help, name,
        suffix, kind, name, suffix, value);
}

/* Prometheus counts time in seconds (its naming rules: base units): what is milliseconds in /stats is told
 * in those. */
static void add_gauge(struct text *text, const char *name, const char *help, uint64_t value)
{
    size_t length = strlen(name), stem = length - strlen("_ms");
    if (length <= strlen("_ms") || strcmp(name + stem, "_ms") != 0) {
        add_metric(text, name, "", "gauge", help, value);
        return;
    }
    add(text,
        "# HELP wild_%.*s_seconds %s\n# TYPE wild_%.*s_seconds gauge\nwild_%.*s_seconds %" PRIu64 ".%03u\n",
        (int)stem, name, help, (int)stem, name, (int)stem, name, value / 1000, (unsigned)(value % 1000));
}

static bool metrics_row(struct text *text, const struct stats_source *source, unsigned row)
{
    if (row == 0) {
        struct stats_node node = source->node(source->state);
        add(text,
            "# HELP wild_node_info what this node is: always 1\n# TYPE wild_node_info gauge\n"
            "wild_node_info{version=\"%s\",mode=\"%s\",state=\"%s\"} 1\n",
            source->version, mode_name(node.mode), state_name(node.state));
        return true;
    }
    row -= 1;
    if (row < STATS_GAUGE_COUNT) {
        add_gauge(text, gauges[row].name, gauges[row].help,
                  source->gauge(source->state, (enum stats_gauge)row));
        return true;
    }
    row -= STATS_GAUGE_COUNT;
    if (row < COUNTER_COUNT)
        add_metric(text, counter_name((enum counter)row), "_total", "counter",
                   counter_help((enum counter)row), source->counter(source->state, (enum counter)row));
    if (row < COUNTER_COUNT)
        return true;
    row -= COUNTER_COUNT;
    if (row >= source->more_count)
        return false;
    struct stats_more more = source->more(source->state, row);
    add_metric(text, more.name, "_total", "counter", more.help, more.value);
    return true;
}

/* As many whole rows as fit. True: there are more. */
static bool add_rows(struct text *text, struct http_page *page, const struct stats_source *source)
{
    for (;;) {
        char bytes[ROW_BYTES_MAX];
        struct text row = {.out = bytes, .room = sizeof(bytes)};
        bool is_row = page->content == HTTP_STATS ? stats_row(&row, source, page->row)
                                                  : metrics_row(&row, source, page->row);
        if (!is_row)
            return false;
        if (row.length >= text->room - text->length)
            return true;
        memcpy(text->out + text->length, row.out, row.length);
        text->length += row.length;
        page->row++;
    }
}

static size_t write_long_head(struct http_page *page, uint64_t wall_ms, uint8_t *out, size_t room)
{
    struct text text = {.out = (char *)out, .room = room};
    add_head(&text, page, 200,
             page->content == HTTP_STATS ? "application/json" : "text/plain; version=0.0.4; charset=utf-8",
             wall_ms);
    add(&text, "%s\r\n", page->chunked ? "Transfer-Encoding: chunked\r\n" : "");
    page->head_written = true;
    page->done = page->head_only;
    return text.length;
}

/* RFC 9112 7.1: a chunk's length first, and what it is shows only afterwards: four digits are kept free. */
static size_t write_rows(struct http_page *page, const struct stats_source *source, uint8_t *out, size_t room)
{
    if (!page->chunked) {
        struct text text = {.out = (char *)out, .room = room};
        page->done = !add_rows(&text, page, source);
        return text.length;
    }
    size_t space = room - CHUNK_HEAD_BYTES - CHUNK_TAIL_BYTES - LAST_CHUNK_BYTES;
    struct text text = {.out = (char *)out + CHUNK_HEAD_BYTES,
                        .room = space < CHUNK_BYTES_MAX ? space : CHUNK_BYTES_MAX};
    page->done = !add_rows(&text, page, source);
    char head[CHUNK_HEAD_BYTES + 1];
    snprintf(head, sizeof(head), "%04x\r\n", (unsigned)(uint16_t)text.length);
    memcpy(out, head, CHUNK_HEAD_BYTES);
    size_t length = CHUNK_HEAD_BYTES + text.length;
    memcpy(out + length, "\r\n", CHUNK_TAIL_BYTES);
    length += CHUNK_TAIL_BYTES;
    if (page->done) {
        memcpy(out + length, "0\r\n\r\n", LAST_CHUNK_BYTES);
        length += LAST_CHUNK_BYTES;
    }
    return length;
}

size_t http_page_write(struct http_page *page, const struct stats_source *source, uint64_t wall_ms,
                       uint8_t *out, size_t room)
{
    if (page->content == HTTP_HEALTH || page->content == HTTP_ERROR)
        return write_short(page, source, wall_ms, out, room);
    if (!page->head_written)
        return write_long_head(page, wall_ms, out, room);
    return write_rows(page, source, out, room);
}
