/* http_parser.c - one byte after the other: the request line, the headers, the empty line. */
#include "service/http_parser.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

enum state {
    BEFORE,    /* blank lines may come before a request (RFC 9112 2.2) */
    BEFORE_LF, /* CR seen */
    METHOD,
    TARGET,
    VERSION,
    LINE_LF, /* the request line's CR seen */
    HEADER,  /* at the beginning of a line: another header, or the end */
    NAME,
    BLANKS, /* behind the colon */
    VALUE,
    VALUE_LF,
    END_LF, /* the empty line's CR seen */
    DONE,
};

enum header { HEADER_OTHER, HEADER_HOST, HEADER_LENGTH, HEADER_CODING, HEADER_CONNECTION, HEADER_ORIGIN };

static const struct {
    const char *name;
    enum header header;
} header_names[] = {
    {"host", HEADER_HOST},
    {"content-length", HEADER_LENGTH},
    {"transfer-encoding", HEADER_CODING},
    {"connection", HEADER_CONNECTION},
    {"origin", HEADER_ORIGIN},
};

void http_parser_reset(struct http_parser *parser)
{
    memset(parser, 0, sizeof(*parser));
}

bool http_parser_idle(const struct http_parser *parser)
{
    return parser->state == BEFORE && parser->bytes == 0;
}

/* ---- bytes and their kinds ---- */

