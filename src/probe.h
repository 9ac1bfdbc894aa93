/* What this core can do at best, measured by loops that do nothing else: the yardsticks of the benchmarks. */
#ifndef NNCORE_PROBE_H
#define NNCORE_PROBE_H

#include "vec.h"

enum { CHAINS = 12 }; /* independent, so that latency is hidden; and they fit 16 registers */

/* Runs `rounds` rounds of CHAINS vector multiply-adds in registers; returns the floating-point operations done. *sink is
   the factor, below 1 and unknown to the compiler, which else leaves out a chain that it can foresee. */
static int64_t fma_probe(int64_t rounds, real *sink)
{
    const vec factor = vec_set1(*sink), term = vec_set1(1);
    vec chain[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        chain[i] = vec_set1((real)i);
    for (int64_t round = 0; round < rounds; round++)
        for (int i = 0; i < CHAINS; i++)
            chain[i] = vec_fma(chain[i], factor, term);
    vec sum = vec_zero();
    for (int i = 0; i < CHAINS; i++)
        sum = vec_add(sum, chain[i]);
    *sink = vec_first(sum);
    return rounds * CHAINS * LANES * 2;
}

/* Reads `count` reals once, whole vectors of them; returns the bytes read. */
static int64_t read_probe(const real *from, int64_t count, real *sink)
{
    enum { STREAMS = 8 };
    const int64_t stride = STREAMS * LANES, whole = count / stride * stride;
    vec sum[STREAMS];
    for (int i = 0; i < STREAMS; i++)
        sum[i] = vec_zero();
    for (int64_t at = 0; at < whole; at += stride)
        for (int i = 0; i < STREAMS; i++)
            sum[i] = vec_add(sum[i], vec_load(from + at + i * LANES));
    for (int i = 1; i < STREAMS; i++)
        sum[0] = vec_add(sum[0], sum[i]);
    *sink = vec_first(sum[0]);
    return whole * (int64_t)sizeof(real);
}

#endif
