/*
 * eal_log.h - where DPDK's words go: to the logger at debug level, and the first complaint into the line that
 * says why a start failed. Its later ones are mostly consequences of the first.
 */
#ifndef WILD_EAL_LOG_H
#define WILD_EAL_LOG_H

#include "log.h"

struct eal_log;

/* Takes DPDK's log from now on; NULL: no memory. */
struct eal_log *eal_log_open(const struct logger *logger);
void eal_log_close(struct eal_log *log);

/*
 * What the EAL and getopt print past the log, between these two: usage texts for stdout vanish, lines for stderr
 * are complaints. `stdout` and `stderr` are other streams meanwhile; a logger that holds the real one is not
 * touched.
 */
void eal_log_capture(struct eal_log *log);
void eal_log_release(struct eal_log *log);

/* The first complaint since it was opened; "" if there was none. */
const char *eal_log_complaint(const struct eal_log *log);

#endif
