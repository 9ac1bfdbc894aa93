/* What is done to gradients and weights before and after an optimizer's update, in place: the inputs called *_in are the
   outputs of that name. */
#ifndef NNCORE_UPKEEP_H
#define NNCORE_UPKEEP_H

#include <math.h>

#include "loops.h"

/* g = total / count; total = 0 */
KERNEL(op_accumulated)
{
    const vec count = vec_set1((real)instr->attribute[0]);
    real *g = instr->operand[0], *total = instr->operand[1];
    EACH_VEC(instr->dim[0], {
        STORE(g, vec_div(LOAD(total), count));
        STORE(total, vec_zero());
    });
}

/* y = sqrt(sum_m x²): blocks of 1024 are each summed as a row is, and added in order in double. Share 0 does it all. */
KERNEL(op_norm)
{
    enum { BLOCK = 1024 };
    const row whole = row_of(BLOCK);
    const real *x = instr->operand[1];
    real *y = instr->operand[0];
    double total = 0;
    (void)step, (void)parts;
    if (part > 0)
        return;
    for (int64_t left = instr->dim[0]; left > 0; left -= BLOCK, x += BLOCK) {
        const row shape = left < BLOCK ? row_of(left) : whole;
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, {
            const vec v = LOAD(x);
            sum[w] = vec_add(sum[w], vec_mul(v, v));
        });
        total += wide_sum(sum);
    }
    *y = (real)sqrt(total);
}

/* g limit / norm where the norm is above the limit, else g; where `strict`, all NaN if the norm is infinite. g may be
   g_in. */
KERNEL(op_clip_norm)
{
    const real limit = (real)instr->attribute[0], norm = *(const real *)instr->operand[2];
    const real factor = norm <= limit ? 1 : limit / norm;
    const vec scale = vec_set1(instr->attribute[1] != 0 ? factor + (norm - norm) : factor);
    real *g = instr->operand[0];
    const real *g_in = instr->operand[1];
    EACH_VEC(instr->dim[0], STORE(g, vec_mul(LOAD(g_in), scale)));
}

/* w -= w (decay rates[rate]) */
KERNEL(op_decay)
{
    const vec share = vec_set1((real)(instr->attribute[0] * step->rates[(int)instr->attribute[1]]));
    real *w = instr->operand[0];
    EACH_VEC(instr->dim[0], STORE(w, vec_sub(LOAD(w), vec_mul(LOAD(w), share))));
}

/* mean = p mean + (1 - p) w, p = rates[rate] */
KERNEL(op_average)
{
    const double p = step->rates[(int)instr->attribute[0]];
    const vec old = vec_set1((real)p), new = vec_set1((real)(1 - p));
    real *mean = instr->operand[0];
    const real *w = instr->operand[2];
    EACH_VEC(instr->dim[0], STORE(mean, vec_add(vec_mul(LOAD(mean), old), vec_mul(new, LOAD(w)))));
}

#endif
