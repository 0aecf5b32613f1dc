/*
 * http_page.h - responses, made in pieces: each call writes as many whole rows as fit the room it is given,
 * so that a page of any length needs no memory of its own. Pure: numbers come from a stats_source, time is
 * given.
 */
#ifndef WILD_HTTP_PAGE_H
#define WILD_HTTP_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/stats_source.h"

enum { HTTP_PIECE_BYTES_MIN = 524 }; /* room that always suffices for progress: STREAM_RESERVE_MAX */

enum http_content {
    HTTP_STATS,   /* /stats: JSON */
    HTTP_METRICS, /* /metrics: Prometheus text exposition, format 0.0.4 */
    HTTP_HEALTH,  /* /health: 200, or 503 and why */
    HTTP_ERROR,   /* `status` and its name */
};

struct http_page {
    uint8_t content; /* enum http_content */
    uint16_t status; /* ERROR */
    bool head_only;  /* answering HEAD */
    bool chunked;    /* HTTP/1.1: long pages come in chunks; else they end with the connection */
    bool last;       /* the connection ends after this response */
    bool kept;       /* it does not, which HTTP/1.0 must be told (RFC 9112 C.2.2) */
    /* progress */
    bool head_written, done;
    uint16_t row;
};

/* What `path` names; HTTP_ERROR: nothing here. */
enum http_content http_page_find(const char *path);

/*
 * Writes the next piece to `out` and returns its bytes (> 0 until page->done). room >= HTTP_PIECE_BYTES_MIN.
 * wall_ms: since 1970, for Date.
 */
size_t http_page_write(struct http_page *page, const struct stats_source *source, uint64_t wall_ms,
                       uint8_t *out, size_t room);

#endif
