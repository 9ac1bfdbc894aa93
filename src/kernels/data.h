/* From the caller's arrays into a batch: rows picked by index and converted. */
#ifndef NNCORE_DATA_H
#define NNCORE_DATA_H

#include "loops.h"

INLINE const char *source_row(const nn_source *source, const nn_step *step, int64_t r)
{
    return source->base + (step->rows ? step->rows[r] : step->first + r) * source->row_stride;
}

/* x[r,:] = (TO)row of FROM, for the rows of `share`. The elements may be unaligned. */
#define COPY_ROWS(TO, FROM, convert)                                                                                   \
    for (int64_t r = share.begin; r < share.end; r++) {                                                                \
        const char *from = source_row(source, step, r);                                                                \
        TO *to = (TO *)x + r * n;                                                                                      \
        if (source->column_stride == sizeof(FROM))                                                                     \
            for (int64_t j = 0; j < n; j++) {                                                                          \
                FROM v;                                                                                                \
                memcpy(&v, from + j * (int64_t)sizeof v, sizeof v);                                                    \
                to[j] = (TO)convert(v);                                                                                \
            }                                                                                                          \
        else                                                                                                           \
            for (int64_t j = 0; j < n; j++) {                                                                          \
                FROM v;                                                                                                \
                memcpy(&v, from + j * source->column_stride, sizeof v);                                                \
                to[j] = (TO)convert(v);                                                                                \
            }                                                                                                          \
    }                                                                                                                  \
    break

#define AS_IT_IS(v) (v)
#define AS_BOOL(v) ((v) != 0)

#define COPY_ROWS_OF_ANY(TO)                                                                                           \
    const nn_source *source = instr->operand[1];                                                                       \
    void *x = instr->operand[0];                                                                                       \
    const int64_t n = instr->dim[1];                                                                                   \
    const nn_range share = nn_share(instr->dim[0], 1, part, parts);                                                    \
    switch (source->dtype) {                                                                                           \
    case NN_F32: COPY_ROWS(TO, float, AS_IT_IS);                                                                       \
    case NN_F64: COPY_ROWS(TO, double, AS_IT_IS);                                                                      \
    case NN_U8: COPY_ROWS(TO, uint8_t, AS_IT_IS);                                                                      \
    case NN_I8: COPY_ROWS(TO, int8_t, AS_IT_IS);                                                                       \
    case NN_U16: COPY_ROWS(TO, uint16_t, AS_IT_IS);                                                                    \
    case NN_I16: COPY_ROWS(TO, int16_t, AS_IT_IS);                                                                     \
    case NN_U32: COPY_ROWS(TO, uint32_t, AS_IT_IS);                                                                    \
    case NN_I32: COPY_ROWS(TO, int32_t, AS_IT_IS);                                                                     \
    case NN_U64: COPY_ROWS(TO, uint64_t, AS_IT_IS);                                                                    \
    case NN_I64: COPY_ROWS(TO, int64_t, AS_IT_IS);                                                                     \
    case NN_BOOL: COPY_ROWS(TO, uint8_t, AS_BOOL);                                                                     \
    }

/* x[m,n] = source[rows[m],n], converted to real */
KERNEL(op_gather) { COPY_ROWS_OF_ANY(real) }

/* x[m,n] = source[rows[m],n], truncated to int32 */
KERNEL(op_gather_int) { COPY_ROWS_OF_ANY(int32_t) }

#endif
