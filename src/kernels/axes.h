/* Axes exchanged, repeated and summed. */
#ifndef NNCORE_AXES_H
#define NNCORE_AXES_H

#include "loops.h"

/* LANES rows of y, or fewer: row j from column j of x, for rows and columns within a and b. */
INLINE void transpose_block(real *y, const real *x, int64_t a, int64_t b, int rows, int columns)
{
    vec v[LANES];
    if (rows == LANES && columns == LANES) {
        for (int i = 0; i < LANES; i++)
            v[i] = vec_load(x + i * b);
        vec_transpose(v);
        for (int j = 0; j < LANES; j++)
            vec_store(y + j * a, v[j]);
        return;
    }
    const vec_mask in_rows = vec_mask_first(rows), in_columns = vec_mask_first(columns);
    for (int i = 0; i < LANES; i++)
        v[i] = i < rows ? vec_load_first(x + i * b, in_columns) : vec_zero();
    vec_transpose(v);
    for (int j = 0; j < columns; j++)
        vec_store_first(y + j * a, in_rows, v[j]);
}

INLINE int at_most_lanes(int64_t left) { return left < LANES ? (int)left : LANES; }

/* Columns `begin` to `end` of x[a,b] as rows of y[b,a] */
INLINE void transpose(real *y, const real *x, int64_t a, int64_t b, int64_t begin, int64_t end)
{
    for (int64_t j = begin; j < end; j += LANES)
        for (int64_t i = 0; i < a; i += LANES)
            transpose_block(y + j * a + i, x + i * b + j, a, b, at_most_lanes(a - i), at_most_lanes(end - j));
}

INLINE void copy_reals_to(real *y, const real *x, int64_t count)
{
    EACH_VEC_OF(((nn_range){0, count}), STORE(y, LOAD(x)));
}

/* y[m,b,a,c] = x[m,a,b,c]: a transposition of a and b, of single values or of rows of c */
KERNEL(op_swap)
{
    (void)step;
    real *y = instr->operand[0];
    const real *x = instr->operand[1];
    const int64_t a = instr->dim[1], b = instr->dim[2], c = instr->dim[3];
    const nn_range share = nn_share(instr->dim[0] * b, 1, part, parts);
    for (int64_t at = share.begin; at < share.end;) {
        const int64_t matrix = at / b * a * b * c, begin = at % b;
        const int64_t end = share.end - at < b - begin ? begin + share.end - at : b;
        if (c == 1)
            transpose(y + matrix, x + matrix, a, b, begin, end);
        else
            for (int64_t j = begin; j < end; j++)
                for (int64_t i = 0; i < a; i++)
                    copy_reals_to(y + matrix + (j * a + i) * c, x + matrix + (i * b + j) * c, c);
        at += end - begin;
    }
}

/* y[m,n,k] = x[m,k] */
KERNEL(op_repeat)
{
    const int64_t k = instr->dim[1], n = instr->dim[2];
    real *y = instr->operand[0];
    const real *x = instr->operand[1];
    EACH_ROW(instr->dim[0] * n, copy_reals_to(y + r * k, x + r / n * k, k));
}

/* y[m,k] = sum_n x[m,n,k], in the order of n */
KERNEL(op_sum_steps)
{
    const int64_t n = instr->dim[1], k = instr->dim[2];
    real *y = instr->operand[0];
    const real *x = instr->operand[1];
    EACH_ROW(instr->dim[0], EACH_VEC_OF(((nn_range){0, k}), {
        vec sum = vec_zero();
        for (int64_t j = 0; j < n; j++)
            sum = vec_add(sum, LOAD(x + (r * n + j) * k));
        STORE(y + r * k, sum);
    }));
}

#endif
