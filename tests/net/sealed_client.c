/*
 * sealed_client.c - sessions over TCP as they are told on stdin, a command a line; what comes back, opened, on
 * stdout.
 *
 *   sealed_client ADDRESS PORT SECRET-FILE
 *
 *   connect      a new connection
 *   init         INIT is made; like everything that is made, it waits to be sent
 *   response     waits for RESPONSE (and answers COOKIE); CONFIRM is made
 *   ready        waits for READY
 *   seal HEX     a record of this message is made
 *   close        a CLOSE record is made
 *   raw HEX      these bytes are
 *   flip N       byte N of what is to be sent is changed
 *   keep N       what follows the first N bytes of it is forgotten
 *   send N       it is sent, N bytes with each write; 0: all at once
 *   split N      it is sent, and behind N bytes there is a pause
 *   end          the client's direction is ended
 *   finish       prints all that has come until the node's direction ends: "message HEX", "closed" and
 *                "refused" for records, "wrong kind N" for a handshake's, then "end fin", "end reset" or
 *                "end open" (nothing came for twenty seconds), with "before " and what was waited for when it
 *                came too early
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "handshake.h"
#include "record.h"

enum { OUT_BYTES = 1 << 20, PATIENCE_MS = 20000, LINE_BYTES = 1 << 17 };

enum end { END_NONE, END_FIN, END_RESET, END_OPEN };

struct client {
    struct sockaddr_in to;
    struct role_keys keys;
    struct random_source random;
    int fd;
    enum end end;
    const char *before; /* what the end came before */
    struct handshake_client handshake;
    struct session_keys session;
    struct record_reader reader;
    struct record_writer writer;
    bool responded, ready;
    size_t out_length;
    uint8_t out[OUT_BYTES];
    uint8_t record[RECORD_BYTES_MAX]; /* the reader's */
};

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

/* ---- in ---- */

static void put(struct client *c, const void *bytes, size_t length)
{
    if (c->out_length + length > OUT_BYTES)
        fail("too much to send");
    memcpy(c->out + c->out_length, bytes, length);
    c->out_length += length;
}

static void print_message(const struct record_item *item)
{
    fputs("message ", stdout);
    for (uint32_t i = 0; i < item->length; i++)
        printf("%02x", item->bytes[i]);
    putchar('\n');
}

/* What does not verify is said, and nothing more is understood. */
static void take_handshake(struct client *c, const struct record_item *item)
{
    struct handshake_identity node;
    uint8_t confirm[HANDSHAKE_CONFIRM_BYTES];
    bool good = false;

    switch (item->kind) {
    case DATAGRAM_COOKIE:
        good = handshake_take_cookie(&c->handshake, &c->keys, item->bytes, item->length) == 0 &&
               send(c->fd, c->handshake.init, HANDSHAKE_INIT_BYTES, MSG_NOSIGNAL) == HANDSHAKE_INIT_BYTES;
        break;
    case DATAGRAM_RESPONSE:
        good = c->responded = handshake_finish(&c->handshake, &c->keys, item->bytes, item->length, confirm,
                                               &c->session, &node) == 0;
        if (!good)
            break;
        put(c, confirm, sizeof confirm);
        c->writer = record_writer_start(&c->session.send, &record_limits_default);
        c->reader.expected = RECORD_KIND_BIT(DATAGRAM_READY);
        break;
    default:
        good = c->ready = handshake_ready_check(&c->session, item->bytes, item->length) == 0;
        if (good)
            record_reader_key(&c->reader, &c->session.receive);
    }
    if (!good) {
        printf("wrong kind %u\n", item->kind);
        c->reader.expected = 0;
    }
}

static void take(struct client *c, uint8_t *bytes, size_t length)
{
    uint8_t *at = bytes;

    for (;;) {
        struct record_item item;

        switch (record_next(&c->reader, &at, bytes + length, &item)) {
        case RECORD_NEEDS_BYTES:
            return;
        case RECORD_HANDSHAKE:
            take_handshake(c, &item);
            break;
        case RECORD_MESSAGE:
            print_message(&item);
            break;
        case RECORD_CLOSED:
            puts("closed");
            break;
        case RECORD_REKEYED:
            break;
        default:
            puts("refused");
            return;
        }
    }
}

/* Waits for `events`, and reads what there is. False: the node's direction has ended, or nothing happens. */
static bool wait_and_read(struct client *c, short events)
{
    struct pollfd wait = {.fd = c->fd, .events = events};
    uint8_t bytes[65536];
    ssize_t got;

    if (c->end != END_NONE)
        return false;
    if (poll(&wait, 1, PATIENCE_MS) != 1) {
        c->end = END_OPEN;
        return false;
    }
    got = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0)
        take(c, bytes, (size_t)got);
    else if (got == 0)
        c->end = END_FIN;
    else if (errno != EAGAIN)
        c->end = END_RESET;
    return c->end == END_NONE;
}

static void wait_until(struct client *c, const bool *what, const char *name)
{
    while (!*what && wait_and_read(c, POLLIN))
        ;
    if (!*what && c->before == NULL)
        c->before = name;
}

/* ---- out ---- */

/* A node that has ended its direction goes on taking ours. */
static void send_part(struct client *c, const uint8_t *bytes, size_t length)
{
    while (length > 0 && c->end != END_RESET && c->end != END_OPEN) {
        ssize_t sent = send(c->fd, bytes, length, MSG_NOSIGNAL | (c->end == END_NONE ? MSG_DONTWAIT : 0));

        if (sent > 0) {
            bytes += sent;
            length -= (size_t)sent;
        } else if (errno == EAGAIN) {
            wait_and_read(c, POLLIN | POLLOUT);
        } else {
            while (wait_and_read(c, POLLIN)) /* what came before it */
                ;
            c->end = END_RESET;
        }
    }
}

