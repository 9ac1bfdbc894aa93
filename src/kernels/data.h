/* From the caller's arrays into a batch: rows picked by index and converted. */
#ifndef NNCORE_DATA_H
#define NNCORE_DATA_H

#include "loops.h"

INLINE const char *source_row(const nn_source *source, const nn_step *step, int64_t r)
{
    return source->base + (step->rows ? step->rows[r] : step->first + r) * source->row_stride;
}

enum { CACHE_LINE = 64, FETCHED_BYTES = 16384 /* a longer row is left to the hardware */ };

/* Asks for the row that the next batch has at r, while this batch's arithmetic hides the way to memory. */
INLINE void fetch_ahead(const nn_source *source, const nn_step *step, int64_t m, int64_t n, int64_t r)
{
    const int64_t bytes = n * source->column_stride;
    if (!step->rows || r >= step->ahead || bytes < 0 || bytes > FETCHED_BYTES)
        return;
    const char *row = source_row(source, step, m + r);
    for (int64_t b = 0; b < bytes + CACHE_LINE; b += CACHE_LINE)
        __builtin_prefetch(row + b, 0, 2);
}

/* Asks for the beginning of a row to come, some 4 KiB ahead of row r: the processor foresees the rest of a row, but not
   where the next one is. */
INLINE void prefetch_ahead(const nn_source *source, const nn_step *step, int64_t r, int64_t end, int64_t bytes)
{
    const int64_t ahead = bytes > 4096 ? 1 : bytes > 256 ? 4096 / bytes : 16, most = bytes < 1024 ? bytes : 1024;
    if (!step->rows || r + ahead >= end)
        return;
    const char *row = source_row(source, step, r + ahead);
    for (int64_t byte = 0; byte < most; byte += 64)
        __builtin_prefetch(row + byte);
}

/* x[r,:] = (TO)row of FROM, for the rows of `share`. The elements may be unaligned. */
#define COPY_ROWS(TO, FROM, convert)                                                                                   \
    for (int64_t r = share.begin; r < share.end; r++) {                                                                \
        const char *from = source_row(source, step, r);                                                                \
        fetch_ahead(source, step, instr->dim[0], n, r);                                                                \
        TO *to = (TO *)x + r * n;                                                                                      \
        if (source->column_stride == sizeof(FROM)) {                                                                   \
            prefetch_ahead(source, step, r, share.end, n * (int64_t)sizeof(FROM));                                     \
            for (int64_t j = 0; j < n; j++) {                                                                          \
                FROM v;                                                                                                \
                memcpy(&v, from + j * (int64_t)sizeof v, sizeof v);                                                    \
                to[j] = (TO)convert(v);                                                                                \
            }                                                                                                          \
        } else                                                                                                         \
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
