/*
 * node_meta.h - what a node's folder says of itself (meta.h), as the control lcore minds it: a copy that is changed
 * here, and made durable by the housekeeper when it gets to it. Owner: the control lcore; nothing waits.
 *
 * A change that could not be written is tried again: a disk that is full may have room by then, and what depends on the
 * change waits. While a log is adopted the folder's meta is the adoption's to write: changes wait till it is over.
 */
#ifndef WILD_NODE_META_H
#define WILD_NODE_META_H

#include <stdbool.h>

#include "housekeeper.h"
#include "meta.h"

struct node_meta {
    struct meta now;          /* as it is to be; durable if node_meta_durable() */
    bool changed;             /* since it was last asked for */
    bool asked;               /* the housekeeper has it */
    uint64_t written, failed; /* metas, as last looked at */
    uint64_t retry_ns;
    int error; /* -errno of the last try; 0: it went well */
};

/* found: what the folder held, durable. */
void node_meta_start(struct node_meta *meta, const struct meta *found);
/* `now` was changed. */
void node_meta_changed(struct node_meta *meta);
/* What is `now` is on stable storage. */
bool node_meta_durable(const struct node_meta *meta);
/* Things done: 0 means idle. adopting: not now. */
unsigned node_meta_turn(struct node_meta *meta, struct housekeeper *housekeeper, bool adopting,
                        uint64_t mono_ns);

#endif
