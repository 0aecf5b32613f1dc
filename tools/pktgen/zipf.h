/*
 * zipf.h - ranks 1..n, rank k with a probability proportional to 1 / k^s, in constant time and memory
 * (rejection-inversion: W. Hoermann, G. Derflinger, "Rejection-inversion to generate variates from monotone
 * discrete distributions", 1996).
 */
#ifndef WILD_ZIPF_H
#define WILD_ZIPF_H

#include <stdint.h>

struct zipf {
    double n, exponent;
    double area_least, area_most; /* of the hat, from rank 1 (its part below 1.5 cut to 1) to rank n */
    double sure;                  /* a candidate this close above its point needs no test */
};

void zipf_init(struct zipf *zipf, uint64_t n, double exponent); /* n >= 1, exponent > 0 */
/* `next` yields uniform 64-bit words. */
uint64_t zipf_rank(const struct zipf *zipf, uint64_t (*next)(uint64_t *state), uint64_t *state);

#endif
