/* vectors.h - the protocol's fixed test vectors (vectors.txt), computed by this build. */
#ifndef WILD_TESTS_VECTORS_H
#define WILD_TESTS_VECTORS_H

#include <stdio.h>

/*
 * Writes every vector. Those whose names begin with "aes." need a CPU with AES: without one they are left
 * out.
 */
void vectors_write(FILE *out);

#endif
