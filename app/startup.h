/*
 * startup.h - an ordered table of things to start; stopping is its reverse.
 */
#ifndef WILD_STARTUP_H
#define WILD_STARTUP_H

#include <stddef.h>

struct startup_step {
    const char *name;
    /* 0, or -1 with one line in `error` (a step that leaves it empty is named in the line). A step that fails
     * leaves nothing behind. */
    int (*init)(void *subject, char *error, size_t error_bytes);
    void (*fini)(void *subject); /* NULL: nothing to undo */
};

/*
 * Runs the inits in order; *done counts those that succeeded. On failure undoes them and returns -1 with the
 * line in `error`.
 */
int startup_run(const struct startup_step *steps, unsigned count, void *subject, unsigned *done, char *error,
                size_t error_bytes);
void startup_undo(const struct startup_step *steps, void *subject, unsigned *done);

#endif
