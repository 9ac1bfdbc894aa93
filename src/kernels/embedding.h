/* Rows of a table picked by integers. */
#ifndef NNCORE_EMBEDDING_H
#define NNCORE_EMBEDDING_H

#include <math.h>

#include "loops.h"

/* y[m,n] = table[ids[m],n]; NaN where the id is no row of the table */
KERNEL(op_embedding)
{
    const int64_t k = instr->dim[1], n = instr->dim[2];
    const nn_range row = {0, n};
    real *y = instr->operand[0];
    const int32_t *ids = instr->operand[1];
    const real *table = instr->operand[2];
    EACH_ROW(instr->dim[0], {
        const int known = ids[r] >= 0 && ids[r] < k;
        const real *from = table + (known ? ids[r] * n : 0);
        EACH_VEC_OF(row, STORE(y + r * n, known ? LOAD(from) : vec_set1(NAN)));
    });
}

/* dtable[k,n] = the sum of dy[m,n] where ids[m] = k, in the order of m. A share is some rows of the table. */
KERNEL(op_embedding_grad)
{
    (void)step;
    const int64_t m = instr->dim[0], n = instr->dim[1];
    const nn_range share = nn_share(instr->dim[2], 1, part, parts), row = {0, n}, all = {share.begin * n, share.end * n};
    real *dtable = instr->operand[0];
    const real *dy = instr->operand[1];
    const int32_t *ids = instr->operand[2];
    EACH_VEC_OF(all, STORE(dtable, vec_zero()));
    for (int64_t r = 0; r < m; r++)
        if (ids[r] >= share.begin && ids[r] < share.end) {
            real *to = dtable + ids[r] * n;
            EACH_VEC_OF(row, STORE(to, vec_add(LOAD(to), LOAD(dy + r * n))));
        }
}

#endif
