/*
 * tcp_pair_link.h - the link of a pair, for tcp_pair.c.
 */
#ifndef WILD_TEST_TCP_PAIR_LINK_H
#define WILD_TEST_TCP_PAIR_LINK_H

#include "tcp_pair.h"

void pair_link_start(struct pair *pair);
struct tcp_output pair_link_output(struct pair_side *side);
uint64_t pair_link_next_ns(const struct pair *pair); /* the next arrival, or UINT64_MAX */
void pair_link_deliver(struct pair *pair);           /* all that is due */
void pair_link_finish(struct pair *pair);
/* From where `side` is seen: it is the peer. */
struct return_path pair_path(unsigned side);
void pair_trace(struct pair *pair, const void *bytes, size_t length);

#endif
