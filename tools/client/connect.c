/*
 * connect.c - options and secrets: how a client comes to be, and how it ends.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"

enum { TIMEOUT_MS_DEFAULT = 1000, CONNECT_TIMEOUT_MS_DEFAULT = 3000 };

void client_say(char error[WILD_ERROR_BYTES], const char *format, ...)
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
        client_say(error, "no memory for keys: %s", strerror(errno));
        return NULL;
    }
    madvise(pages, sizeof(struct client_secrets), MADV_DONTDUMP);
    /* Parent and child would seal different datagrams with the same counters. */
    if (madvise(pages, sizeof(struct client_secrets), MADV_WIPEONFORK) != 0) {
        client_say(error, "this system cannot keep keys from child processes: %s", strerror(errno));
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
        client_say(error,
                   ways == 0 ? "no secret: give a secret, a secret file, or insecure_no_auth for a bench node"
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
                client_say(error, "the secret cannot be used: %s", strerror(-outcome));
        }
        keys_wipe(text, sizeof(text));
        if (outcome != 0)
            return -1;
    }
    if (!keys->held[ROLE_CLIENT]) {
        client_say(error, "the secret does not carry the client role");
        return -1;
    }
    /* No more trust than the work needs: a full secret also makes replica keys. */
    keys_wipe(keys->role[ROLE_REPLICA], ROLE_KEY_BYTES);
    keys_wipe(keys->mac1[ROLE_REPLICA], MAC1_KEY_BYTES);
    keys->held[ROLE_REPLICA] = false;
    return 0;
}

/* ---- sessions ---- */

int client_establish(struct wild_client *client, uint64_t deadline_ns, bool last)
{
    const struct carrier *carrier = client->carrier;
    client->failure = 0;
    int outcome = carrier->open(client);
    if (outcome != 0)
        return outcome;
    uint64_t now = client_now();
    carrier->start(client, now);
    while (!client->live && now < deadline_ns && !client_is_stopped(client) &&
           (client->failure == 0 || (last && !carrier->failure_is_final)))
        now = client_turn(client, now, deadline_ns);
    if (client->live)
        return 0;
    outcome = client->failure != 0 ? client->failure : -ETIMEDOUT;
    carrier->hang_up(client);
    return outcome;
}

void client_say_no_session(const struct wild_client *client, int outcome, char error[WILD_ERROR_BYTES])
{
    if (outcome == -ECONNREFUSED)
        client_say(error, "no answer from %s: nothing listens on that port", client->endpoint);
    else if (outcome == -ETIMEDOUT)
        client_say(error, "no answer from %s: node down, or the secret or cluster name differs",
                   client->endpoint);
    else if (outcome == -ECONNRESET || outcome == -EPIPE || outcome == -EPROTO)
        client_say(
            error,
            "%s ended the handshake: the secret or cluster name differs, the node takes no more connections, "
            "or it is none of WILD's",
            client->endpoint);
    else
        client_say(error, "cannot reach %s: %s", client->endpoint, strerror(-outcome));
}

/* Each address has its share of the time. */
static int connect_addresses(struct wild_client *client, const struct address_list *list,
                             char error[WILD_ERROR_BYTES])
{
    uint64_t end_ns = client_now() + client->connect_timeout_ns;
    int outcome = -EADDRNOTAVAIL;
    for (unsigned i = 0; i < list->count && !client->live; i++) {
        uint64_t now = client_now();
        unsigned left = list->count - i;
        if (now >= end_ns)
            break;
        client->address = list->address[i];
        client->address_bytes = list->bytes[i];
        outcome = client_establish(client, now + (end_ns - now) / left, left == 1);
    }
    if (client->live)
        return 0;
    client_say_no_session(client, outcome, error);
    return -1;
}

/* ---- clients ---- */

static struct wild_client *client_create(const struct carrier *carrier, char error[WILD_ERROR_BYTES])
{
    if (keys_start() != 0) {
        client_say(error, "libsodium does not start");
        return NULL;
    }
    struct wild_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        client_say(error, "no memory for a client");
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
        client_say(error, "cannot make a client: %s", strerror(-outcome));
        wild_close(client);
        return NULL;
    }
    return client;
}

struct wild_client *client_new(const struct wild_options *options, char error[WILD_ERROR_BYTES])
{
    error[0] = '\0';
    const char *endpoint = options->endpoint != NULL ? options->endpoint : "127.0.0.1";
    bool udp = options->transport == WILD_TRANSPORT_UDP;
    struct wild_client *client = client_create(udp ? &carrier_datagrams : &carrier_stream, error);
    if (client == NULL)
        return NULL;
    if (strlen(endpoint) >= sizeof(client->endpoint)) {
        client_say(error, "the endpoint's name is too long");
        wild_close(client);
        return NULL;
    }
    strcpy(client->endpoint, endpoint);
    client->sealed = options->sealed;
    client->timeout_ns = MS_NS * (options->timeout_ms != 0 ? options->timeout_ms : TIMEOUT_MS_DEFAULT);
    client->connect_timeout_ns =
        MS_NS * (options->connect_timeout_ms != 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS_DEFAULT);
    if (secret_load(client->secrets, options, error) != 0) {
        wild_close(client);
        return NULL;
    }
    return client;
}

struct wild_client *wild_connect(const struct wild_options *options, char error[WILD_ERROR_BYTES])
{
    struct wild_client *client = client_new(options, error);
    struct address_list list;
    if (client == NULL)
        return NULL;
    if (endpoint_resolve(client->endpoint, client->carrier->socket_type, false, &list, error) != 0 ||
        connect_addresses(client, &list, error) != 0) {
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
    client->stop = from->stop;
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
    int outcome = client_establish(client, client_now() + client->connect_timeout_ns, true);
    if (outcome != 0) {
        client_say_no_session(client, outcome, error);
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
