/* The kernels of activations.def. The output may be any one of the inputs. */
#ifndef NNCORE_ACTIVATIONS_H
#define NNCORE_ACTIVATIONS_H

#include "loops.h"
#include "math.h"

#define ATTRIBUTES                                                                                                     \
    const vec a = vec_set1((real)instr->attribute[0]), b = vec_set1((real)instr->attribute[1]);                        \
    const vec c = vec_set1((real)instr->attribute[2]);                                                                 \
    (void)a, (void)b, (void)c

#define ACTIVATION(op, ...)                                                                                            \
    KERNEL(op)                                                                                                         \
    {                                                                                                                  \
        ATTRIBUTES;                                                                                                    \
        real *const to = instr->operand[0];                                                                            \
        const real *const from = instr->operand[1];                                                                    \
        EACH_VEC(instr->dim[0], {                                                                                      \
            const vec x = LOAD(from);                                                                                  \
            __VA_ARGS__;                                                                                               \
            STORE(to, y);                                                                                              \
        });                                                                                                            \
    }

#define GRADIENT(op, known, ...)                                                                                       \
    KERNEL(op)                                                                                                         \
    {                                                                                                                  \
        ATTRIBUTES;                                                                                                    \
        real *const to = instr->operand[0];                                                                            \
        const real *const from = instr->operand[1], *const with = instr->operand[2];                                   \
        EACH_VEC(instr->dim[0], {                                                                                      \
            const vec dy = LOAD(from), known = LOAD(with);                                                             \
            __VA_ARGS__;                                                                                               \
            STORE(to, dx);                                                                                             \
        });                                                                                                            \
    }

#include "activations.def"

#undef ACTIVATION
#undef GRADIENT
#undef ATTRIBUTES

#endif
