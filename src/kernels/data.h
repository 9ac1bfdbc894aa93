/* From the caller's arrays into a batch: rows picked by index and converted. */
#ifndef NNCORE_DATA_H
#define NNCORE_DATA_H

#include "loops.h"

/* The rows of a batch that a share copies, and how it asks memory for rows to come. */
typedef struct {
    const nn_source *source;
    const int64_t *rows; /* NULL: consecutive from `first` */
    int64_t first, begin, end, n;
    const int64_t *next_rows; /* those of the next batch */
    int64_t following;        /* how many of them are known */
    int64_t distance;  /* else the row to ask for, counted from the one that is copied */
    int64_t bytes;     /* of a row; 0 where asking does not help */
} batch_rows;

enum {
    CACHE_LINE = 64,
    NEAR_SOURCE = 1 << 20, /* bytes of a source that stays in the second-level cache: asking costs more there */
    LONG_ROW = 16 * 1024,  /* of a longer one the processor foresees the rest */
    DISTANCE = 4 * 1024,   /* bytes between the row that is copied and the one asked for, in the same batch */
    ROW_START = 1024,      /* bytes asked for there */
};

INLINE batch_rows rows_of(const nn_instr *instr, const nn_step *step, int64_t element, int part, int parts)
{
    const nn_range share = nn_share(instr->dim[0], 1, part, parts);
    const nn_source *source = instr->operand[1];
    const int64_t n = instr->dim[1], bytes = n * element;
    const int helps = step->rows && source->column_stride == element && source->size > NEAR_SOURCE;
    return (batch_rows){.source = source, .rows = step->rows, .first = step->first, .begin = share.begin,
                        .end = share.end, .n = n, .next_rows = step->next_rows, .following = step->ahead,
                        .distance = DISTANCE / (bytes + 1) + 1, .bytes = helps ? bytes : 0};
}

INLINE const char *source_row(const batch_rows *b, const int64_t *rows, int64_t r)
{
    return b->source->base + (rows ? rows[r] : b->first + r) * b->source->row_stride;
}

/* While row r is copied, asks for every line of the row in its place in the next batch, which arrives during this batch's
   arithmetic; where that row is not known, for the start of one further on in this batch. */
INLINE void prefetch_for(const batch_rows *b, int64_t r)
{
    if (b->bytes == 0)
        return;
    if (r < b->following && b->bytes <= LONG_ROW) {
        const char *row = source_row(b, b->next_rows, r);
        for (int64_t byte = -((intptr_t)row & (CACHE_LINE - 1)); byte < b->bytes; byte += CACHE_LINE)
            __builtin_prefetch(row + byte, 0, 2);
    } else if (r + b->distance < b->end) {
        const char *row = source_row(b, b->rows, r + b->distance);
        for (int64_t byte = 0; byte < b->bytes && byte < ROW_START; byte += CACHE_LINE)
            __builtin_prefetch(row + byte);
    }
}

/* x[r,:] = (TO)source[rows[r],:]. The source may be unaligned. */
#define COPY_ROWS(TO, FROM, convert)                                                                                   \
    do {                                                                                                               \
        const batch_rows b = rows_of(instr, step, sizeof(FROM), part, parts);                                          \
        const int64_t stride = b.source->column_stride;                                                                \
        for (int64_t r = b.begin; r < b.end; r++) {                                                                    \
            const char *from = source_row(&b, b.rows, r);                                                              \
            TO *to = (TO *)instr->operand[0] + r * b.n;                                                                \
            prefetch_for(&b, r);                                                                                       \
            if (stride == sizeof(FROM))                                                                                \
                for (int64_t j = 0; j < b.n; j++) {                                                                    \
                    FROM v;                                                                                            \
                    memcpy(&v, from + j * (int64_t)sizeof v, sizeof v);                                                \
                    to[j] = (TO)convert(v);                                                                            \
                }                                                                                                      \
            else                                                                                                       \
                for (int64_t j = 0; j < b.n; j++) {                                                                    \
                    FROM v;                                                                                            \
                    memcpy(&v, from + j * stride, sizeof v);                                                           \
                    to[j] = (TO)convert(v);                                                                            \
                }                                                                                                      \
        }                                                                                                              \
    } while (0)

#define AS_IT_IS(v) (v)
#define AS_BOOL(v) ((v) != 0)

