/*
 * region.h - anonymous memory for the table and the rings: huge pages where there are some, on one NUMA node,
 * touched at creation so that no request ever pays for a page fault.
 *
 * A region may have a tail: address space behind it that reads as zeroes and takes no memory until
 * region_open_tail(), so that an array can grow in place (recovery, see apply.h) and keep its numbering. It
 * is readable at all times: a lock-free reader may follow a stale number there.
 */
#ifndef WILD_REGION_H
#define WILD_REGION_H

#include <stdbool.h>
#include <stddef.h>

struct region {
    unsigned char *start;
    size_t bytes;      /* usable from the start: zeroed, resident */
    size_t tail_bytes; /* behind them: read-only zeroes until opened */
    size_t mapped_bytes;
    bool huge_pages; /* explicit ones; false also where the kernel may merge ordinary pages by itself */
};

struct region_config {
    size_t bytes, tail_bytes;
    int numa_node; /* -1: wherever */
    bool huge_pages;
};

/* 0 or -ENOMEM. bytes and tail_bytes are rounded up to whole pages. */
int region_create(struct region *out, const struct region_config *config);
void region_destroy(struct region *region); /* a zeroed region is fine */

int region_open_tail(struct region *region);   /* the tail becomes writable: 0 or -ENOMEM */
void region_close_tail(struct region *region); /* its memory is given back; it reads as zeroes again */

#endif
