/*
 * counters.h - every event worth counting on a worker, once: the row gives the name, the kind and the help
 * that /stats, /metrics, telemetry and wildctl show. One writer (the worker), relaxed readers.
 */
#ifndef WILD_COUNTERS_H
#define WILD_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* X(name, help) */
#define COUNTER_LIST(X)                                                                                      \
    X(rx_frames, "frames received")                                                                          \
    X(tx_frames, "frames sent")

enum counter {
#define COUNTER_ENUM(name, help) COUNTER_##name,
    COUNTER_LIST(COUNTER_ENUM)
#undef COUNTER_ENUM
        COUNTER_COUNT
};

struct counters {
    _Alignas(64) _Atomic uint64_t value[COUNTER_COUNT];
};

static inline void counter_add(struct counters *counters, enum counter which, uint64_t n)
{
    /* one writer: a plain add, no locked instruction */
    uint64_t v = atomic_load_explicit(&counters->value[which], memory_order_relaxed);
    atomic_store_explicit(&counters->value[which], v + n, memory_order_relaxed);
}

static inline uint64_t counter_get(const struct counters *counters, enum counter which)
{
    return atomic_load_explicit(&counters->value[which], memory_order_relaxed);
}

const char *counter_name(enum counter which);
const char *counter_help(enum counter which);

#endif
