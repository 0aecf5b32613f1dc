/*
 * connect.c - options, names and secrets: how a client comes to be, and how it ends.
 */
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"

enum { TIMEOUT_MS_DEFAULT = 1000, CONNECT_TIMEOUT_MS_DEFAULT = 3000 };

__attribute__((format(printf, 2, 3))) static void say(char error[WILD_ERROR_BYTES], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, WILD_ERROR_BYTES, format, arguments);
    va_end(arguments);
}

/* ---- where the keys live ---- */

static struct client_secrets *secrets_create(char error[WILD_ERROR_BYTES])
{
    void *pages =
        mmap(NULL, sizeof(struct client_secrets), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        say(error, "no memory for keys: %s", strerror(errno));
        return NULL;
    }
    madvise(pages, sizeof(struct client_secrets), MADV_DONTDUMP);
    /* Parent and child would seal different datagrams with the same counters. */
    if (madvise(pages, sizeof(struct client_secrets), MADV_WIPEONFORK) != 0) {
        say(error, "this system cannot keep keys from child processes: %s", strerror(errno));
        munmap(pages, sizeof(struct client_secrets));
        return NULL;
    }
    /* A program with many clients must not fail on a low RLIMIT_MEMLOCK: locked if it can be. */
    (void)!mlock(pages, sizeof(struct client_secrets));
    ((struct client_secrets *)pages)->present = true;
    return pages;
}

static void secrets_destroy(struct client_secrets *secrets)
{
    if (secrets == NULL)
        return;
    keys_wipe(secrets, sizeof(*secrets));
    munmap(secrets, sizeof(*secrets));
}

static int secret_load(struct client_secrets *secrets, const struct wild_options *options,
                       char error[WILD_ERROR_BYTES])
{
    unsigned ways =
        (options->secret != NULL) + (options->secret_file != NULL) + (options->insecure_no_auth ? 1 : 0);
    if (ways != 1) {
        say(error, ways == 0 ? "no secret: give a secret, a secret file, or insecure_no_auth for a bench node"
                             : "give one of secret, secret file and insecure_no_auth, not several");
        return -1;
    }
    struct role_keys *keys = &secrets->keys;
    if (options->insecure_no_auth) {
        keys_insecure(keys);
    } else {
        char text[SECRET_TEXT_BYTES_MAX];
        int length = 0, outcome = -1;
        if (options->secret_file != NULL)
            length = keys_read_secret_file(options->secret_file, text, error, WILD_ERROR_BYTES);
        const char *secret = options->secret_file != NULL ? text : options->secret;
        if (length >= 0) {
            size_t bytes = options->secret_file != NULL ? (size_t)length : strlen(secret);
            const char *cluster = options->cluster_name != NULL ? options->cluster_name : "wild";
            error[0] = '\0';
            outcome = keys_from_secret(keys, secret, bytes, cluster, error, WILD_ERROR_BYTES);
            if (outcome != 0 && error[0] == '\0')
                say(error, "the secret cannot be used: %s", strerror(-outcome));
        }
        keys_wipe(text, sizeof(text));
        if (outcome != 0)
            return -1;
    }
    if (!keys->held[ROLE_CLIENT]) {
        say(error, "the secret does not carry the client role");
        return -1;
    }
    /* No more trust than the work needs: a full secret also makes replica keys. */
    keys_wipe(keys->role[ROLE_REPLICA], ROLE_KEY_BYTES);
    keys_wipe(keys->mac1[ROLE_REPLICA], MAC1_KEY_BYTES);
    keys->held[ROLE_REPLICA] = false;
    return 0;
}

/* ---- the endpoint ---- */

/* "HOST:PORT", "[IPv6]:PORT", "[IPv6]", "HOST", or a bare IPv6 address. */
static int endpoint_split(const char *endpoint, char *host, size_t host_bytes, char *port, size_t port_bytes)
{
    const char *begin = endpoint, *end, *colon;
    if (*endpoint == '[') {
        begin = endpoint + 1;
        end = strchr(begin, ']');
        if (end == NULL)
            return -1;
        colon = end[1] == '\0' ? NULL : end + 1;
    } else {
        colon = strrchr(endpoint, ':');
        if (colon != NULL && strchr(endpoint, ':') != colon)
            colon = NULL;
        end = colon != NULL ? colon : endpoint + strlen(endpoint);
    }
    if (end == begin || (size_t)(end - begin) >= host_bytes)
        return -1;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    if (colon == NULL) {
        snprintf(port, port_bytes, "%d", PROTOCOL_DEFAULT_PORT);
        return 0;
    }
    char *rest;
    if (*colon != ':' || colon[1] < '0' || colon[1] > '9')
        return -1;
    unsigned long number = strtoul(colon + 1, &rest, 10);
    if (*rest != '\0' || number == 0 || number > 65535)
        return -1;
    snprintf(port, port_bytes, "%lu", number);
    return 0;
}

/* Runs the handshake with client->address; 0 once there is a session. What only hints at a failure ends it
 * early when there is another address to try. */
static int establish(struct wild_client *client, uint64_t deadline_ns, bool last)
{
    const struct carrier *carrier = client->carrier;
    client->failure = 0;
    int outcome = carrier->open(client);
    if (outcome != 0)
        return outcome;
    uint64_t now = client_now();
    carrier->start(client, now);
    while (!client->live && now < deadline_ns &&
           (client->failure == 0 || (last && !carrier->failure_is_final)))
        now = client_turn(client, now, deadline_ns);
    if (client->live)
        return 0;
    outcome = client->failure != 0 ? client->failure : -ETIMEDOUT;
    carrier->hang_up(client);
    return outcome;
}

