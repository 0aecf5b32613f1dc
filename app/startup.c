#include "startup.h"

#include <stdio.h>

int startup_run(const struct startup_step *steps, unsigned count, void *subject, unsigned *done, char *error,
                size_t error_bytes)
{
    *done = 0;
    error[0] = '\0';
    while (*done < count) {
        if (steps[*done].init(subject, error, error_bytes) != 0) {
            if (error[0] == '\0')
                snprintf(error, error_bytes, "%s: not enough memory", steps[*done].name);
            startup_undo(steps, subject, done);
            return -1;
        }
        (*done)++;
    }
    return 0;
}

void startup_undo(const struct startup_step *steps, void *subject, unsigned *done)
{
    while (*done > 0) {
        (*done)--;
        if (steps[*done].fini != NULL)
            steps[*done].fini(subject);
    }
}
