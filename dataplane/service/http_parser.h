/*
 * http_parser.h - HTTP/1.1 requests (RFC 9112) from bytes in any pieces, one byte after the other, without
 * keeping them: what a request is about is gathered in fixed places, the rest is only checked. Pure.
 *
 * Only requests without a body are taken. Bare LF, folded lines, blanks before the colon, repeated Host and
 * conflicting lengths are refused (RFC 9112 2.2, 5.1, 5.2, 3.2, 6.3): leniency is what request smuggling
 * lives on.
 */
#ifndef WILD_HTTP_PARSER_H
#define WILD_HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_HEADER_BYTES_MAX = 8192, /* request line and headers */
    HTTP_HEADERS_MAX = 64,
    HTTP_TARGET_BYTES_MAX = 320, /* "http://" and the longest host name and then some */
    HTTP_METHOD_BYTES_MAX = 16,
    HTTP_VALUE_BYTES_MAX = 64, /* of headers that matter, besides Host */
    HTTP_HOST_BYTES_MAX = 272, /* a name of 253, a colon, a port */
};

enum http_verdict {
    HTTP_MORE,    /* all bytes taken; the request goes on */
    HTTP_REQUEST, /* whole; `method`, `path`, `host`, ... hold until http_parser_reset() */
    HTTP_REFUSED, /* parser->status is the answer (400, 413, 414, 431 or 505), then the connection ends */
    HTTP_BROWSER, /* what only a browser says (POST, Origin): the connection ends without an answer */
};

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER };

struct http_parser {
    /* the request, once whole */
    uint8_t method;   /* enum http_method */
    bool has_host;    /* in a header, or in a target in absolute form, which comes first (RFC 9112 3.2.2) */
    bool keep_alive;  /* the connection may go on: RFC 9112 9.3 */
    uint8_t minor;    /* HTTP/1.minor; 1 for anything above */
    const char *path; /* without query; in `target` */
    uint16_t status;  /* REFUSED */
    char host[HTTP_HOST_BYTES_MAX + 1];

    /* while it is read */
    uint8_t state;
    uint8_t header; /* the one whose value is being read */
    uint16_t headers, length, value_length, host_length;
    uint32_t bytes;
    bool close_asked, keep_asked, has_length, has_body, has_coding, host_seen, absolute;
    char target[HTTP_TARGET_BYTES_MAX + 1];
    char word[HTTP_VALUE_BYTES_MAX + 1]; /* method, version, header name, or header value */
};

void http_parser_reset(struct http_parser *parser);

/* Whether nothing of a request has come yet (blank lines before it aside). */
bool http_parser_idle(const struct http_parser *parser);

/* Reads on. *taken: how many bytes were; what follows a whole request is left. */
enum http_verdict http_parse(struct http_parser *parser, const uint8_t *bytes, size_t length, size_t *taken);

/*
 * Whether `host` (a Host header's value) may speak to this node: an IP literal, with a port or without, or
 * one of `names`, letters in any case. A browser that was lured here by a foreign name (DNS rebinding) says
 * that name.
 */
bool http_host_allowed(const char *host, const char *const *names, unsigned count);

/*
 * The first bytes of a connection: 1 they begin an HTTP request, 0 they may (more are needed), -1 they do
 * not. Told by at most HTTP_SNIFF_BYTES.
 */
enum { HTTP_SNIFF_BYTES = 8 };
int http_sniff(const uint8_t *bytes, size_t length);

#endif
