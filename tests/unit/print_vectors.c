/* print_vectors.c - writes vectors.txt to standard output: build/tests/unit/print_vectors > tests/unit/vectors.txt */
#include "keys.h"
#include "vectors.h"

int main(void)
{
    if (keys_start() != 0)
        return 1;
    vectors_write(stdout);
    return 0;
}
