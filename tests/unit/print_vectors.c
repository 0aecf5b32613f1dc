/* print_vectors.c - makes vectors.txt: build/tests/unit/print_vectors > tests/unit/vectors.txt */
#include "keys.h"
#include "vectors.h"

int main(void)
{
    if (keys_start() != 0)
        return 1;
    vectors_write(stdout);
    return 0;
}
