/*
 * nic_choose.h - which devices the machine offers when nobody has named one: NICs that the operator has
 * bound to a driver of DPDK's.
 */
#ifndef WILD_NIC_CHOOSE_H
#define WILD_NIC_CHOOSE_H

#include "log.h"
#include "options.h"

/*
 * Gives every port without a name its device, and says in the log what an operator who named none should
 * know: that kernel sockets are slow, and which device waits unused. 0, or -1 with one line in `error`.
 * sysfs_root: "/sys".
 */
int nic_choose(struct options *options, const char *sysfs_root, const struct logger *logger, char *error,
               size_t error_bytes);

#endif
