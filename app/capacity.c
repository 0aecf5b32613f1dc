#include "capacity.h"

#include <errno.h>
#include <stdio.h>

#include "l3.h"
#include "table.h"

enum { HUGE_PAGE_BYTES = 2 << 20 }; /* as the table takes them, region.h */

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

/* What of a table's memory hugepages hold: a piece that is too large for those that are free lies elsewhere. */
static uint64_t in_huge_pages(const struct table_memory *memory, uint64_t pages)
{
    const uint64_t bytes[] = {memory->bucket_bytes, memory->line_bytes}; /* in the order they are taken */
    uint64_t held = 0;

    for (unsigned i = 0; i < 2; i++) {
        uint64_t needed = (bytes[i] + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES;
        if (needed > pages)
            continue;
        pages -= needed;
        held += bytes[i];
    }
    return held;
}

int capacity_check(uint64_t capacity, unsigned workers, bool huge_pages, const char *meminfo, char *error,
                   size_t error_bytes)
{
    unsigned long long value, available = UINT64_MAX, pages_free = 0, pages_promised = 0, page_bytes = 0;
    FILE *file = fopen(meminfo, "re");
    char line[128];

    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "MemAvailable: %llu kB", &value) == 1)
            available = value * 1024;
        else if (sscanf(line, "HugePages_Free: %llu", &value) == 1)
            pages_free = value;
        else if (sscanf(line, "HugePages_Rsvd: %llu", &value) == 1)
            pages_promised = value;
        else if (sscanf(line, "Hugepagesize: %llu kB", &value) == 1)
            page_bytes = value * 1024;
    fclose(file);
    if (available == UINT64_MAX)
        return 0;
    struct table_memory memory = table_memory(capacity, workers);
    uint64_t needed = memory.bucket_bytes + memory.line_bytes;
    if (huge_pages && page_bytes == HUGE_PAGE_BYTES && pages_free > pages_promised)
        needed -= in_huge_pages(&memory, pages_free - pages_promised);
    if (needed <= available)
        return 0;
    snprintf(error, error_bytes,
             "no memory for a table of %llu items: it takes %llu MiB besides free hugepages, %llu MiB are"
             " available; lower --capacity",
             (unsigned long long)capacity, (unsigned long long)(needed + (1 << 20) - 1) >> 20,
             available >> 20);
    return -1;
}
