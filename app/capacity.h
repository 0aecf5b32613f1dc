/*
 * capacity.h - how many items the table holds when the operator does not say: what fits 75 % of the L3 that
 * the workers' CPUs share.
 */
#ifndef WILD_CAPACITY_H
#define WILD_CAPACITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"
#include "table.h"

enum { CAPACITY_L3_PERCENT = 75 };

/*
 * wanted: --capacity, 0 = choose. sysfs_root: "/sys". cpus: those of the workers. Warns when the capacity
 * goes beyond the L3, and when the L3 cannot be read.
 */
uint64_t capacity_choose(uint64_t wanted, const char *sysfs_root, const unsigned *cpus, unsigned count,
                         const struct logger *logger);

/* The start-up line: bytes that look-ups touch, lines, L3 size, share. */
void capacity_log(const struct table_info *info, const char *sysfs_root, const unsigned *cpus, unsigned count,
                  const struct logger *logger);

/*
 * Whether the machine has memory for such a table, in hugepages where `huge_pages` allows them and enough are
 * free: 0, or -1 with one line in `error`. The kernel promises more than it has, and kills a process that takes
 * it at its word. `meminfo` is a file like /proc/meminfo; without it nothing is known, and 0.
 */
int capacity_check(uint64_t capacity, unsigned workers, bool huge_pages, const char *meminfo, char *error,
                   size_t error_bytes);

#endif
