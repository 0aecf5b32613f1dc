/*
 * replication_counters.h - events of replication worth counting, once: the row gives the name and the help that pages and
 * wildctl show. Writer: the control lcore; readers: any thread, relaxed.
 */
#ifndef WILD_REPLICATION_COUNTERS_H
#define WILD_REPLICATION_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#define REPLICATION_COUNTER_LIST(X)                                                                          \
    X(sessions, "replication sessions opened: shaken hands and welcomed")                                    \
    X(crowded, "replication connections turned away: all places are taken")                                  \
    X(bad_key, "replication connections ended: garbage, or another secret")                                  \
    X(silent, "replication connections ended: no handshake or HELLO in time")                                \
    X(hurried, "replication handshakes put off by aborting: too many at once")                               \
    X(not_in_order, "replication sessions ended: a record or message that is not valid")                     \
    X(refused, "replicas turned away with a reason")                                                         \
    X(timed_out, "replication sessions ended: nothing was heard in time")                                    \
    X(cut, "replication sessions that ended without a word")                                                 \
    X(replaced, "replication sessions ended: the same node came again")                                      \
    X(too_slow, "replication sessions ended: the memory tail went past what was being sent")                 \
    X(tail_batches, "blocks of the log sent from memory")                                                    \
    X(feeds, "catch-ups begun from disk")                                                                    \
    X(feed_ended, "catch-ups ended: what comes next cannot be read from disk")                               \
    X(bootstraps, "snapshots sent, or on a replica loaded")                                                  \
    X(sent_bytes, "bytes of messages sent to replicas")                                                      \
    X(applied_blocks, "blocks of the primary's log applied")                                                 \
    X(applied_records, "records of the primary's log applied")                                               \
    X(connects, "connections to the primary begun")                                                          \
    X(calls, "asked what this node has and has promised, or for a promise: a promotion")                     \
    X(gaps, "blocks that did not continue what was applied: the session began anew")                         \
    X(log_waits, "times that a replica took no input until its own log had room")                            \
    X(promotions_won, "promotions that this node asked for: it may lead")                                    \
    X(promotions_lost, "promotions that this node asked for: it may not lead")

enum replication_counter {
#define REPLICATION_COUNTER_ENUM(name, help) REPLICATION_##name,
    REPLICATION_COUNTER_LIST(REPLICATION_COUNTER_ENUM)
#undef REPLICATION_COUNTER_ENUM
        REPLICATION_COUNTERS
};

struct replication_counters {
    _Atomic uint64_t value[REPLICATION_COUNTERS];
};

static inline void replication_count(struct replication_counters *counters, enum replication_counter which,
                                     uint64_t more)
{
    /* one writer: no locked instruction */
    uint64_t value = atomic_load_explicit(&counters->value[which], memory_order_relaxed);
    atomic_store_explicit(&counters->value[which], value + more, memory_order_relaxed);
}

static inline uint64_t replication_counted(const struct replication_counters *counters,
                                           enum replication_counter which)
{
    return atomic_load_explicit(&counters->value[which], memory_order_relaxed);
}

#endif
