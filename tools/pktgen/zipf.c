#include "zipf.h"

#include <math.h>

/* log(1 + x) / x and (exp(x) - 1) / x, also where x is so small that the quotient would be 0 / 0. */
static double log1p_over(double x)
{
    return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2;
}

static double expm1_over(double x)
{
    return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2;
}

/* The hat function x^-s, its integral from 1, and that one's inverse. */
static double hat(const struct zipf *zipf, double x)
{
    return exp(-zipf->exponent * log(x));
}

static double area(const struct zipf *zipf, double x)
{
    double l = log(x);
    return expm1_over((1 - zipf->exponent) * l) * l;
}

static double area_inverse(const struct zipf *zipf, double a)
{
    double t = a * (1 - zipf->exponent);
    if (t < -1) /* rounding beyond the pole */
        t = -1;
    return exp(log1p_over(t) * a);
}

void zipf_init(struct zipf *zipf, uint64_t n, double exponent)
{
    zipf->n = (double)n;
    zipf->exponent = exponent;
    zipf->area_least = area(zipf, 1.5) - 1;
    zipf->area_most = area(zipf, zipf->n + 0.5);
    zipf->sure = 2 - area_inverse(zipf, area(zipf, 2.5) - hat(zipf, 2));
}

uint64_t zipf_rank(const struct zipf *zipf, uint64_t (*next)(uint64_t *state), uint64_t *state)
{
    for (;;) {
        double uniform = (double)(next(state) >> 11) * 0x1p-53;
        double a = zipf->area_most + uniform * (zipf->area_least - zipf->area_most);
        double x = area_inverse(zipf, a);
        double rank = floor(x + 0.5);
        if (rank < 1)
            rank = 1;
        else if (rank > zipf->n)
            rank = zipf->n;
        if (rank - x <= zipf->sure || a >= area(zipf, rank + 0.5) - hat(zipf, rank))
            return (uint64_t)rank;
    }
}
