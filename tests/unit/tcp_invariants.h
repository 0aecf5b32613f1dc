/*
 * tcp_invariants.h - what holds for every connection between two calls of the core (tcp_connection.h), and
 * for the sums that the whole keeps.
 */
#ifndef WILD_TEST_TCP_INVARIANTS_H
#define WILD_TEST_TCP_INVARIANTS_H

#include "tcp/tcp_internal.h"

/* NULL, or what is broken. */
const char *tcp_invariants_broken(const struct tcp *tcp);

#endif