static void say_no_session(const struct wild_client *client, int outcome, char error[WILD_ERROR_BYTES])
{
    if (outcome == -ECONNREFUSED)
        say(error, "no answer from %s: nothing listens on that port", client->endpoint);
    else if (outcome == -ETIMEDOUT)
        say(error, "no answer from %s: node down, or the secret or cluster name differs", client->endpoint);
    else if (outcome == -ECONNRESET || outcome == -EPIPE || outcome == -EPROTO)
        say(error,
            "%s ended the handshake: the secret or cluster name differs, the node takes no more connections, "
            "or it is none of WILD's",
            client->endpoint);
    else
        say(error, "cannot reach %s: %s", client->endpoint, strerror(-outcome));
}

static int connect_addresses(struct wild_client *client, const struct addrinfo *list,
                             char error[WILD_ERROR_BYTES])
{
    unsigned left = 0;
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next)
        left++;
    uint64_t end_ns = client_now() + client->connect_timeout_ns;
    int outcome = -EADDRNOTAVAIL;
    for (const struct addrinfo *a = list; a != NULL && !client->live; a = a->ai_next, left--) {
        uint64_t now = client_now();
        if (now >= end_ns)
            break;
        memcpy(&client->address, a->ai_addr, a->ai_addrlen);
        client->address_bytes = a->ai_addrlen;
        outcome = establish(client, now + (end_ns - now) / left, left == 1);
    }
    if (client->live)
        return 0;
    say_no_session(client, outcome, error);
    return -1;
}

static int resolve_and_connect(struct wild_client *client, char error[WILD_ERROR_BYTES])
{
    char host[256], port[8];
    if (endpoint_split(client->endpoint, host, sizeof(host), port, sizeof(port)) != 0) {
        say(error, "endpoint \"%s\" is not HOST:PORT or [IPv6]:PORT", client->endpoint);
        return -1;
    }
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = client->carrier->socket_type, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list;
    int outcome = getaddrinfo(host, port, &hints, &list);
    if (outcome != 0) {
        say(error, "cannot resolve %s: %s", client->endpoint, gai_strerror(outcome));
        return -1;
    }
    outcome = connect_addresses(client, list, error);
    freeaddrinfo(list);
    return outcome;
}

/* ---- clients ---- */

static struct wild_client *client_create(const struct carrier *carrier, char error[WILD_ERROR_BYTES])
{
    if (keys_start() != 0) {
        say(error, "libsodium does not start");
        return NULL;
    }
    struct wild_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        say(error, "no memory for a client");
        return NULL;
    }
    client->carrier = carrier;
    client->fd = client->descriptor = -1;
    client->random = random_system();
    client->secrets = secrets_create(error);
    if (client->secrets == NULL) {
        free(client);
        return NULL;
    }
    client->doubt_ns = SESSION_DOUBT_NS;
    pipeline_init(client);
    int outcome = carrier->create(client);
    if (outcome != 0) {
        say(error, "cannot make a client: %s", strerror(-outcome));
        wild_close(client);
        return NULL;
    }
    return client;
}

struct wild_client *wild_connect(const struct wild_options *options, char error[WILD_ERROR_BYTES])
{
    error[0] = '\0';
    const char *endpoint = options->endpoint != NULL ? options->endpoint : "127.0.0.1";
    bool udp = options->transport == WILD_TRANSPORT_UDP;
    struct wild_client *client = client_create(udp ? &carrier_datagrams : &carrier_stream, error);
    if (client == NULL)
        return NULL;
    if (strlen(endpoint) >= sizeof(client->endpoint)) {
        say(error, "the endpoint's name is too long");
        wild_close(client);
        return NULL;
    }
    strcpy(client->endpoint, endpoint);
    client->sealed = options->sealed;
    client->timeout_ns = MS_NS * (options->timeout_ms != 0 ? options->timeout_ms : TIMEOUT_MS_DEFAULT);
    client->connect_timeout_ns =
        MS_NS * (options->connect_timeout_ms != 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS_DEFAULT);
    if (secret_load(client->secrets, options, error) != 0 || resolve_and_connect(client, error) != 0) {
        wild_close(client);
        return NULL;
    }
    return client;
}

struct wild_client *client_pattern(const struct wild_client *from, char error[WILD_ERROR_BYTES])
{
    error[0] = '\0';
    struct wild_client *client = client_create(from->carrier, error);
    if (client == NULL)
        return NULL;
    memcpy(client->endpoint, from->endpoint, sizeof(client->endpoint));
    client->sealed = from->sealed;
    client->timeout_ns = from->timeout_ns;
    client->connect_timeout_ns = from->connect_timeout_ns;
    client->address = from->address;
    client->address_bytes = from->address_bytes;
    memcpy(&client->secrets->keys, &from->secrets->keys, sizeof(client->secrets->keys));
    return client;
}

struct wild_client *wild_duplicate(const struct wild_client *from, char error[WILD_ERROR_BYTES])
{
    struct wild_client *client = client_pattern(from, error);
    if (client == NULL)
        return NULL;
    int outcome = establish(client, client_now() + client->connect_timeout_ns, true);
    if (outcome != 0) {
        say_no_session(client, outcome, error);
        wild_close(client);
        return NULL;
    }
    return client;
}

void wild_close(struct wild_client *client)
{
    if (client == NULL)
        return;
    client->carrier->end(client);
    secrets_destroy(client->secrets);
    free(client);
}
