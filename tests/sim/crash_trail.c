#include "crash_trail.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const crash_names[] = {[SIM_CRASH_KILL] = "kill",
                                          [SIM_CRASH_NOTHING] = "nothing",
                                          [SIM_CRASH_PREFIX] = "prefix",
                                          [SIM_CRASH_SUBSET] = "subset",
                                          [SIM_CRASH_TORN] = "torn"};
static_assert(sizeof crash_names / sizeof crash_names[0] == SIM_CRASHES, "each has a name");

const char *trail_crash_name(enum sim_crash kind)
{
    return crash_names[kind];
}

void trail_fail(const struct trail *trail, const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, "%s: ", trail->program);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nagain: %s --seed %" PRIu64, trail->program, trail->seed);
    for (unsigned i = 0; i < trail->depth; i++) {
        fputs(i == 0 ? " --replay " : ",", stderr);
        if (trail->crash[i].boundary == TRAIL_END)
            fputs("end", stderr);
        else
            fprintf(stderr, "%" PRIu64, trail->crash[i].boundary);
        fprintf(stderr, ":%s", crash_names[trail->crash[i].kind]);
    }
    fputs("\n", stderr);
    exit(1);
}

void crash_must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "crash simulation: %s\n", what);
    abort();
}

void *crash_memory(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes != 0 ? bytes : 1);

    crash_must(memory != NULL, "no memory");
    return memory;
}

static int parse_crash(struct trail_crash *out, const char *text, size_t length)
{
    char *end;

    if (strncmp(text, "end:", 4) == 0) {
        out->boundary = TRAIL_END;
        end = (char *)text + 3;
    } else {
        out->boundary = strtoull(text, &end, 10);
    }
    if (end == text || *end != ':')
        return -1;
    end++;
    for (unsigned kind = 0; kind < SIM_CRASHES; kind++) {
        size_t name = strlen(crash_names[kind]);
        if (end + name == text + length && strncmp(end, crash_names[kind], name) == 0) {
            out->kind = (enum sim_crash)kind;
            return 0;
        }
    }
    return -1;
}

int trail_parse(struct trail *out, const char *text)
{
    for (out->depth = 0; out->depth < TRAIL_DEPTH_MAX;) {
        size_t length = strcspn(text, ",");
        if (parse_crash(&out->crash[out->depth++], text, length) != 0)
            return -1;
        if (text[length] == '\0')
            return 0;
        text += length + 1;
    }
    return -1;
}
