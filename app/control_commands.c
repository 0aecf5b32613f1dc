/*
 * control_commands.c - one row a command. Each runs on the socket's thread.
 */
#include "control_commands.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "status_json.h"

static json_t *with_status(struct node *node, json_t *(*shape)(const struct node_status *),
                           char error[CONTROL_ERROR_BYTES])
{
    /* It holds every replica: more than a thread's stack should. */
    struct node_status *status = malloc(sizeof *status);
    json_t *shaped = NULL;

    if (status == NULL || !node_status_take(node, status))
        snprintf(error, CONTROL_ERROR_BYTES, "the node has only begun to start: ask again");
    else if ((shaped = shape(status)) == NULL)
        snprintf(error, CONTROL_ERROR_BYTES, "not enough memory for an answer");
    free(status);
    return shaped;
}

static json_t *status_command(struct node *node, char error[CONTROL_ERROR_BYTES])
{
    return with_status(node, status_json, error);
}

static json_t *replicas_command(struct node *node, char error[CONTROL_ERROR_BYTES])
{
    return with_status(node, replicas_json, error);
}

static json_t *log_json(const struct node_status *status)
{
    return json_boolean(status->log);
}

static json_t *by_signal(int number, const char *what, char error[CONTROL_ERROR_BYTES])
{
    if (kill(getpid(), number) == 0)
        return json_pack("{s:s}", "asked", what);
    snprintf(error, CONTROL_ERROR_BYTES, "the node cannot be told");
    return NULL;
}

static json_t *snapshot_command(struct node *node, char error[CONTROL_ERROR_BYTES])
{
    json_t *log = with_status(node, log_json, error);
    bool there = json_is_true(log);

    if (log != NULL && !there)
        snprintf(error, CONTROL_ERROR_BYTES, "no snapshot without a log (--enable-wal)");
    json_decref(log);
    return there ? by_signal(SIGUSR1, "snapshot", error) : NULL;
}

static json_t *drain_command(struct node *node, char error[CONTROL_ERROR_BYTES])
{
    (void)node;
    return by_signal(SIGTERM, "drain", error);
}

static const struct {
    const char *name;
    json_t *(*run)(struct node *node, char error[CONTROL_ERROR_BYTES]);
} commands[] = {{"status", status_command},
                {"replicas", replicas_command},
                {"snapshot", snapshot_command},
                {"drain", drain_command}};

static json_t *answer(void *state, const char *command, const json_t *request,
                      char error[CONTROL_ERROR_BYTES])
{
    (void)request;
    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, command) == 0)
            return commands[i].run(state, error);
    snprintf(error, CONTROL_ERROR_BYTES, "this node knows no \"%.40s\": is wildctl of the same version?",
             command);
    return NULL;
}

struct control_answers control_commands(struct node *node)
{
    return (struct control_answers){node, answer};
}