#define COPY_ROWS_OF_ANY(TO)                                                                                           \
    switch (((const nn_source *)instr->operand[1])->dtype) {                                                           \
    case NN_F32: COPY_ROWS(TO, float, AS_IT_IS); break;                                                                \
    case NN_F64: COPY_ROWS(TO, double, AS_IT_IS); break;                                                               \
    case NN_U8: COPY_ROWS(TO, uint8_t, AS_IT_IS); break;                                                               \
    case NN_I8: COPY_ROWS(TO, int8_t, AS_IT_IS); break;                                                                \
    case NN_U16: COPY_ROWS(TO, uint16_t, AS_IT_IS); break;                                                             \
    case NN_I16: COPY_ROWS(TO, int16_t, AS_IT_IS); break;                                                              \
    case NN_U32: COPY_ROWS(TO, uint32_t, AS_IT_IS); break;                                                             \
    case NN_I32: COPY_ROWS(TO, int32_t, AS_IT_IS); break;                                                              \
    case NN_U64: COPY_ROWS(TO, uint64_t, AS_IT_IS); break;                                                             \
    case NN_I64: COPY_ROWS(TO, int64_t, AS_IT_IS); break;                                                              \
    case NN_BOOL: COPY_ROWS(TO, uint8_t, AS_BOOL); break;                                                              \
    }

/* Whether the rows of a source are reals as they lie in x. */
INLINE int holds_reals(const nn_source *source)
{
    const nn_dtype dtype = sizeof(real) == sizeof(float) ? NN_F32 : NN_F64;
    const uintptr_t places = (uintptr_t)source->base | (uintptr_t)source->row_stride;
    return source->dtype == dtype && source->column_stride == sizeof(real) && places % sizeof(real) == 0;
}

/* COPY_ROWS for such a source: a third less time than a loop the compiler makes of it. */
INLINE void copy_reals(const nn_instr *instr, const nn_step *step, int part, int parts)
{
    const batch_rows b = rows_of(instr, step, sizeof(real), part, parts);
    for (int64_t r = b.begin; r < b.end; r++) {
        const real *from = (const real *)source_row(&b, b.rows, r);
        real *to = (real *)instr->operand[0] + r * b.n;
        prefetch_for(&b, r);
        EACH_VEC_OF(((nn_range){0, b.n}), STORE(to, LOAD(from)));
    }
}

/* x[m,n] = source[rows[m],n], converted to real */
KERNEL(op_gather)
{
    if (holds_reals(instr->operand[1]))
        copy_reals(instr, step, part, parts);
    else
        COPY_ROWS_OF_ANY(real)
}

/* Element i of a source of one column that holds int32 or int64. */
INLINE int64_t index_at(const nn_source *source, int64_t i)
{
    const char *at = source->base + i * source->row_stride;
    if (source->dtype == NN_I64) {
        int64_t wide;
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    int32_t narrow;
    memcpy(&narrow, at, sizeof narrow);
    return narrow;
}

/* x[columns[k]] += (real)values[k] for begin <= k < end. */
#define ADD_VALUES(FROM, convert)                                                                                      \
    do {                                                                                                               \
        for (int64_t k = begin; k < end; k++) {                                                                        \
            FROM v;                                                                                                    \
            memcpy(&v, values->base + k * values->row_stride, sizeof v);                                               \
            to[index_at(columns, k)] += (real)convert(v);                                                              \
        }                                                                                                              \
    } while (0)

/* x[m,n] = the rows[m] of a sparse matrix: 0, and added to it values[k] in columns[k] for starts[row] <= k < starts[row+1] */
KERNEL(op_gather_csr)
{
    const nn_source *starts = instr->operand[1], *values = instr->operand[2], *columns = instr->operand[3];
    const int64_t n = instr->dim[1];
    const nn_range share = nn_share(instr->dim[0], 1, part, parts);
    for (int64_t r = share.begin; r < share.end; r++) {
        const int64_t row = step->rows ? step->rows[r] : step->first + r;
        const int64_t begin = index_at(starts, row), end = index_at(starts, row + 1);
        real *to = (real *)instr->operand[0] + r * n;
        memset(to, 0, (size_t)n * sizeof(real));
        switch (values->dtype) {
        case NN_F32: ADD_VALUES(float, AS_IT_IS); break;
        case NN_F64: ADD_VALUES(double, AS_IT_IS); break;
        case NN_U8: ADD_VALUES(uint8_t, AS_IT_IS); break;
        case NN_I8: ADD_VALUES(int8_t, AS_IT_IS); break;
        case NN_U16: ADD_VALUES(uint16_t, AS_IT_IS); break;
        case NN_I16: ADD_VALUES(int16_t, AS_IT_IS); break;
        case NN_U32: ADD_VALUES(uint32_t, AS_IT_IS); break;
        case NN_I32: ADD_VALUES(int32_t, AS_IT_IS); break;
        case NN_U64: ADD_VALUES(uint64_t, AS_IT_IS); break;
        case NN_I64: ADD_VALUES(int64_t, AS_IT_IS); break;
        case NN_BOOL: ADD_VALUES(uint8_t, AS_BOOL); break;
        }
    }
}

/* x[m,n] = source[rows[m],n], truncated to int32 */
KERNEL(op_gather_int) { COPY_ROWS_OF_ANY(int32_t) }

#endif
