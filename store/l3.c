#include "l3.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_INDEXES_MAX = 16, ATTRIBUTE_BYTES_MAX = 32 };

/* The first line of a sysfs attribute, without its newline. */
static bool read_attribute(const char *root, unsigned cpu, unsigned index, const char *name,
                           char out[ATTRIBUTE_BYTES_MAX])
{
    char path[PATH_MAX];
    int length =
        snprintf(path, sizeof path, "%s/devices/system/cpu/cpu%u/cache/index%u/%s", root, cpu, index, name);
    if (length < 0 || (size_t)length >= sizeof path)
        return false;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool read = fgets(out, ATTRIBUTE_BYTES_MAX, file) != NULL;
    fclose(file);
    if (read)
        out[strcspn(out, "\n")] = 0;
    return read;
}

/* "32768K", "1M", "4194304": 0 if it is none of these. */
static uint64_t parse_size(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *text == '-')
        return 0;
    unsigned shift = 0;
    if (*end == 'K')
        shift = 10;
    else if (*end == 'M')
        shift = 20;
    else if (*end == 'G')
        shift = 30;
    if (end[shift != 0] != 0 || number > UINT64_MAX >> shift)
        return 0;
    return (uint64_t)number << shift;
}

static uint64_t cpu_l3_bytes(const char *root, unsigned cpu)
{
    char text[ATTRIBUTE_BYTES_MAX];
    for (unsigned index = 0; index < CACHE_INDEXES_MAX; index++) {
        if (!read_attribute(root, cpu, index, "level", text))
            break;
        if (strcmp(text, "3") == 0 && read_attribute(root, cpu, index, "size", text))
            return parse_size(text);
    }
    return 0;
}

int l3_bytes(const char *sysfs_root, const unsigned *cpus, unsigned count, uint64_t *out)
{
    uint64_t smallest = UINT64_MAX;
    if (count == 0)
        return -EINVAL;
    for (unsigned i = 0; i < count; i++) {
        uint64_t bytes = cpu_l3_bytes(sysfs_root, cpus[i]);
        if (bytes == 0)
            return -ENOENT;
        if (bytes < smallest)
            smallest = bytes;
    }
    *out = smallest;
    return 0;
}
