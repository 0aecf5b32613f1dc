/*
 * config_test.c - reaches every endpoint that is configured, and says what is wrong with each.
 */
#include <ctype.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"

enum { PROBE_BYTES = 1024, WRONG_BYTES = 512 };

struct report {
    const char *endpoint;
    bool primary;
    bool reached;
    struct wild_node node;
    struct wild_health health;
    char wrong[WRONG_BYTES]; /* empty: nothing */
};

/* ---- what is there, if it is no node that takes our secret ---- */

/* A connection to "HOST:PORT", or -1; `host` gets the address as text. */
static int probe_connect(const char *endpoint, char *address, size_t address_bytes)
{
    char host[256];
    const char *colon = strrchr(endpoint, ':');
    bool port = colon != NULL && (strchr(endpoint, ':') == colon || colon[-1] == ']');
    size_t length = port ? (size_t)(colon - endpoint) : strlen(endpoint);
    const char *begin = endpoint;
    if (length > 2 && endpoint[0] == '[') {
        begin++;
        length -= 2;
    }
    if (length >= sizeof(host))
        return -1;
    memcpy(host, begin, length);
    host[length] = '\0';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *at;
    if (getaddrinfo(host, port ? colon + 1 : "7878", &hints, &list) != 0)
        return -1;
    struct timeval second = {.tv_sec = 1};
    int fd = -1;
    for (at = list; at != NULL && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second)); /* connect(), too */
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
        if (connect(fd, at->ai_addr, at->ai_addrlen) == 0 &&
            getnameinfo(at->ai_addr, at->ai_addrlen, address, (socklen_t)address_bytes, NULL, 0,
                        NI_NUMERICHOST) == 0)
            break;
        close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

/* A node says how it is to whoever asks by HTTP, unless it was told not to; others say what they are. */
static void probe(const char *endpoint, char *wrong)
{
    char address[128], request[256], answer[PROBE_BYTES + 1];
    int fd = probe_connect(endpoint, address, sizeof(address));
    if (fd < 0)
        return;
    bool v6 = strchr(address, ':') != NULL;
    int length = snprintf(request, sizeof(request),
                          "GET /health HTTP/1.1\r\nHost: %s%s%s\r\nConnection: close\r\n\r\n", v6 ? "[" : "",
                          address, v6 ? "]" : "");
    size_t got = 0;
    time_t until = time(NULL) + 3; /* one byte a second is no answer either */
    if (send(fd, request, (size_t)length, MSG_NOSIGNAL) == length)
        for (ssize_t n; got < PROBE_BYTES && time(NULL) < until &&
                        (n = recv(fd, answer + got, PROBE_BYTES - got, 0)) > 0;)
            got += (size_t)n;
    close(fd);
    answer[got] = '\0';
    if (got == 0)
        return; /* what libwild has said is all that is known */
    if (strncmp(answer, "HTTP/1.1 ", 9) == 0 && strstr(answer, "\"mode\":\"") != NULL &&
        strstr(answer, "\"state\":\"") != NULL) {
        snprintf(wrong, WRONG_BYTES,
                 "a WILD node that does not take our secret: it or the cluster name differs");
        return;
    }
    answer[strcspn(answer, "\r\n")] = '\0';
    for (char *at = answer; *at != '\0'; at++)
        if (!isprint((unsigned char)*at))
            *at = '?';
    snprintf(wrong, WRONG_BYTES, "not WILD: it says \"%.100s\"", answer);
}

/* ---- one endpoint ---- */

static void reach(struct report *report, const struct options *options)
{
    char error[WILD_ERROR_BYTES];
    struct wild_client *client = nodes_connect(options, report->endpoint, error);
    if (client == NULL) {
        snprintf(report->wrong, WRONG_BYTES, "%s", error);
        /* libwild cannot tell a wrong secret from a stranger: both end its handshake, or are silent */
        if (strstr(error, "secret or cluster name differs") != NULL)
            probe(report->endpoint, report->wrong);
        return;
    }
    enum wild_status status = wild_health(client, &report->health);
    if (status == WILD_OK)
        report->reached = true;
    else
        snprintf(report->wrong, WRONG_BYTES, "takes our secret, but does not say how it is: %s",
                 wild_status_text(status));
    wild_node(client, &report->node);
    wild_close(client);
}