/* RFC 9110 5.6.2 */
static bool is_token(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* RFC 9110 5.5: what a field's value may hold */
static bool is_value(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7F);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static enum http_verdict refuse(struct http_parser *parser, uint16_t status)
{
    parser->status = status;
    return HTTP_REFUSED;
}

/* Appends to `word`, ending it; what is longer is cut off, but counted. */
static void word_add(struct http_parser *parser, uint8_t c)
{
    if (parser->length < HTTP_VALUE_BYTES_MAX) {
        parser->word[parser->length] = (char)c;
        parser->word[parser->length + 1] = 0;
    }
    parser->length++;
}

static void word_start(struct http_parser *parser)
{
    parser->length = 0;
    parser->word[0] = 0;
}

static bool word_cut(const struct http_parser *parser)
{
    return parser->length > HTTP_VALUE_BYTES_MAX;
}

/* ---- the request line ---- */

static enum http_verdict method_end(struct http_parser *parser)
{
    if (parser->length == 0)
        return refuse(parser, 400);
    if (strcmp(parser->word, "POST") == 0)
        return HTTP_BROWSER;
    parser->method = strcmp(parser->word, "GET") == 0    ? HTTP_GET
                     : strcmp(parser->word, "HEAD") == 0 ? HTTP_HEAD
                                                         : HTTP_OTHER;
    parser->state = TARGET;
    parser->length = 0;
    return HTTP_MORE;
}

/* http://authority/path: the authority is the host that is meant (RFC 9112 3.2.2). */
static bool absolute_form(struct http_parser *parser)
{
    static const char scheme[] = "http://";
    if (strncasecmp(parser->target, scheme, sizeof(scheme) - 1) != 0)
        return false;
    char *authority = parser->target + sizeof(scheme) - 1;
    size_t length = strcspn(authority, "/?");
    if (length == 0 || length > HTTP_HOST_BYTES_MAX || memchr(authority, '@', length) != NULL)
        return false;
    memcpy(parser->host, authority, length);
    parser->host[length] = 0;
    parser->absolute = true;
    parser->path = authority[length] == '/' ? authority + length : "/";
    return true;
}

static enum http_verdict target_end(struct http_parser *parser)
{
    parser->target[parser->length] = 0;
    parser->path = parser->target;
    if (parser->target[0] != '/' && !absolute_form(parser) && parser->method != HTTP_OTHER)
        return refuse(parser, 400); /* "*" and host:port belong to methods that this node does not know */
    parser->target[strcspn(parser->target, "?")] = 0;
    parser->state = VERSION;
    word_start(parser);
    return HTTP_MORE;
}

static enum http_verdict version_end(struct http_parser *parser)
{
    const char *word = parser->word;
    if (parser->length != 8 || memcmp(word, "HTTP/", 5) != 0 || word[5] < '0' || word[5] > '9' ||
        word[6] != '.' || word[7] < '0' || word[7] > '9')
        return refuse(parser, 400);
    if (word[5] != '1')
        return refuse(parser, 505);
    parser->minor = word[7] == '0' ? 0 : 1;
    parser->state = LINE_LF;
    return HTTP_MORE;
}

static enum http_verdict request_line(struct http_parser *parser, uint8_t c)
{
    switch (parser->state) {
    case BEFORE:
        if (c == '\r') {
            parser->state = BEFORE_LF;
            return HTTP_MORE;
        }
        parser->state = METHOD;
        word_start(parser);
        /* fall through */
    case METHOD:
        if (c == ' ')
            return method_end(parser);
        if (!is_token(c) || parser->length == HTTP_METHOD_BYTES_MAX)
            return refuse(parser, 400);
        word_add(parser, c);
        return HTTP_MORE;
    case BEFORE_LF:
        parser->state = BEFORE;
        return c == '\n' ? HTTP_MORE : refuse(parser, 400);
    case TARGET:
        if (c == ' ')
            return target_end(parser);
        if (c <= 0x20 || c >= 0x7F)
            return refuse(parser, 400);
        if (parser->length == HTTP_TARGET_BYTES_MAX)
            return refuse(parser, 414);
        parser->target[parser->length++] = (char)c;
        return HTTP_MORE;
    default: /* VERSION */
        if (c == '\r')
            return version_end(parser);
        word_add(parser, c);
        return parser->length <= 8 ? HTTP_MORE : refuse(parser, 400);
    }
}

/* ---- headers ---- */

static enum http_verdict name_end(struct http_parser *parser)
{
    if (parser->length == 0)
        return refuse(parser, 400);
    if (++parser->headers > HTTP_HEADERS_MAX)
        return refuse(parser, 431);
    parser->header = HEADER_OTHER;
    for (unsigned i = 0; i < sizeof(header_names) / sizeof(header_names[0]); i++)
        if (!word_cut(parser) && strcmp(parser->word, header_names[i].name) == 0)
            parser->header = header_names[i].header;
    if (parser->header == HEADER_ORIGIN)
        return HTTP_BROWSER;
    if (parser->header == HEADER_HOST && parser->host_seen)
        return refuse(parser, 400);
    parser->state = BLANKS;
    word_start(parser);
    parser->host_length = 0;
    return HTTP_MORE;
}

static enum http_verdict value_byte(struct http_parser *parser, uint8_t c)
{
    if (!is_value(c))
        return refuse(parser, 400);
    if (parser->header == HEADER_LENGTH || parser->header == HEADER_CONNECTION)
        word_add(parser, lower(c));
    if (parser->header == HEADER_HOST && !parser->absolute) {
        if (parser->host_length == HTTP_HOST_BYTES_MAX)
            return refuse(parser, 400);
        parser->host[parser->host_length++] = (char)c;
    }
    return HTTP_MORE;
}

static void trim(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        text[--length] = 0;
}

/* RFC 9110 7.6.1: a list of tokens. One too long to have been kept may say anything: then it says close. */
static void connection_value(struct http_parser *parser)
{
    parser->close_asked |= word_cut(parser);
    char *rest = parser->word, *token;
    while ((token = strsep(&rest, ", \t")) != NULL) {
        parser->close_asked |= strcmp(token, "close") == 0;
        parser->keep_asked |= strcmp(token, "keep-alive") == 0;
    }
}

static enum http_verdict length_value(struct http_parser *parser)
{
    trim(parser->word);
    size_t digits = strspn(parser->word, "0123456789");
    if (digits == 0 || parser->word[digits] != 0 || word_cut(parser))
        return refuse(parser, 400);
    parser->has_length = true;
    parser->has_body |= strspn(parser->word, "0") != digits;
    return HTTP_MORE;
}

static enum http_verdict value_end(struct http_parser *parser)
{
    parser->state = VALUE_LF;
    switch (parser->header) {
    case HEADER_HOST:
        parser->host_seen = true;
        if (!parser->absolute) {
            parser->host[parser->host_length] = 0;
            trim(parser->host);
        }
        return HTTP_MORE;
    case HEADER_LENGTH:
        return length_value(parser);
    case HEADER_CODING:
        parser->has_coding = true;
        return HTTP_MORE;
    case HEADER_CONNECTION:
        connection_value(parser);
        return HTTP_MORE;
    default:
        return HTTP_MORE;
    }
}

static enum http_verdict request_end(struct http_parser *parser)
{
    if (parser->minor >= 1 && !parser->host_seen) /* RFC 9112 3.2 */
        return refuse(parser, 400);
    if (parser->has_coding && parser->has_length) /* RFC 9112 6.1: an attempt at smuggling */
        return refuse(parser, 400);
    if (parser->has_coding || parser->has_body)
        return refuse(parser, 413);
    parser->has_host = parser->host_seen || parser->absolute;
    parser->keep_alive = !parser->close_asked && (parser->minor >= 1 || parser->keep_asked);
    parser->state = DONE;
    return HTTP_REQUEST;
}

static enum http_verdict header_line(struct http_parser *parser, uint8_t c)
{
    switch (parser->state) {
    case HEADER:
        if (c == '\r') {
            parser->state = END_LF;
            return HTTP_MORE;
        }
        parser->state = NAME;
        word_start(parser);
        /* fall through */
    case NAME:
        if (c == ':')
            return name_end(parser);
        if (!is_token(c)) /* a folded line's blank, or one before the colon, too */
            return refuse(parser, 400);
        word_add(parser, lower(c));
        return HTTP_MORE;
    case BLANKS:
        if (c == ' ' || c == '\t')
            return HTTP_MORE;
        parser->state = VALUE;
        /* fall through */
    case VALUE:
        return c == '\r' ? value_end(parser) : value_byte(parser, c);
    case END_LF:
        return c == '\n' ? request_end(parser) : refuse(parser, 400);
    default: /* LINE_LF, VALUE_LF */
        parser->state = HEADER;
        return c == '\n' ? HTTP_MORE : refuse(parser, 400);
    }
}

enum http_verdict http_parse(struct http_parser *parser, const uint8_t *bytes, size_t length, size_t *taken)
{
    for (size_t i = 0; i < length; i++) {
        *taken = i + 1;
        if (++parser->bytes > HTTP_HEADER_BYTES_MAX)
            return refuse(parser, parser->state < LINE_LF ? 414 : 431);
        enum http_verdict verdict =
            parser->state < LINE_LF ? request_line(parser, bytes[i]) : header_line(parser, bytes[i]);
        if (verdict != HTTP_MORE)
            return verdict;
        if (parser->state == BEFORE)
            parser->bytes = 0; /* blank lines between requests are no part of them */
    }
    *taken = length;
    return HTTP_MORE;
}

/* ---- who may ask ---- */

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits <= 5 && text[digits] == 0;
}

