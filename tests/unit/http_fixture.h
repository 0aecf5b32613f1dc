/*
 * http_fixture.h - a node whose every number is known, for pages about it, and the way to a page's body.
 */
#ifndef WILD_TESTS_HTTP_FIXTURE_H
#define WILD_TESTS_HTTP_FIXTURE_H

#include <stdlib.h>

#include "service/stats_source.h"
#include "suite.h"

struct source {
    struct stats_node node;
    struct stats_source face;
};

static inline uint64_t source_counter(void *state, enum counter which)
{
    (void)state;
    return UINT64_MAX - (uint64_t)which; /* as long as they come */
}

static inline uint64_t source_gauge(void *state, enum stats_gauge which)
{
    (void)state;
    return UINT64_MAX - 1000 - (uint64_t)which;
}

static inline struct stats_node source_node(void *state)
{
    return ((struct source *)state)->node;
}

static inline void source_init(struct source *source, uint8_t state)
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

/* The body behind a head, its chunks put together; NULL: not in order. `length`: of the body. */
static inline char *body_of(char *response, size_t bytes, size_t *length)
{
    char *body = strstr(response, "\r\n\r\n"), *end = response + bytes;
    *length = 0;
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

#endif
