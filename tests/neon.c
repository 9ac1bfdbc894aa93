/* Kernels of aarch64 as a program that tests on another machine talk to: tests/neon.py.

   For each request on standard input (a record, the sizes of its memories, the memories, its operands) it runs all shares
   of one kernel and answers with the memories as they are then. Where a memory begins is as far from a multiple of 64
   as it is on the other machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "denormals.h"
#include "nncore.h"

enum { MEMORIES = 2 * NN_OPERANDS, PARTS = 8 };

typedef struct {
    int64_t table, op, parts, memories, operands; /* table 0 is NEON's, 1 that in generic C */
    int64_t rows, rates;                          /* which memory, -1: none */
    int64_t first;
    uint64_t number, seed;
    int64_t dim[NN_DIMS];
    double attribute[NN_ATTRIBUTES];
} request;

typedef struct { int64_t size, misalignment; } extent;

typedef struct {
    int64_t memory, offset; /* memory -1: absent */
    int64_t rows_of_any;    /* whether it is a source, and the following count */
    int64_t row_stride, column_stride, dtype, size;
} operand;

static void take(void *to, size_t size)
{
    if (size && fread(to, size, 1, stdin) != 1)
        exit(2);
}

static char *allocate(size_t size)
{
    char *block = aligned_alloc(64, (size + 127) / 64 * 64);
    if (!block)
        exit(3);
    return block;
}

int main(void)
{
    const nn_table *const tables[] = {&nn_table_neon, &nn_table_baseline};
    request q;
    char *scratch = allocate((size_t)PARTS * NN_SCRATCH);
    while (fread(&q, sizeof q, 1, stdin) == 1) {
        extent extents[MEMORIES];
        char *blocks[MEMORIES], *memories[MEMORIES];
        operand operands[NN_OPERANDS];
        nn_source sources[NN_OPERANDS];
        nn_instr instr = {.scratch = scratch};
        nn_step step = {.first = q.first, .number = q.number, .seed = q.seed};
        if (q.memories > MEMORIES || q.operands > NN_OPERANDS || q.parts > PARTS || q.op >= NN_OPS)
            return 4;
        take(extents, sizeof(extent) * (size_t)q.memories);
        for (int64_t i = 0; i < q.memories; i++) {
            blocks[i] = allocate((size_t)extents[i].size);
            memories[i] = blocks[i] + extents[i].misalignment;
            take(memories[i], (size_t)extents[i].size);
        }
        take(operands, sizeof(operand) * (size_t)q.operands);
        for (int64_t i = 0; i < q.operands; i++) {
            const operand *o = &operands[i];
            if (o->memory < 0)
                continue;
            instr.operand[i] = memories[o->memory] + o->offset;
            if (o->rows_of_any) {
                sources[i] = (nn_source){memories[o->memory] + o->offset, o->row_stride, o->column_stride,
                                         (nn_dtype)o->dtype, o->size};
                instr.operand[i] = &sources[i];
            }
        }
        memcpy(instr.dim, q.dim, sizeof q.dim);
        memcpy(instr.attribute, q.attribute, sizeof q.attribute);
        if (q.rows >= 0)
            step.rows = (const int64_t *)memories[q.rows];
        if (q.rates >= 0)
            step.rates = (const double *)memories[q.rates];
        const nn_float_mode mode = nn_flush_denormals();
        for (int part = 0; part < q.parts; part++)
            tables[q.table]->kernel[q.op](&instr, &step, part, (int)q.parts);
        nn_restore_denormals(mode);
        for (int64_t i = 0; i < q.memories; i++) {
            if (extents[i].size && fwrite(memories[i], (size_t)extents[i].size, 1, stdout) != 1)
                return 5;
            free(blocks[i]);
        }
        fflush(stdout);
    }
    return 0;
}