static bool is_literal(const char *host, size_t length)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    bool six = length >= 2 && host[0] == '[' && host[length - 1] == ']';
    if (six) {
        host++;
        length -= 2;
    }
    if (length >= sizeof(text))
        return false;
    memcpy(text, host, length);
    text[length] = 0;
    return inet_pton(six ? AF_INET6 : AF_INET, text, &address) == 1;
}

bool http_host_allowed(const char *host, const char *const *names, unsigned count)
{
    const char *colon = strrchr(host, ':');
    if (colon != NULL && strchr(colon, ']') != NULL)
        colon = NULL; /* inside an IPv6 literal */
    size_t length = colon != NULL ? (size_t)(colon - host) : strlen(host);
    if (length == 0 || (colon != NULL && !is_port(colon + 1)))
        return false;
    if (is_literal(host, length))
        return true;
    for (unsigned i = 0; i < count; i++)
        if (strlen(names[i]) == length && strncasecmp(names[i], host, length) == 0)
            return true;
    return false;
}

int http_sniff(const uint8_t *bytes, size_t length)
{
    static const char *const methods[] = {"GET ",    "HEAD ",    "POST ",  "PUT ",  "DELETE ",
                                          "CONNECT", "OPTIONS ", "TRACE ", "PATCH "};
    size_t given = length < HTTP_SNIFF_BYTES ? length : HTTP_SNIFF_BYTES;
    for (unsigned i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        size_t whole = strlen(methods[i]);
        if (memcmp(bytes, methods[i], given < whole ? given : whole) == 0)
            return given >= whole ? 1 : 0;
    }
    return -1;
}
