/*
 * control_commands.h - what a running node answers on its control socket: `wildctl -s SOCKET ...`.
 */
#ifndef WILD_CONTROL_COMMANDS_H
#define WILD_CONTROL_COMMANDS_H

#include "control_socket.h"

struct node;

/* node: borrowed; outlives the socket. snapshot and drain ask by the signals that a shell would send (main.c). */
struct control_answers control_commands(struct node *node);

#endif
