#include "random.h"

#include <sodium.h>

static void fill_from_system(void *state, void *out, size_t bytes)
{
    (void)state;
    randombytes_buf(out, bytes);
}

struct random_source random_system(void)
{
    return (struct random_source){.fill = fill_from_system};
}
