#include <stddef.h>

#include "counters.h"

static const struct {
    const char *name, *help;
} rows[COUNTER_COUNT] = {
#define COUNTER_ROW(name, help) [COUNTER_##name] = {#name, help},
    COUNTER_LIST(COUNTER_ROW)
#undef COUNTER_ROW
};

const char *counter_name(enum counter which)
{
    return (unsigned)which < COUNTER_COUNT ? rows[which].name : NULL;
}

const char *counter_help(enum counter which)
{
    return (unsigned)which < COUNTER_COUNT ? rows[which].help : NULL;
}
