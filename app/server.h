/*
 * server.h - a node on this machine: the EAL, buffers, ports, clock and threads around node.h.
 */
#ifndef WILD_SERVER_H
#define WILD_SERVER_H

#include <stddef.h>

#include "options.h"

/* Room for what server_run() says at most: a damaged log is told with what to do about it. */
enum { SERVER_ERROR_BYTES = 640 };

/*
 * Starts, prints the `ready` line to `out`, serves until `signals` (a signalfd) is readable, stops. 0, or -1
 * with one line in `error`. Wipes the secrets of `options`.
 */
int server_run(struct options *options, int signals, FILE *out, char *error, size_t error_bytes);

#endif
