/* key_arena.c - the one region that holds keys: locked, not in core dumps, wiped at the end. */
#include "keys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PIECE_ALIGNMENT_BYTES = 64 };

struct key_arena {
    uint8_t *start;
    size_t bytes, taken;
};

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static void explain_lock(size_t bytes, int reason, char *error, size_t error_bytes)
{
    struct rlimit limit;
    uint64_t wanted_kib = bytes / 1024;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        snprintf(error, error_bytes,
                 "cannot lock %" PRIu64 " KiB of memory for keys: the limit is %" PRIu64
                 " KiB; raise it (ulimit -l, LimitMEMLOCK= in a systemd unit)",
                 wanted_kib, (uint64_t)limit.rlim_cur / 1024);
    else
        snprintf(error, error_bytes, "cannot lock %" PRIu64 " KiB of memory for keys: %s", wanted_kib,
                 strerror(reason));
}

struct key_arena *key_arena_create(size_t bytes, char *error, size_t error_bytes)
{
    bytes = round_up(bytes, (size_t)sysconf(_SC_PAGESIZE));
    struct key_arena *arena = malloc(sizeof *arena);
    void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (arena == NULL || start == MAP_FAILED) {
        snprintf(error, error_bytes, "no memory for keys (%zu KiB)", bytes / 1024);
        if (start != MAP_FAILED)
            munmap(start, bytes);
        free(arena);
        return NULL;
    }
    /* locks, and keeps it out of core dumps (MADV_DONTDUMP) */
    if (sodium_mlock(start, bytes) != 0) {
        explain_lock(bytes, errno, error, error_bytes);
        munmap(start, bytes);
        free(arena);
        return NULL;
    }
    *arena = (struct key_arena){.start = start, .bytes = bytes};
    return arena;
}

void *key_arena_take(struct key_arena *arena, size_t bytes)
{
    if (bytes > arena->bytes - arena->taken)
        return NULL;
    void *piece = arena->start + arena->taken;
    arena->taken += round_up(bytes, PIECE_ALIGNMENT_BYTES); /* pages are a multiple: never beyond the end */
    return piece;
}

void key_arena_destroy(struct key_arena *arena)
{
    if (arena == NULL)
        return;
    sodium_munlock(arena->start, arena->bytes); /* wipes first */
    munmap(arena->start, arena->bytes);
    free(arena);
}
