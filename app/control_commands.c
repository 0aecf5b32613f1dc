/*
 * control_commands.c - one row a command. Each runs on one of the socket's threads.
 */
#include "control_commands.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node_order.h"
#include "status_json.h"

/* What a promotion may take, with time-outs of its own, and some. */
enum { ORDER_MS = 10000 };
static_assert((int)CONTROL_ERROR_BYTES >= (int)NODE_ORDER_TEXT_BYTES, "why an order was not done");

struct asked {
    struct node *node;
    json_t *request; /* borrowed */
    char *error;     /* CONTROL_ERROR_BYTES */
};

static json_t *no(const struct asked *asked, const char *why)
{
    snprintf(asked->error, CONTROL_ERROR_BYTES, "%s", why);
    return NULL;
}

/* ---- what the node is ---- */

static json_t *with_status(const struct asked *asked, json_t *(*shape)(const struct node_status *))
{
    /* It holds every replica: more than a thread's stack should. */
    struct node_status *status = malloc(sizeof *status);
    json_t *shaped = NULL;

    if (status == NULL || !node_status_take(asked->node, status))
        no(asked, "the node has only begun to start: ask again");
    else if ((shaped = shape(status)) == NULL)
        no(asked, "not enough memory for an answer");
    free(status);
    return shaped;
}

static json_t *status_command(const struct asked *asked)
{
    return with_status(asked, status_json);
}

static json_t *replicas_command(const struct asked *asked)
{
    return with_status(asked, replicas_json);
}

static json_t *members_command(const struct asked *asked)
{
    return with_status(asked, members_json);
}

/* ---- what a shell would say by a signal ---- */

static json_t *log_json(const struct node_status *status)
{
    return json_boolean(status->log);
}

static json_t *by_signal(const struct asked *asked, int number, const char *what)
{
    return kill(getpid(), number) == 0 ? json_pack("{s:s}", "asked", what)
                                       : no(asked, "the node cannot be told");
}

static json_t *snapshot_command(const struct asked *asked)
{
    json_t *log = with_status(asked, log_json);
    bool there = json_is_true(log);

    if (log != NULL && !there)
        no(asked, "no snapshot without a log (--enable-wal)");
    json_decref(log);
    return there ? by_signal(asked, SIGUSR1, "snapshot") : NULL;
}

static json_t *drain_command(const struct asked *asked)
{
    return by_signal(asked, SIGTERM, "drain");
}

/* ---- orders ---- */

static json_t *give(const struct asked *asked, const struct node_order *order)
{
    struct node_order_answer answer;

    switch (node_order_give(asked->node, order, ORDER_MS, &answer)) {
    case 0:
        return answer.ok ? json_pack("{s:s}", "done", answer.text) : no(asked, answer.text);
    case -EBUSY:
        return no(asked, "another order is under way: `wildctl status` tells how it goes");
    case -ESHUTDOWN:
        return no(asked, "the node is stopping");
    default:
        return no(asked, "it is not done after 10 s, and goes on: `wildctl status` tells how it ends");
    }
}

/* Whether the request has what `format` says, and nothing else: more would be what this version does not know. */
#define UNPACKED(asked, format, ...)                                                                         \
    (json_unpack((asked)->request, "{s:s, " format "!}", "command", &(const char *){NULL}, __VA_ARGS__) == 0)
static const char no_such_request[] =
    "the request is not as this version has it: is wildctl of the same version?";

/* A text of the request into an order's field of `room` bytes: printable, not empty. */
static bool taken(char *out, size_t room, const char *text)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] == 127)
            return false;
    if (length == 0 || length >= room)
        return false;
    memcpy(out, text, length + 1);
    return true;
}

static json_t *promote_command(const struct asked *asked)
{
    struct node_order order = {.kind = NODE_ORDER_PROMOTE};
    const char *wal_path = NULL;
    int force = 0;

    if (!UNPACKED(asked, "s?b, s?s", "force", &force, "wal_path", &wal_path))
        return no(asked, no_such_request);
    if (wal_path != NULL && !taken(order.wal_path, sizeof order.wal_path, wal_path))
        return no(asked, "--wal-path takes a folder's name of at most 511 printable bytes");
    order.force = force != 0;
    return give(asked, &order);
}

static json_t *with_node(const struct asked *asked, enum node_order_kind kind, const char *node)
{
    struct node_order order = {.kind = kind};

    if (!taken(order.node, sizeof order.node, node))
        return no(asked, "a node is called by its name, or by its node id in hex");
    return give(asked, &order);
}

static json_t *demote_command(const struct asked *asked)
{
    const char *to;

    return UNPACKED(asked, "s:s", "to", &to) ? with_node(asked, NODE_ORDER_DEMOTE, to)
                                             : no(asked, no_such_request);
}

static json_t *members_remove_command(const struct asked *asked)
{
    const char *node;

    return UNPACKED(asked, "s:s", "node", &node) ? with_node(asked, NODE_ORDER_REMOVE_MEMBER, node)
                                                 : no(asked, no_such_request);
}

static json_t *follow_command(const struct asked *asked)
{
    struct node_order order = {.kind = NODE_ORDER_FOLLOW};
    const char *host;
    json_int_t port;

    if (!UNPACKED(asked, "s:s, s:I", "host", &host, "port", &port))
        return no(asked, no_such_request);
    if (!name_lookup_is_name(host) || port < 1 || port > UINT16_MAX)
        return no(
            asked,
            "another primary is named by HOST:PORT: a name or an IPv4 address, and a port from 1 to 65535");
    snprintf(order.host, sizeof order.host, "%s", host);
    order.port = (uint16_t)port;
    /* Here, where one may wait for memory and a thread: the control lcore may not. */
    order.lookup = name_lookup_create(host, asked->error, CONTROL_ERROR_BYTES);
    return order.lookup != NULL ? give(asked, &order) : NULL;
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    json_t *(*run)(const struct asked *asked);
} commands[] = {
    {"status", status_command},
    {"replicas", replicas_command},
    {"members", members_command},
    {"snapshot", snapshot_command},
    {"drain", drain_command},
    {"promote", promote_command},
    {"demote", demote_command},
    {"follow", follow_command},
    {"members_remove", members_remove_command},
};

static json_t *answer(void *state, const char *command, const json_t *request,
                      char error[CONTROL_ERROR_BYTES])
{
    struct asked asked = {state, (json_t *)(uintptr_t)request, error}; /* jansson unpacks no const */

    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, command) == 0)
            return commands[i].run(&asked);
    snprintf(error, CONTROL_ERROR_BYTES, "this node knows no \"%.40s\": is wildctl of the same version?",
             command);
    return NULL;
}

struct control_answers control_commands(struct node *node)
{
    return (struct control_answers){node, answer};
}