static void judge_mode(struct report *report, bool has_replicas)
{
    const char *mode = report->health.mode;
    if (report->primary && strcmp(mode, "replica") == 0)
        snprintf(report->wrong, WRONG_BYTES, "wrong mode: it is a replica, but configured as primary");
    else if (report->primary && has_replicas && strcmp(mode, "primary") != 0)
        snprintf(report->wrong, WRONG_BYTES, "wrong mode: it is %s, which has no replicas", mode);
    else if (!report->primary && strcmp(mode, "primary") == 0)
        snprintf(report->wrong, WRONG_BYTES, "wrong mode: it is a primary, but configured as replica");
    else if (!report->primary && strcmp(mode, "replica") != 0)
        snprintf(report->wrong, WRONG_BYTES, "wrong mode: it is %s, with data of its own", mode);
}

/* Against the first that was reached: the primary, if it was. */
static void judge(struct report *reports, unsigned index, unsigned count, uint32_t epoch)
{
    struct report *report = &reports[index];
    unsigned first = 0;
    while (!reports[first].reached)
        first++;
    judge_mode(report, count > 1);
    if (report->wrong[0] != '\0')
        return;
    if (memcmp(report->node.cluster_id, reports[first].node.cluster_id, WILD_CLUSTER_ID_BYTES) != 0)
        snprintf(report->wrong, WRONG_BYTES, "another cluster: its id is not that of %s",
                 reports[first].endpoint);
    else if (report->health.epoch < epoch)
        snprintf(report->wrong, WRONG_BYTES, "its epoch %" PRIu32 " is behind: another node has %" PRIu32,
                 report->health.epoch, epoch);
    else if (strcmp(report->health.state, "serving") != 0)
        snprintf(report->wrong, WRONG_BYTES, "does not serve: %s", report->health.state);
    for (unsigned i = 0; i < index; i++)
        if (reports[i].reached && reports[i].node.node_id == report->node.node_id)
            snprintf(report->wrong, WRONG_BYTES, "the same node as %s", reports[i].endpoint);
}

/* ---- all ---- */

static uint32_t highest_epoch(const struct report *reports, unsigned count)
{
    uint32_t epoch = 0;
    for (unsigned i = 0; i < count; i++)
        if (reports[i].reached && reports[i].health.epoch > epoch &&
            (strcmp(reports[i].health.mode, "standalone") != 0 || reports[i].primary))
            epoch = reports[i].health.epoch;
    return epoch;
}

static void print_report(const struct report *report)
{
    printf("%-28s %-8s ", report->endpoint, report->primary ? "primary" : "replica");
    if (report->wrong[0] != '\0')
        printf("WRONG: %s\n", report->wrong);
    else
        printf("ok: %s, %s, epoch %" PRIu32 ", lsn %" PRIu64 "\n", report->health.mode, report->health.state,
               report->health.epoch, report->health.lsn);
}

static json_t *report_json(const struct report *report)
{
    json_t *object = json_pack("{s:s, s:b, s:b, s:s}", "endpoint", report->endpoint, "primary",
                               report->primary, "ok", report->wrong[0] == '\0', "wrong", report->wrong);
    if (report->reached)
        json_object_update_new(object,
                               json_pack("{s:s, s:s, s:I}", "mode", report->health.mode, "state",
                                         report->health.state, "epoch", (json_int_t)report->health.epoch));
    return object;
}

int config_test_run(const struct options *options)
{
    struct report reports[1 + WILD_REPLICAS_MAX] = {0};
    unsigned count = 1 + options->replicas, wrong = 0;
    const char *primary = options->primary != NULL ? options->primary : options->client.endpoint;
    reports[0] = (struct report){.endpoint = primary != NULL ? primary : DEFAULT_PRIMARY, .primary = true};
    for (unsigned i = 0; i < options->replicas; i++)
        reports[1 + i].endpoint = options->replica[i].endpoint;
    for (unsigned i = 0; i < count; i++)
        reach(&reports[i], options);
    uint32_t epoch = highest_epoch(reports, count);
    for (unsigned i = 0; i < count; i++) {
        if (reports[i].reached)
            judge(reports, i, count, epoch);
        wrong += reports[i].wrong[0] != '\0';
    }
    if (options->json) {
        json_t *list = json_array();
        for (unsigned i = 0; i < count; i++)
            json_array_append_new(list, report_json(&reports[i]));
        print_json(json_pack("{s:b, s:o}", "ok", wrong == 0, "endpoints", list));
    } else {
        for (unsigned i = 0; i < count; i++)
            print_report(&reports[i]);
        printf("config-test: %u endpoints, %u wrong\n", count, wrong);
    }
    return wrong == 0 ? EXIT_DONE : EXIT_FAILED;
}
