/*
 * control_socket.h - where operators ask a running node: a socket of the file system's (--control-socket PATH),
 * served by threads of its own, so that nothing an operator does holds up an lcore. They are a few, so that an
 * order that takes its time (one at a time: node_order.h) does not keep others from asking how it goes.
 *
 * One request a connection, one answer, each a JSON object on a line; `wildctl -s PATH` speaks it:
 *   {"command": "status"}   ->  {"ok": true, "answer": ...}   or   {"ok": false, "error": "one line"}
 *
 * Who may: the socket's mode is 0600, and the peer must be root or the user that the node runs as (SO_PEERCRED).
 * A peer that says nothing, or takes nothing, is left after CONTROL_SOCKET_MS; requests above
 * CONTROL_REQUEST_BYTES are refused.
 */
#ifndef WILD_CONTROL_SOCKET_H
#define WILD_CONTROL_SOCKET_H

#include <jansson.h>
#include <stddef.h>

enum {
    CONTROL_SOCKET_MS = 1000,
    CONTROL_REQUEST_BYTES = 4096,
    CONTROL_ERROR_BYTES = 512,
    CONTROL_THREADS = 4
};

struct control_socket;

struct control_answers {
    void *state;
    /* On any of the socket's threads, several at once: a new reference, or NULL with one line in `error`. */
    json_t *(*answer)(void *state, const char *command, const json_t *request,
                      char error[CONTROL_ERROR_BYTES]);
};

/*
 * 0 and *out, or -1 with one line in `error`. A socket that a dead process left is replaced, one that answers is not, nor is
 * a file of another kind.
 */
int control_socket_open(struct control_socket **out, const char *path, const struct control_answers *answers,
                        char *error, size_t error_bytes);
/* Removes the socket when what is being answered has been, and ends the threads. NULL is fine. */
void control_socket_close(struct control_socket *socket);

#endif
