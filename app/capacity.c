#include "capacity.h"

#include <errno.h>

#include "l3.h"
#include "table.h"

/* Where the L3 cannot be read (some virtual machines): a size that most CPUs have. */
static const uint64_t assumed_l3_bytes = UINT64_C(16) << 20;

uint64_t capacity_choose(uint64_t wanted, const char *sysfs_root, const unsigned *cpus, unsigned count,
                         const struct logger *logger)
{
    uint64_t l3, fits, capacity;

    if (l3_bytes(sysfs_root, cpus, count, &l3) != 0) {
        l3 = assumed_l3_bytes;
        logger_line(logger, LOG_LEVEL_WARNING, "the size of the L3 cannot be read: %llu MiB are assumed",
                    (unsigned long long)(l3 >> 20));
    }
    fits = table_capacity_for(l3 / 100 * CAPACITY_L3_PERCENT);
    capacity = wanted != 0 ? wanted : fits > TABLE_CAPACITY_MIN ? fits : TABLE_CAPACITY_MIN;
    if (capacity > table_capacity_for(l3))
        logger_line(
            logger, LOG_LEVEL_WARNING,
            "--capacity %llu goes beyond the L3 (%llu fit its %llu MiB): look-ups will wait for memory",
            (unsigned long long)capacity, (unsigned long long)table_capacity_for(l3),
            (unsigned long long)(l3 >> 20));
    return capacity;
}

void capacity_log(const struct table_info *info, const char *sysfs_root, const unsigned *cpus, unsigned count,
                  const struct logger *logger)
{
    uint64_t l3;

    if (l3_bytes(sysfs_root, cpus, count, &l3) != 0)
        l3 = assumed_l3_bytes;
    logger_line(logger, LOG_LEVEL_INFO, "table: %llu bytes, %llu lines; L3 %llu bytes, share %llu %%",
                (unsigned long long)info->hot_bytes, (unsigned long long)info->capacity,
                (unsigned long long)l3, (unsigned long long)((info->hot_bytes * 100 + l3 / 2) / l3));
    if (!info->huge_pages)
        logger_line(logger, LOG_LEVEL_WARNING, "the table lies in ordinary pages: slower than in hugepages");
}