static void send_all(struct client *c, size_t piece)
{
    for (size_t at = 0; at < c->out_length; at += piece)
        send_part(c, c->out + at, c->out_length - at < piece ? c->out_length - at : piece);
    c->out_length = 0;
}

static void send_split(struct client *c, size_t at)
{
    struct timespec pause = {.tv_nsec = 500000};

    if (at > c->out_length)
        fail("split: there are %zu bytes", c->out_length);
    send_part(c, c->out, at);
    nanosleep(&pause, NULL);
    send_part(c, c->out + at, c->out_length - at);
    c->out_length = 0;
}

static size_t from_hex(const char *text, uint8_t *out, size_t room)
{
    size_t length = 0;
    unsigned byte;

    for (; length < room && sscanf(text + 2 * length, "%2x", &byte) == 1; length++)
        out[length] = (uint8_t)byte;
    return length;
}

static void seal(struct client *c, const char *text)
{
    uint8_t record[RECORD_BYTES_MAX + RECORD_ROOM_BYTES];
    size_t length = from_hex(text, record + RECORD_HEADER_BYTES, RECORD_MESSAGE_BYTES_MAX);

    if (!c->responded)
        fail("seal: there are no keys");
    put(c, record, record_seal(&c->writer, record + RECORD_HEADER_BYTES, length, record));
}

static void close_session(struct client *c)
{
    uint8_t record[RECORD_OVERHEAD_BYTES];

    if (!c->responded)
        fail("close: there are no keys");
    put(c, record, record_close(&c->writer, record));
}

/* ---- connections ---- */

static void open_connection(struct client *c)
{
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&c->to, sizeof c->to) != 0)
        fail("connect: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->end = END_NONE;
    c->before = NULL;
    c->responded = c->ready = false;
    c->out_length = 0;
    c->reader = record_reader_start(RECORD_KIND_BIT(DATAGRAM_COOKIE) | RECORD_KIND_BIT(DATAGRAM_RESPONSE),
                                    &record_limits_default);
    record_reader_lend(&c->reader, c->record, sizeof c->record);
}

static void make_init(struct client *c)
{
    if (handshake_start(&c->handshake, &c->keys, ROLE_CLIENT, TRANSPORT_TCP, SUITE_ALL, &c->random) != 0)
        fail("no INIT");
    put(c, c->handshake.init, HANDSHAKE_INIT_BYTES);
}

static void finish(struct client *c)
{
    static const char *const ends[] = {[END_FIN] = "fin", [END_RESET] = "reset", [END_OPEN] = "open"};

    while (wait_and_read(c, POLLIN))
        ;
    printf("end %s%s%s\n", ends[c->end], c->before != NULL ? " before " : "",
           c->before != NULL ? c->before : "");
    close(c->fd);
    handshake_end(&c->handshake);
}

static void obey(struct client *c, const char *word, const char *rest)
{
    size_t number = strtoul(rest, NULL, 10);

    if (strcmp(word, "connect") == 0)
        open_connection(c);
    else if (strcmp(word, "init") == 0)
        make_init(c);
    else if (strcmp(word, "response") == 0)
        wait_until(c, &c->responded, "RESPONSE");
    else if (strcmp(word, "ready") == 0)
        wait_until(c, &c->ready, "READY");
    else if (strcmp(word, "seal") == 0)
        seal(c, rest);
    else if (strcmp(word, "close") == 0)
        close_session(c);
    else if (strcmp(word, "raw") == 0)
        c->out_length += from_hex(rest, c->out + c->out_length, OUT_BYTES - c->out_length);
    else if (strcmp(word, "flip") == 0 && number < c->out_length)
        c->out[number] ^= 1;
    else if (strcmp(word, "keep") == 0 && number <= c->out_length)
        c->out_length = number;
    else if (strcmp(word, "send") == 0)
        send_all(c, number != 0 ? number : OUT_BYTES);
    else if (strcmp(word, "split") == 0)
        send_split(c, number);
    else if (strcmp(word, "end") == 0)
        shutdown(c->fd, SHUT_WR);
    else if (strcmp(word, "finish") == 0)
        finish(c);
    else
        fail("what is '%s %s'?", word, rest);
}

int main(int argc, char **argv)
{
    static struct client client = {.to.sin_family = AF_INET};
    static char line[LINE_BYTES];
    char secret[SECRET_TEXT_BYTES_MAX], error[256] = "";
    int length;

    if (argc != 4 || keys_start() != 0 || inet_pton(AF_INET, argv[1], &client.to.sin_addr) != 1)
        fail("usage: sealed_client ADDRESS PORT SECRET-FILE");
    client.to.sin_port = htons((uint16_t)atoi(argv[2]));
    client.random = random_system();
    length = keys_read_secret_file(argv[3], secret, error, sizeof error);
    if (length < 0 ||
        keys_from_secret(&client.keys, secret, (size_t)length, "wild", error, sizeof error) != 0)
        fail("%s", error);
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *word = line, *rest;

        line[strcspn(line, "\n")] = 0;
        rest = line + strcspn(line, " ");
        if (*rest != 0)
            *rest++ = 0;
        obey(&client, word, rest);
    }
    return 0;
}
