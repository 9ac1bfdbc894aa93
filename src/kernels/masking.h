/* Steps of sequences that do not count. */
#ifndef NNCORE_MASKING_H
#define NNCORE_MASKING_H

#include "loops.h"

/* mask[m] = 0 where every x[m,n] is the value, else 1; y = x where the mask is 1, else 0 */
KERNEL(op_mask_steps)
{
    const int64_t n = instr->dim[1];
    const nn_range row = {0, n};
    const real value = (real)instr->attribute[0];
    real *y = instr->operand[0], *mask = instr->operand[1];
    const real *x = instr->operand[2];
    EACH_ROW(instr->dim[0], {
        int64_t other = r * n;
        while (other < (r + 1) * n && x[other] == value)
            other++;
        const int kept = other < (r + 1) * n;
        mask[r] = (real)kept;
        EACH_VEC_OF(row, STORE(y + r * n, kept ? LOAD(x + r * n) : vec_zero()));
    });
}

#endif
