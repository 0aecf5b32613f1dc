/*
 * l3.h - how large the L3 cache is that a set of CPUs shares.
 */
#ifndef WILD_L3_H
#define WILD_L3_H

#include <stdint.h>

/*
 * sysfs_root: "/sys", or a tree that looks like it. Each CPU caches in its own L3 domain, and every domain
 * that works on the table comes to hold all of it: so the answer is the smallest L3 among those of `cpus`.
 * Returns 0; -ENOENT if one of them has no L3 or sysfs does not say; -EINVAL without CPUs.
 */
int l3_bytes(const char *sysfs_root, const unsigned *cpus, unsigned count, uint64_t *out);

#endif
