#include "region.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HUGE_PAGE_BYTES = 2 << 20, PAGE_BYTES = 4096 };

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/* Preferred, not bound: memory from the wrong node is slow, no memory at all is worse. */
static void prefer_node(void *start, size_t bytes, int node)
{
    if (node < 0 || node >= 8 * (int)sizeof(unsigned long))
        return;
    unsigned long mask = 1UL << node;
    (void)syscall(SYS_mbind, start, bytes, MPOL_PREFERRED, &mask, 8 * sizeof mask, 0);
}

/* Places the usable part inside the reserved range. */
static void *place(unsigned char *at, size_t bytes, bool huge)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (huge ? MAP_HUGETLB : 0);
    void *got = mmap(at, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    return got == MAP_FAILED ? NULL : got;
}

int region_create(struct region *out, const struct region_config *config)
{
    memset(out, 0, sizeof *out);
    size_t bytes = round_up(config->bytes, HUGE_PAGE_BYTES);
    size_t tail = round_up(config->tail_bytes, PAGE_BYTES);
    /* Reserve the whole range first (no memory yet), one huge page longer to be able to align the start. */
    size_t mapped = bytes + tail + HUGE_PAGE_BYTES;
    unsigned char *base = mmap(NULL, mapped, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return -ENOMEM;
    unsigned char *start = (unsigned char *)round_up((uintptr_t)base, HUGE_PAGE_BYTES);

    bool huge = config->huge_pages && place(start, bytes, true) != NULL;
    if (!huge) {
        if (!config->huge_pages)
            bytes = round_up(config->bytes, PAGE_BYTES);
        /* A failed MAP_FIXED may have removed the reservation; nothing else can have taken it meanwhile only
         * because regions are made at start-up, by one thread. */
        if (place(start, bytes, false) == NULL) {
            munmap(base, mapped);
            return -ENOMEM;
        }
        if (config->huge_pages)
            (void)madvise(start, bytes, MADV_HUGEPAGE);
    }
    prefer_node(start, bytes, config->numa_node);
    for (size_t i = 0; i < bytes; i += PAGE_BYTES)
        ((volatile unsigned char *)start)[i] = 0;

    /* Trim what alignment left over, so that the range is exactly [start, start + bytes + tail). */
    if (start > base)
        munmap(base, (size_t)(start - base));
    unsigned char *end = start + bytes + tail;
    if (base + mapped > end)
        munmap(end, (size_t)(base + mapped - end));
    *out = (struct region){
        .start = start, .bytes = bytes, .tail_bytes = tail, .mapped_bytes = bytes + tail, .huge_pages = huge};
    return 0;
}

void region_destroy(struct region *region)
{
    if (region->start)
        munmap(region->start, region->mapped_bytes);
    memset(region, 0, sizeof *region);
}

int region_open_tail(struct region *region)
{
    if (region->tail_bytes == 0)
        return 0;
    int flags = PROT_READ | PROT_WRITE;
    return mprotect(region->start + region->bytes, region->tail_bytes, flags) == 0 ? 0 : -ENOMEM;
}

void region_close_tail(struct region *region)
{
    if (region->tail_bytes == 0)
        return;
    (void)madvise(region->start + region->bytes, region->tail_bytes, MADV_DONTNEED);
    (void)mprotect(region->start + region->bytes, region->tail_bytes, PROT_READ);
}
