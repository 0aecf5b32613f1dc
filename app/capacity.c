#include "capacity.h"

#include <errno.h>
#include <stdio.h>

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

int capacity_check(uint64_t capacity, const char *meminfo, char *error, size_t error_bytes)
{
    unsigned long long value, available_kib = UINT64_MAX, huge_pages = 0, huge_page_kib = 0;
    FILE *file = fopen(meminfo, "re");
    char line[128];

    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "MemAvailable: %llu kB", &value) == 1)
            available_kib = value;
        else if (sscanf(line, "HugePages_Free: %llu", &value) == 1)
            huge_pages = value;
        else if (sscanf(line, "Hugepagesize: %llu kB", &value) == 1)
            huge_page_kib = value;
    fclose(file);
    if (available_kib == UINT64_MAX)
        return 0;
    available_kib += huge_pages * huge_page_kib;
    if (capacity <= table_capacity_for(available_kib * 1024))
        return 0;
    snprintf(error, error_bytes,
             "no memory for a table of %llu items: %llu MiB are available; lower --capacity",
             (unsigned long long)capacity, available_kib / 1024);
    return -1;
}
